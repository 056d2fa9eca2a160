//! The engine stepped by hand, as a test would step any machine: clients, nodes
//! and the questions between them, in every order of what can happen next, without
//! a runtime, a socket or a clock.
//!
//! Small worlds are played out: every schedule, up to states that were seen
//! before. Larger ones are played by seeds. Each test must play as many distinct
//! schedules as it says, and must notice its mutants: so it runs in the simulator's
//! build (`--cfg redlock_sim`), by `make test-sim` and `make mutants`.

mod burials;
mod caller;
mod denials;
mod explore;
mod fenced;
mod fingerprint;
mod graces;
mod hangs;
mod node;
mod oracle;
mod scenario;
mod scripts;
mod world;

use std::{sync::Arc, time::Duration};

use self::{
    caller::{
        Act::{Ask, Drop, Extend, Lock, Release, Try},
        Client,
    },
    explore::Played,
    scenario::Scenario,
};
use super::{Kept, Output, Request, Time};
use crate::{
    claim::{Claim, Renewal},
    key::Key,
    mutant::{Mutant, chosen::choose},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, Ttl},
    token::Token,
};

/// Two clients and three nodes, where nothing goes wrong.
const CALM: Scenario = Scenario {
    nodes: 3,
    clients: Vec::new(),
    slow: 1,
    losses: 0,
    drops: 0,
    stalls: 0,
    pauses: 0,
    denials: 0,
    fenced: |_, _| false,
    down: 0,
    aliases: false,
    wins: None,
    asks: u64::MAX,
    ttl: Duration::from_secs(1),
    // Enough to ask once more after a split vote.
    wait: Duration::from_millis(3),
};

/// No single attempt asks the nodes for the lock more often: of two that insist, one
/// gives way before.
const MOST_ASKS: u64 = 7;

/// Within this time somebody gets a lock that several try for, where the network takes
/// none: several round trips, as far as a timer can tell.
const SOON: Duration = Duration::from_millis(20);

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
    play_out("acquire against acquire", &scenario, 300_000, &mutants);
    let troubled = Scenario { losses: 1, drops: 1, stalls: 2, ..scenario };
    let mutants = [Mutant::RollbackOfGrantsOnly, Mutant::LateAcquireForgotten];
    play_seeds("acquire against acquire, in trouble", &troubled, 60_000, 50_000, &mutants);
}

#[test]
fn a_silent_node_and_no_caller_that_depends_on_it() {
    let clients = vec![vec![vec![Lock, Drop]], vec![vec![Lock, Drop]]];
    let wait = Duration::from_millis(150);
    let scenario = Scenario { clients, slow: 2, stalls: 4, wait, ..CALM };
    let mutants = [Mutant::InsistingForgotten, Mutant::KeptVotesStay];
    play_seeds("late answers", &scenario, 60_000, 50_000, &mutants);
}

#[test]
fn of_two_single_attempts_one_wins() {
    let clients = vec![vec![vec![Try, Drop]], vec![vec![Try, Drop]]];
    let scenario = Scenario { clients, slow: 2, wins: Some(SOON), asks: MOST_ASKS, ..CALM };
    play_out("two single attempts", &scenario, 300_000, &[]);
    let split = Scenario { down: 1, ..scenario };
    let mutants = [Mutant::SplitIsAHolder, Mutant::KeptVotesStay];
    play_out("two single attempts, a node is down", &split, 10_000, &mutants);
    let split = Scenario { aliases: true, ..split };
    let mutants = [Mutant::SplitIsAHolder, Mutant::ValuesDecideNothing];
    play_out("the same, by other names", &split, 10_000, &mutants);
}

