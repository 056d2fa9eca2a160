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
    slow: 1,
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
    assert!(played.violation.is_none(), "{what}: {:?}", played.violation);
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
fn acquire_against_acquire_by_the_home_rule() {
    let clients = vec![vec![vec![Lock, Drop]], vec![vec![Lock, Drop]]];
    let scenario = Scenario { clients, slow: 2, ..CALM };
    let mutants = [Mutant::InsistingForgotten, Mutant::KeptVotesStay, Mutant::QuorumMinusOne];
    play_out("acquire against acquire", &scenario, 140_000, &mutants);
}

#[test]
fn a_hand_over_with_a_node_that_answers_late() {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, drops: 1, ..CALM };
    let mutants = [Mutant::HeirForgetsNodes, Mutant::RollbackByTheCaller];
    play_out("hand-over", &scenario, 80_000, &mutants);
}

#[test]
fn an_extension_against_a_release() {
    let clients = vec![vec![vec![Ask, Extend, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, losses: 1, ..CALM };
    let mutants = [Mutant::ReleasedIsExtended, Mutant::LostIsNo];
    play_out("extension against release", &scenario, 700_000, &mutants);
}

#[test]
fn healing_against_a_release() {
    let clients = vec![vec![vec![Ask, Extend, Drop]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, stalls: 1, ..CALM };
    play_out("healing against release", &scenario, 180_000, &[Mutant::HealingForgotten]);
}

#[test]
fn a_release_against_an_acquire_that_comes_late() {
    let clients = vec![vec![vec![Ask, Drop]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, losses: 1, ..CALM };
    let mutants = [Mutant::LastLookForgotten, Mutant::LateAcquireForgotten];
    play_out("release against a late acquire", &scenario, 50_000, &mutants);
}

#[test]
fn three_clients_and_five_nodes_by_seeds() {
    let two = || vec![vec![Lock, Extend, Drop], vec![Lock, Release]];
    let scenario = Scenario {
        nodes: 5,
        clients: vec![two(), vec![vec![Lock, Drop]], two()],
        slow: 3,
        losses: 3,
        drops: 1,
        stalls: 4,
        wait: Duration::from_millis(40),
        ..CALM
    };
    let mutants = [Mutant::RollbackOfGrantsOnly, Mutant::HeirForgetsNodes];
    play_seeds("three clients, five nodes", &scenario, 60_000, 50_000, &mutants);
}
