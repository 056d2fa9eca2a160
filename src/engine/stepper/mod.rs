//! The engine stepped by hand, as a test would step any machine: clients, nodes
//! and the questions between them, in every order of what can happen next, without
//! a runtime, a socket or a clock.
//!
//! Small worlds are played out: every schedule, up to states that were seen
//! before. Larger ones are played by seeds. Each test must play as many distinct
//! schedules as it says, and must notice its mutants: so it runs in the simulator's
//! build (`--cfg redlock_sim`), by `make test-sim` and `make mutants`.

mod caller;
mod explore;
mod world;

use std::time::Duration;

use self::{
    caller::Act::{Ask, Drop, Extend, Lock, Release},
    explore::Played,
    world::Scenario,
};
use crate::mutant::{Mutant, chosen::choose};

/// Two clients and three nodes, where nothing goes wrong.
const CALM: Scenario = Scenario {
    nodes: 3,
    clients: Vec::new(),
    losses: 0,
    drops: 0,
    stalls: 0,
    ttl: Duration::from_secs(1),
    // Enough to ask once more after a split vote.
    wait: Duration::from_millis(3),
};

/// More schedules than any of these worlds has: a test that plays as many has
/// not played it out.
const TOO_MANY: usize = 4_000_000;

/// Plays `scenario` out, and once more with each of `mutants`.
fn play_out(what: &str, scenario: &Scenario, least: usize, mutants: &[Mutant]) {
    let play = || explore::exhaustively(scenario, TOO_MANY);
    let played = play();
    report(what, &played, least);
    assert!(played.schedules < TOO_MANY, "{what}: there is more to play");
    hunt(what, mutants, play);
}

/// Plays `scenario` for some seeds, and once more with each of `mutants`.
fn play_seeds(what: &str, scenario: &Scenario, seeds: u64, least: usize, mutants: &[Mutant]) {
    let play = || explore::by_seeds(scenario, 0..seeds);
    report(what, &play(), least);
    hunt(what, mutants, play);
}

fn report(what: &str, played: &Played, least: usize) {
    println!("{what}: {} distinct schedules, {} states", played.schedules, played.states);
    assert!(played.violation.is_none(), "{what}: {:#?}", played.violation);
    assert!(played.schedules >= least, "{what}: fewer than {least} schedules");
}

fn hunt(what: &str, mutants: &[Mutant], play: impl Fn() -> Played) {
    for mutant in mutants {
        choose(Some(*mutant));
        let played = play();
        choose(None);
        let Some((why, steps)) = played.violation else { panic!("{what}: {mutant:?} survives") };
        println!(
            "  {mutant:?} dies after {} schedules, in {} steps: {why}",
            played.schedules,
            steps.len()
        );
    }
}

#[test]
fn acquire_against_acquire() {
    let clients = vec![vec![vec![Lock, Drop]], vec![vec![Lock, Drop]]];
    let scenario = Scenario { clients, ..CALM };
    let mutants = [Mutant::InsistingForgotten, Mutant::KeptVotesStay, Mutant::QuorumMinusOne];
    play_out("acquire against acquire", &scenario, 50_000, &mutants);
}

#[test]
fn a_hand_over_with_a_node_that_answers_late() {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, ..CALM };
    play_out("hand-over", &scenario, 50_000, &[Mutant::HeirForgetsNodes]);
}

#[test]
fn an_extension_against_a_release() {
    let clients = vec![vec![vec![Lock, Extend, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, losses: 1, ..CALM };
    play_out("extension against release", &scenario, 50_000, &[]);
}

#[test]
fn healing_against_a_release() {
    let clients = vec![vec![vec![Lock, Extend, Drop]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, stalls: 0, ..CALM };
    play_out("healing against release", &scenario, 50_000, &[Mutant::HealingForgotten]);
}

#[test]
fn probe() {
    let pick: usize = std::env::var("PICK").map_or(0, |most| most.parse().unwrap());
    let env = |name| std::env::var(name).map_or(0, |most: String| most.parse().unwrap());
    let clients = [
        vec![vec![vec![Lock, Drop], vec![Lock, Release]], vec![vec![Ask, Drop]]],
        vec![vec![vec![Ask, Extend, Release]], vec![vec![Ask, Drop]]],
        vec![vec![vec![Ask, Extend, Drop]], vec![vec![Ask, Drop]]],
        vec![vec![vec![Ask, Drop], vec![Lock, Drop]], vec![vec![Ask, Drop]]],
        vec![vec![vec![Ask, Drop], vec![Lock, Drop]]],
        vec![vec![vec![Ask, Extend, Drop]]],
    ][pick]
        .clone();
    let scenario = Scenario {
        clients,
        losses: env("LOSSES"),
        drops: env("DROPS"),
        stalls: env("STALLS"),
        ..CALM
    };
    let started = std::time::Instant::now();
    let Played { schedules, states, violation } = explore::exhaustively(&scenario, 8_000_000);
    println!("{pick}: {schedules} {states} {violation:#?} {:?}", started.elapsed());
}