#[test]
fn of_three_single_attempts_one_wins() {
    for (nodes, aliases) in [(3, false), (3, true), (5, false), (5, true)] {
        let clients = vec![vec![vec![Try, Drop]]; 3];
        let scenario = Scenario {
            nodes,
            clients,
            slow: 3,
            wins: Some(SOON),
            asks: MOST_ASKS,
            aliases,
            ..CALM
        };
        let all = [Mutant::SplitIsAHolder, Mutant::ValuesDecideNothing];
        let mutants = if aliases { &all[..] } else { &all[..1] };
        let names = if aliases { ", by other names" } else { "" };
        let what = format!("three single attempts, {nodes} nodes{names}");
        play_seeds(&what, &scenario, 60_000, 50_000, mutants);
    }
}

#[test]
fn a_hand_over_with_a_node_that_answers_late() {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, drops: 1, ..CALM };
    let mutants = [Mutant::HeirForgetsNodes, Mutant::RollbackByTheCaller];
    play_out("hand-over", &scenario, 50_000, &mutants);
    // Late for the verdict, and for the deadline: then it is a release after all.
    let troubled = Scenario { losses: 1, stalls: 3, ..scenario };
    let mutants = [Mutant::HeirForgetsNodes, Mutant::LateAcquireForgotten];
    play_seeds("hand-over, in trouble", &troubled, 60_000, 50_000, &mutants);
}

#[test]
fn nodes_that_deny_what_they_have_set_endanger_no_heir() {
    let line = || vec![vec![Lock, Drop], vec![Lock, Drop]];
    let clients = vec![line(), line(), vec![vec![Lock, Drop]]];
    let scenario =
        Scenario { nodes: 5, clients, slow: 3, stalls: 3, denials: 2, losses: 1, ..CALM };
    play_seeds("nodes that deny", &scenario, 60_000, 50_000, &[Mutant::WonIsTakenBack]);
}

#[test]
fn an_extension_against_a_release() {
    let clients = vec![vec![vec![Ask, Extend, Release]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, losses: 1, ..CALM };
    let mutants = [Mutant::ReleasedIsExtended, Mutant::LostIsNo];
    play_out("extension against release", &scenario, 500_000, &mutants);
}

#[test]
fn healing_against_a_release() {
    let clients = vec![vec![vec![Ask, Extend, Drop]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, stalls: 1, ..CALM };
    play_out("healing against release", &scenario, 100_000, &[Mutant::HealingForgotten]);
}

#[test]
fn a_release_against_an_acquire_that_comes_late() {
    let clients = vec![vec![vec![Ask, Drop]], vec![vec![Ask, Drop]]];
    let scenario = Scenario { clients, losses: 1, pauses: 2, ..CALM };
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

#[test]
fn a_renewal_that_is_declined_makes_room_for_the_next() {
    const LOCKS: usize = 6;
    let mut engine = Client::new(&CALM, 0).engine;
    let (start, ttl) = (Moment::from_nanos(1_000_000_000), Ttl::from_duration(CALM.ttl));
    for _ in 0..LOCKS {
        let (key, token) = (Key::new(b"", b"k").unwrap(), Token::from_bytes("t").unwrap());
        let lease = engine.config.lease(start, ttl);
        let claim = Arc::new(Claim::new(key, token, ttl, lease, CALM.nodes));
        claim.grant(lease.until);
        claim.keeping(|keeping| keeping.keep(Some(Renewal::every(CALM.ttl / 3, Moment::NEVER))));
        let time = Time { clock: start, now: start };
        engine.handle_request(Request::Keep(Kept::new(claim)), time);
    }
    let now = start.after(CALM.ttl / 2);
    let time = Time { clock: now, now };
    engine.handle_due(now, time);
    let mut renewed = 0;
    while let Some(output) = engine.poll_output() {
        let Output::Ask { op, ask, .. } = output else { panic!("{output:?}") };
        renewed += 1;
        for node in NodeId::all(CALM.nodes) {
            engine.handle_declined(op, ask, node, NodeError::new(NodeErrorKind::Unreachable), now);
        }
        engine.settle_declined(op, time);
    }
    assert_eq!(renewed, LOCKS, "none may wait for a node to say something");
}
