//! Single schedules in which something arrives at a node behind the release of its lock: it is
//! buried by the highest number that was sent, and where it has no number, asked for until it can't
//! come any more.

use super::{
    CALM,
    caller::{
        Act::{Drop, Extend, Lock},
        CLOCK,
    },
    scenario::{Scenario, Step},
    scripts::with,
    world::World,
};
use crate::{exchange::Ask, mutant::Mutant};

/// Three nodes and one client with these callers. Its connection to the last node may break once.
fn world(scenario: Scenario) -> World {
    World::new(&Scenario { losses: 1, ..scenario })
}

/// Plays what is on its way to nodes, and back.
fn deliver_all(world: &mut World) {
    let is_on_its_way = |step: &Step| matches!(step, Step::Deliver { .. });
    while let Some(step) = world.steps().into_iter().find(is_on_its_way) {
        world.play(step);
    }
}

fn act(world: &mut World, caller: usize) {
    world.play(Step::Act { client: 0, caller });
}

/// The connection to the last node breaks, while its healing is on its way there.
fn lose_healing(world: &mut World) {
    let ask = world.clients[0].links[2].sent[0].ticket.ask;
    assert_eq!(ask, Ask::SetFenced, "it is healed with a number");
    world.play(Step::Break { client: 0, node: 2 });
}

/// What is sent to the last node comes behind the release, which all nodes have answered. Says
/// what is left when nothing more can happen.
fn comes_last(mut world: World) -> Option<String> {
    deliver_all(&mut world);
    world.play(Step::ComesLate { which: 0 });
    while let Some(step) = world.steps().into_iter().next() {
        world.play(step);
    }
    world.left_behind()
}

/// A node has lost the key and is given it back, with a number above the holder's.
fn healing_comes_last() -> Option<String> {
    let clients = vec![vec![vec![Lock, Extend, Drop]]];
    let mut world = world(Scenario { clients, fenced: |_, _| true, ..CALM });
    act(&mut world, 0);
    deliver_all(&mut world);
    (world.nodes[2], world.fences[2]) = (None, 0);
    act(&mut world, 0);
    (0..3).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    lose_healing(&mut world);
    act(&mut world, 0);
    comes_last(world)
}

#[test]
fn a_healing_that_comes_behind_its_release_is_buried() {
    assert_eq!(healing_comes_last(), None);
    for mutant in [Mutant::HoldersNumberIsBuried, Mutant::HealsWithTheSameNumber] {
        assert!(with(mutant, healing_comes_last).is_some(), "{mutant:?} survives");
    }
}

#[test]
fn a_healing_that_was_too_low_is_above_the_fence_the_next_time() {
    let clients = vec![vec![vec![Lock, Extend, Extend, Drop]]];
    let mut world = world(Scenario { clients, fenced: |_, _| true, ..CALM });
    act(&mut world, 0);
    deliver_all(&mut world);
    (world.nodes[2], world.fences[2]) = (None, CLOCK + 600_000_000);
    act(&mut world, 0);
    deliver_all(&mut world);
    assert!(world.nodes[2].is_none(), "its fence is above the clock's number");
    act(&mut world, 0);
    deliver_all(&mut world);
    assert!(world.nodes[2].is_some(), "it was healed");
}

/// The first holder has no number, and hands the lock on to one that has.
fn plain_acquire_comes_last() -> Option<String> {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Drop]]];
    let mut world = world(Scenario { clients, fenced: |_, caller| caller == 1, ..CALM });
    act(&mut world, 0);
    world.play(Step::Break { client: 0, node: 2 });
    deliver_all(&mut world);
    act(&mut world, 1);
    act(&mut world, 0);
    deliver_all(&mut world);
    assert!(world.clients[0].callers[1].has_won());
    act(&mut world, 1);
    comes_last(world)
}

#[test]
fn what_has_no_number_is_not_taken_for_buried() {
    assert_eq!(plain_acquire_comes_last(), None);
    let left = with(Mutant::PlainCountsAsBuried, plain_acquire_comes_last);
    assert!(left.is_some(), "PlainCountsAsBuried survives");
}

/// The first holder has a number, and hands the lock on to one that has none, and heals a node.
fn plain_healing_comes_last() -> Option<String> {
    let clients = vec![vec![vec![Lock, Drop], vec![Lock, Extend, Drop]]];
    let mut world = world(Scenario { clients, fenced: |_, caller| caller == 0, ..CALM });
    act(&mut world, 0);
    deliver_all(&mut world);
    act(&mut world, 1);
    act(&mut world, 0);
    deliver_all(&mut world);
    assert!(world.clients[0].callers[1].has_won());
    (world.nodes[2], world.fences[2]) = (None, 0);
    act(&mut world, 1);
    (0..3).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    lose_healing(&mut world);
    act(&mut world, 1);
    comes_last(world)
}

#[test]
fn a_lock_that_had_a_number_is_healed_with_one() {
    assert_eq!(plain_healing_comes_last(), None);
    let left = with(Mutant::NothingIsBuried, plain_healing_comes_last);
    assert!(left.is_some(), "NothingIsBuried survives");
}
