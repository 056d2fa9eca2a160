//! Single schedules in which nodes are slow or hang: nobody waits for those without need, and
//! somebody wins all the same.

use std::time::Duration;

use super::{
    CALM, SOON,
    caller::Act::{Drop, Try},
    scenario::{BEGIN, Scenario, Step},
    world::World,
};
use crate::{
    engine::{Time, pacing::LATE},
    protocol::{Moment, NodeId},
};

/// So many clients that have asked all of five nodes, of which the last can't be reached.
fn some_at_five(count: usize) -> World {
    let clients = vec![vec![vec![Try, Drop]]; count];
    let scenario = Scenario { clients, nodes: 5, slow: count, stalls: 1_000, down: 1, ..CALM };
    let mut world = World::new(&scenario);
    (0..count).for_each(|client| world.play(Step::Act { client, caller: 0 }));
    world
}

/// Delivers what these nodes have for the first client, each its oldest answer.
fn deliver_from(world: &mut World, nodes: &[usize]) {
    nodes.iter().for_each(|node| world.play(Step::Deliver { client: 0, node: *node }));
}

/// A client that is refused by two of five nodes, where another has a key, and looks what
/// others have, while the third is slow, the fourth hangs and the fifth is down. It waits for
/// the third already.
fn refused_while_a_node_is_slow() -> World {
    let mut world = some_at_five(2);
    (0..2).for_each(|node| world.play(Step::Execute { client: 1, node }));
    deliver_from(&mut world, &[0, 1, 0, 1]);
    world.play(Step::Wait);
    world
}

/// Whether the third node, when it has carried out all that the first client has sent, has no
/// key of that one.
fn has_given_back(world: &mut World) -> bool {
    while !world.clients[0].links[2].sent.is_empty() {
        world.play(Step::Execute { client: 0, node: 2 });
    }
    world.nodes[2].is_none()
}

#[test]
fn a_look_ends_with_a_quorum_though_another_node_hangs() {
    let mut world = refused_while_a_node_is_slow();
    let whole = world.clients[0].engine.poll_timeout();
    deliver_from(&mut world, &[2, 2]);
    let engine = &world.clients[0].engine;
    assert!(engine.poll_timeout() < whole, "the hung node has until then");
}

#[test]
fn who_waits_for_a_quorum_to_be_seen_keeps_no_vote_meanwhile() {
    let mut world = refused_while_a_node_is_slow();
    assert!(has_given_back(&mut world), "it was granted late, and is not needed");
    let mut world = some_at_five(2);
    (0..2).for_each(|node| world.play(Step::Execute { client: 1, node }));
    deliver_from(&mut world, &[0, 1, 0, 2, 2]);
    assert!(has_given_back(&mut world), "as soon as the look shows that");
}

/// The nodes that the first client takes to be silent.
fn silent(world: &World) -> Vec<usize> {
    world.clients[0].engine.silent.iter().map(NodeId::index).collect()
}

/// Lets the next timeout of the first client ring so much later than it is due.
fn ring_late(world: &mut World, late: Duration) {
    let engine = &mut world.clients[0].engine;
    world.now = engine.poll_timeout().after(late);
    engine.handle_due(world.now, Time { clock: world.now, now: world.now });
}

#[test]
fn who_does_not_answer_a_look_is_silent_unless_the_client_is_late_itself() {
    for (late, expected) in [(Duration::ZERO, vec![2, 3, 4]), (LATE * 2, vec![4])] {
        let mut world = some_at_five(2);
        (0..2).for_each(|node| world.play(Step::Execute { client: 1, node }));
        deliver_from(&mut world, &[0, 1, 0, 1]);
        assert_eq!(silent(&world), [4]);
        ring_late(&mut world, late);
        assert_eq!(silent(&world), expected, "{late:?}");
    }
}

