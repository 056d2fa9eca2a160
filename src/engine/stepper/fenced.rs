//! Worlds in which locks have fencing numbers, and clients' clocks disagree: numbers rise, and no
//! key is left.

use std::time::Duration;

use super::{
    CALM,
    caller::{
        Act::{Ask, Drop, Extend, Lock, Release, Try},
        CLOCK,
    },
    play_seeds,
    scenario::{BEGIN, Scenario, Step},
    scripts::with,
    world::World,
};
use crate::{error::ErrorKind, exchange::Answer, mutant::Mutant, protocol::Moment};

const SEEDS: u64 = 60_000;
const LEAST: usize = 50_000;

/// All callers ask for numbers.
fn fenced() -> Scenario {
    Scenario { fenced: |_, _| true, ..CALM }
}

#[test]
fn numbers_rise_from_client_to_client_though_the_clock_of_the_next_is_behind() {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Drop]], vec![vec![Lock, Drop]]];
    let scenario = Scenario { clients, slow: 2, wait: Duration::from_millis(150), ..fenced() };
    play_seeds("numbers rise", &scenario, SEEDS, LEAST, &[Mutant::HeirKeepsTheNumber]);
    let troubled = Scenario { losses: 1, drops: 1, stalls: 3, ..scenario };
    let mutants = [Mutant::NothingIsBuried, Mutant::HeirForgetsNodes];
    play_seeds("numbers rise, in trouble", &troubled, SEEDS, LEAST, &mutants);
}

#[test]
fn several_that_ask_for_numbers_at_once_endanger_no_order() {
    for nodes in [3, 5] {
        let clients = vec![vec![vec![Try, Drop]]; 3];
        let scenario = Scenario { nodes, clients, slow: 3, stalls: 2, ..fenced() };
        play_seeds(&format!("votes of numbers, {nodes} nodes"), &scenario, SEEDS, LEAST, &[]);
    }
}

#[test]
fn plain_locks_and_fenced_ones_take_turns() {
    let two = || vec![vec![Lock, Extend, Drop], vec![Lock, Release]];
    let clients = vec![two(), vec![vec![Ask, Extend, Drop]], two()];
    let every_second = |client, caller| (client + caller) % 2 == 0;
    let scenario = Scenario {
        nodes: 5,
        clients,
        slow: 3,
        losses: 2,
        drops: 1,
        stalls: 3,
        fenced: every_second,
        ..CALM
    };
    play_seeds("plain and fenced", &scenario, SEEDS, LEAST, &[Mutant::HealingForgotten]);
}

#[test]
fn who_is_behind_what_nodes_have_seen_goes_above_it() {
    (1..=5).for_each(|nodes| assert!(wins_behind_a_fence(nodes), "{nodes} nodes"));
    let wins = || wins_behind_a_fence(3);
    assert!(!with(Mutant::SeenIsForgotten, wins), "SeenIsForgotten survives");
}

/// Whether a client wins whose clock is ten minutes behind the fences at all nodes. Each answers
/// twice.
fn wins_behind_a_fence(nodes: usize) -> bool {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { nodes, clients, ..fenced() });
    world.fences.fill(CLOCK + 600_000_000);
    world.play(Step::Act { client: 0, caller: 0 });
    for node in (0..nodes).chain(0..nodes) {
        world.play(Step::Deliver { client: 0, node });
    }
    world.clients[0].callers[0].has_won()
}

/// What is wrong where two of five nodes grant the first number, two of the others the second only,
/// and the time has come when the keys at the first two end.
fn goes_higher_late() -> Option<String> {
    let clients = vec![vec![vec![Try]]];
    let mut world = World::new(&Scenario { nodes: 5, clients, ..fenced() });
    world.fences[2..].fill(CLOCK + 600_000_000);
    let deliver = |world: &mut World, nodes: &[usize]| {
        nodes.iter().for_each(|node| world.play(Step::Deliver { client: 0, node: *node }));
    };
    world.play(Step::Act { client: 0, caller: 0 });
    deliver(&mut world, &[0, 1, 2, 3]);
    world.now = world.now.after(Duration::from_millis(20));
    world.nodes[4] = Some((b"another".to_vec(), Moment::NEVER));
    deliver(&mut world, &[4, 0, 1, 2, 3]);
    assert!(world.clients[0].callers[0].has_won());
    world.now = BEGIN.after(world.scenario.ttl);
    world.violation()
}

#[test]
fn a_higher_number_is_for_the_lease_that_began_with_the_first() {
    assert_eq!(goes_higher_late(), None);
    let wrong = with(Mutant::InsistingRestartsTheLease, goes_higher_late);
    assert!(wrong.is_some(), "InsistingRestartsTheLease survives");
}

