//! Single schedules of locks with a grace: what is handed on, and for how long its key lives then.

use std::time::Duration;

use super::{
    CALM,
    caller::Act::{Drop, Lock},
    scenario::{Scenario, Step},
    scripts::with,
    world::World,
};
use crate::mutant::Mutant;

const TTL: Duration = Duration::from_secs(1);

/// One that holds with a grace of so many milliseconds, and another task of the same client that
/// waits with a grace of its own.
fn holder_and_waiter(graces: [u32; 2]) -> World {
    let (clients, wait) = (vec![vec![vec![Lock, Drop], vec![Lock]]], Duration::from_secs(60));
    let mut world = World::new(&Scenario { clients, slow: 0, wait, ttl: TTL, ..CALM });
    for (caller, grace) in graces.into_iter().enumerate() {
        world.clients[0].callers[caller].grace = grace;
        world.play(Step::Act { client: 0, caller });
    }
    assert!(world.clients[0].callers[0].has_won() && world.clients[0].callers[1].waits());
    world
}

/// Whether the waiter gets the lock with the holder's key, which lives no longer than it asks for.
fn is_handed_on(graces: [u32; 2]) -> bool {
    let mut world = holder_and_waiter(graces);
    world.play(Step::Act { client: 0, caller: 0 });
    while !world.clients[0].callers[1].has_won() {
        world.play(Step::Wait);
    }
    let [first, second] = [0, 1].map(|caller| &world.clients[0].callers[caller].locks[0].claim);
    first.token == second.token
}

/// For how long the waiter's key lives once it has the lock.
fn lives_for(graces: [u32; 2]) -> Duration {
    let mut world = holder_and_waiter(graces);
    world.play(Step::Act { client: 0, caller: 0 });
    while !world.clients[0].callers[1].has_won() {
        world.play(Step::Wait);
    }
    let ends = world.nodes.iter().flatten().map(|(_, until)| *until);
    ends.max().expect("it holds the lock").since(world.now)
}

#[test]
fn a_key_that_lives_longer_than_the_next_holder_asks_for_is_not_handed_on() {
    for graces in [[0, 0], [5_000, 5_000], [0, 5_000]] {
        assert!(is_handed_on(graces), "{graces:?}");
    }
    let less = [5_000, 0];
    assert!(!is_handed_on(less));
    assert!(with(Mutant::HandsOnMoreGrace, || is_handed_on(less)), "HandsOnMoreGrace survives");
}

#[test]
fn a_key_ends_a_ttl_and_a_grace_after_the_holder_has_it() {
    for graces in [[0, 0], [5_000, 5_000], [0, 5_000], [5_000, 0]] {
        let most = TTL + Duration::from_millis(graces[1].into());
        assert!(lives_for(graces) <= most, "{graces:?}");
        let outlives = with(Mutant::HandsOnMoreGrace, || lives_for(graces) > most);
        assert_eq!(outlives, graces == [5_000, 0], "{graces:?}");
    }
}

#[test]
fn a_key_that_may_be_left_is_asked_for_until_its_grace_is_over() {
    let is_asked_for = || {
        let world = holder_and_waiter([5_000, 0]);
        let gone_by = world.clients[0].callers[0].locks[0].claim.gone_by();
        gone_by >= world.now.after(TTL + Duration::from_secs(5))
    };
    assert!(is_asked_for());
    assert!(!with(Mutant::GoneWithoutGrace, is_asked_for), "GoneWithoutGrace survives");
}