#[test]
fn a_home_node_is_silent_unless_the_client_is_late_itself_once() {
    for (lates, expected) in [(vec![0], 1), (vec![5], 0), (vec![5, 5], 1)] {
        let homes = (0..5).filter(|slow| {
            let mut world = all_but_two_refuse(*slow);
            let is_home = world.clients[0].links[(slow + 2) % 5].sent.is_empty();
            lates.iter().for_each(|late| ring_late(&mut world, Duration::from_millis(*late)));
            is_home && silent(&world) == [*slow]
        });
        assert_eq!(homes.count(), expected, "{lates:?}");
    }
}

/// A client that one of five nodes has granted, three refuse, and the other does not answer. It
/// waits for that one where that is the home node, and looks at the others where it is not.
fn all_but_two_refuse(slow: usize) -> World {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, nodes: 5, stalls: 1_000, ..CALM });
    let others: Vec<_> = (1..5).map(|it| (slow + it) % 5).collect();
    for node in &others[1..] {
        world.nodes[*node] = Some((format!("another {node}").into_bytes(), Moment::NEVER));
    }
    world.play(Step::Act { client: 0, caller: 0 });
    deliver_from(&mut world, &others);
    world
}

#[test]
fn a_look_ends_when_its_caller_has_left() {
    let mut world = some_at_five(2);
    (0..2).for_each(|node| world.play(Step::Execute { client: 1, node }));
    deliver_from(&mut world, &[0, 1]);
    world.drops = 1;
    world.play(Step::Leave { client: 0, caller: 0 });
    assert_eq!(world.clients[0].engine.undecided, 1, "it has not noticed");
    deliver_from(&mut world, &[0]);
    assert_eq!(world.clients[0].engine.undecided, 0);
}

#[test]
fn a_look_asks_other_nodes_where_those_that_refused_do_not_answer_it() {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, nodes: 5, slow: 1, stalls: 1_000, ..CALM });
    world.nodes.fill(Some((b"another".to_vec(), Moment::NEVER)));
    world.play(Step::Act { client: 0, caller: 0 });
    deliver_from(&mut world, &[0, 1, 2, 0, 1]);
    world.play(Step::Wait);
    deliver_from(&mut world, &[3, 3]);
    deliver_from(&mut world, &[0, 1, 3]);
    assert!(!world.clients[0].callers[0].waits(), "it is told of the holder");
}

#[test]
fn a_vote_that_makes_a_quorum_counts_though_its_node_was_passed_over() {
    let wins = (0..4).filter(|slow| wins_by(*slow)).count();
    assert_eq!(wins, 3, "all but where the home node has refused it");
}

/// Whether a client wins at once that is granted by two, refused by one, and then by the node
/// that it waits for no longer.
fn wins_by(slow: usize) -> bool {
    let refuses = (slow + 1) % 4;
    let mut world = some_at_five(2);
    world.play(Step::Execute { client: 1, node: refuses });
    let others: Vec<_> = (0..4).filter(|node| *node != slow).collect();
    deliver_from(&mut world, &others);
    world.play(Step::Wait);
    deliver_from(&mut world, &[slow]);
    world.clients[0].callers[0].has_won()
}

#[test]
fn somebody_wins_soon_whichever_node_hangs() {
    for hung in 0..4 {
        let took = wins_after(hung);
        assert!(took <= SOON / 2, "{hung}: {took:?}");
    }
}

/// How long it takes until one of three has the lock, where a node hangs, one is down, and
/// each of the others grants it to another client.
fn wins_after(hung: usize) -> Duration {
    let mut world = some_at_five(3);
    let live = (0..4).filter(|node| *node != hung);
    live.enumerate().for_each(|(client, node)| world.play(Step::Execute { client, node }));
    let has_won = |world: &World| world.clients.iter().any(|it| it.callers[0].has_won());
    let waits = |world: &World| world.clients.iter().any(|it| it.callers[0].waits());
    while !has_won(&world) && waits(&world) {
        let is_it = |step: &Step| matches!(step, Step::Deliver { node, .. } if *node != hung);
        let step = world.steps().into_iter().find(is_it);
        world.play(step.unwrap_or(Step::Wait));
    }
    if has_won(&world) { world.now.since(BEGIN) } else { Duration::MAX }
}