/// Others have had larger numbers, but it is the nodes that keep the lock from the caller.
#[test]
fn who_has_gone_above_a_fence_is_told_of_nodes_that_hang_then() {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, stalls: 99, ..fenced() });
    world.fences.fill(CLOCK + 600_000_000);
    world.play(Step::Act { client: 0, caller: 0 });
    for node in [0, 1, 2, 0] {
        world.play(Step::Deliver { client: 0, node });
    }
    while world.clients[0].callers[0].waits() {
        world.play(Step::Wait);
    }
    let error = world.clients[0].callers[0].error.as_ref().expect("no quorum answers");
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    let silent = error.nodes().iter().filter(|node| node.error().is_some()).count();
    assert_eq!(silent, 2, "{error}");
}

#[test]
fn votes_of_two_numbers_are_not_added_up() {
    assert_eq!(goes_higher_while_a_node_hangs(), None);
    let disorder = with(Mutant::NumbersAreMixed, goes_higher_while_a_node_hangs);
    assert!(disorder.is_some(), "NumbersAreMixed survives");
}

/// What is wrong with the numbers where one client has raised the fence of one node, the second
/// has one node's vote and goes above that fence while the third node hangs, and the third comes
/// when the second's key has ended. The clocks of the last two are behind, the second's most.
fn goes_higher_while_a_node_hangs() -> Option<String> {
    let clients = vec![vec![vec![Try, Drop]]; 3];
    let mut world = World::new(&Scenario { clients, slow: 3, drops: 1, pauses: 2, ..fenced() });
    let [first, second, third] = [0, 2, 1];
    let ask = |world: &mut World, client| world.play(Step::Act { client, caller: 0 });
    ask(&mut world, first);
    world.play(Step::Leave { client: first, caller: 0 });
    world.play(Step::Execute { client: first, node: 1 });
    world.nodes[1] = None; // it has ended
    ask(&mut world, second);
    (0..2).for_each(|node| world.play(Step::Deliver { client: second, node }));
    // Until it waits for the third node no longer.
    world.stalls = 9;
    while world.clients[second].links[1].sent.is_empty() {
        world.play(Step::Wait);
    }
    world.play(Step::Deliver { client: second, node: 1 });
    (0..2).for_each(|_| world.play(Step::Pause));
    ask(&mut world, third);
    [0, 2].into_iter().for_each(|node| world.play(Step::Deliver { client: third, node }));
    assert!(world.clients[third].callers[0].has_won());
    world.violation()
}

#[test]
fn an_answer_to_an_earlier_number_is_no_vote_for_the_present_one() {
    let wrong = || (0..5).filter_map(grants_an_earlier_number_late).next();
    assert_eq!(wrong(), None);
    assert!(with(Mutant::OwedIsCounted, wrong).is_some(), "OwedIsCounted survives");
}

/// What is wrong where a node grants the first number when the second has been asked for, while
/// votes for that one are kept. The nodes are counted from `first` on, so that each is the home
/// node once.
fn grants_an_earlier_number_late(first: usize) -> Option<String> {
    let [a, b, c, d, e] = std::array::from_fn(|place| (first + place) % 5);
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { nodes: 5, clients, ..fenced() });
    let (low, high) = (CLOCK + 10_000_000, CLOCK + 20_000_000);
    [a, d, e].into_iter().for_each(|node| world.fences[node] = low);
    world.fences[b] = high;
    let deliver = |world: &mut World, nodes: &[usize]| {
        nodes.iter().for_each(|node| world.play(Step::Deliver { client: 0, node: *node }));
    };
    world.play(Step::Act { client: 0, caller: 0 });
    world.play(Step::Execute { client: 0, node: c });
    deliver(&mut world, &[a, b, d, e]);
    for node in [a, d, e] {
        world.nodes[node] = Some((b"another".to_vec(), Moment::NEVER));
        world.fences[node] = low + 1;
    }
    deliver(&mut world, &[b, a, d, e, c]);
    [a, d, e].into_iter().for_each(|node| world.nodes[node] = None);
    deliver(&mut world, &[a, d, e, a]);
    world.violation()
}

#[test]
fn a_script_that_a_node_lacks_is_not_sent_behind_the_release() {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, stalls: 9, ..fenced() });
    world.nodes[..2].fill(Some((b"another".to_vec(), Moment::NEVER)));
    world.play(Step::Act { client: 0, caller: 0 });
    world.play(Step::Execute { client: 0, node: 2 });
    (world.nodes[2], world.fences[2]) = (None, 0);
    world.clients[0].links[2].answers[0].1 = Answer::NoScript;
    (0..2).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    (0..2).for_each(|_| world.play(Step::Wait));
    let is_released = |world: &World| {
        world.clients[0].links[2].sent.iter().any(|sent| sent.ticket.ask.is_release())
    };
    while !is_released(&world) {
        (0..2).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    }
    world.play(Step::Deliver { client: 0, node: 2 });
    let sets = world.clients[0].links[2].sent.iter().any(|sent| sent.ticket.ask.sets());
    assert!(!sets, "for nobody");
}
