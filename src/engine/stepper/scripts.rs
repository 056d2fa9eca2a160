//! Single schedules, written out: what must come of them, and that it does not with a
//! mutant. They are for turns that a schedule by chance takes too seldom.

use std::time::Duration;

use super::{
    CALM,
    caller::Act::{Ask, Drop, Lock, Try},
    node::HASH,
    scenario::{Scenario, Step},
    world::World,
};
use crate::{
    engine::Time,
    exchange::{Heard, News},
    key::Key,
    mutant::{Mutant, chosen::choose},
    protocol::{Moment, NodeId},
};

/// Plays with `mutant`.
pub(super) fn with<T>(mutant: Mutant, play: impl Fn() -> T) -> T {
    choose(Some(mutant));
    let played = play();
    choose(None);
    played
}

#[test]
fn what_few_tell_is_looked_into_soon() {
    assert!(asks_soon(), "it may be all that will be told");
    assert!(!with(Mutant::FewTellNothing, asks_soon), "FewTellNothing survives");
}

/// Whether a waiter that trusts to be told asks soon when one node alone tells.
fn asks_soon() -> bool {
    let clients = vec![vec![vec![Lock, Drop]], vec![vec![Lock, Drop]]];
    let wait = Duration::from_secs(60);
    let ttl = Duration::from_secs(30);
    let mut world = World::new(&Scenario { clients, slow: 0, wait, ttl, ..CALM });
    (0..2).for_each(|client| world.play(Step::Act { client, caller: 0 }));
    let key = || Key::new(b"", b"k").unwrap();
    let hear = |world: &mut World, node, heard| {
        let time = Time { clock: world.now, now: world.now };
        world.clients[1].engine.handle_heard(node, heard, time);
    };
    for node in NodeId::all(CALM.nodes) {
        hear(&mut world, node, Heard::Subscribed(key()));
    }
    while world.clients[1].engine.poll_timeout() < world.now.after(Duration::from_secs(1)) {
        world.play(Step::Wait);
    }
    let (node, news) = (NodeId::all(CALM.nodes).next().unwrap(), News { number: 1, age: 0 });
    hear(&mut world, node, Heard::Released(key(), news));
    world.clients[1].engine.poll_timeout() < world.now.after(Duration::from_secs(1))
}

/// Two clients that have asked all nodes that are up, once each.
fn two_that_try(down: usize) -> World {
    let clients = vec![vec![vec![Try, Drop]]; 2];
    let mut world = World::new(&Scenario { clients, slow: 2, stalls: 1_000, down, ..CALM });
    (0..2).for_each(|client| world.play(Step::Act { client, caller: 0 }));
    world
}

/// Delivers what is on its way for `client`, until it waits for time to pass.
fn deliver_all(world: &mut World, client: usize) {
    let is_it =
        |step: &Step| matches!(step, Step::Deliver { client: whose, .. } if *whose == client);
    while let Some(step) = world.steps().into_iter().find(is_it) {
        world.play(step);
    }
}

#[test]
fn a_client_that_comes_late_reads_its_answers_before_it_passes_a_node_over() {
    assert!(wins_though_late(1));
    assert!(!with(Mutant::LateIsSilent, || wins_though_late(1)), "LateIsSilent survives");
    assert!(!wins_though_late(2), "timers that are always late don't keep it from going on");
}

/// Whether a client gets the lock whose timers rang late so many times before it read the
/// deciding answer.
fn wins_though_late(times: usize) -> bool {
    let mut world = two_that_try(0);
    // The other has one node, and never goes on.
    world.play(Step::Execute { client: 1, node: 1 });
    world.play(Step::Deliver { client: 0, node: 0 });
    world.play(Step::Deliver { client: 0, node: 1 });
    for _ in 0..times {
        let engine = &mut world.clients[0].engine;
        let late = engine.poll_timeout().after(Duration::from_millis(5));
        world.now = late;
        engine.handle_due(late, Time { clock: late, now: late });
    }
    world.play(Step::Deliver { client: 0, node: 2 });
    world.clients[0].callers[0].has_won()
}

#[test]
fn who_gives_up_and_is_granted_late_is_taken_for_no_holder() {
    assert!(looks_again());
    assert!(!with(Mutant::FirstLookIsBelieved, looks_again), "FirstLookIsBelieved survives");
}

/// Whether one of two goes on that sees a quorum with the other's value, where that one
/// has given up waiting for a node that grants it after all.
fn looks_again() -> bool {
    let mut world = two_that_try(0);
    let deliver_from = |world: &mut World, client, nodes: &[usize]| {
        nodes.iter().for_each(|node| world.play(Step::Deliver { client, node: *node }));
    };
    world.play(Step::Execute { client: 1, node: 1 });
    deliver_from(&mut world, 0, &[0, 1]);
    // The first waits no longer for the third node, and gives its vote back. Before it is
    // asked for that, the third node grants it.
    world.play(Step::Wait);
    deliver_from(&mut world, 0, &[2]);
    deliver_from(&mut world, 1, &[0, 1, 2]);
    // So what the second sees looks like a holder.
    deliver_all(&mut world, 1);
    world.clients[1].callers[0].waits()
}

#[test]
fn a_vote_that_stays_is_not_passed_over_where_nobody_could_do_without_the_node() {
    assert_eq!(asks(), 1, "it looks, and asks no more");
    assert!(with(Mutant::InsistingIsStale, asks) > 1, "InsistingIsStale survives");
}

/// How often one asks whose rival has kept the vote of one of the two nodes that are up.
fn asks() -> u64 {
    let mut world = two_that_try(1);
    world.play(Step::Execute { client: 1, node: 0 });
    while world.clients[0].callers[0].waits() {
        deliver_all(&mut world, 0);
        world.play(Step::Wait);
    }
    world.clients[0].attempts
}

#[test]
fn a_waiter_finds_that_a_quorum_has_gone_behind_a_holder() {
    assert!((0..3).all(is_told));
    let all = with(Mutant::FewAreEnough, || (0..3).all(is_told));
    assert!(!all, "FewAreEnough survives");
}

/// Whether a waiter without a limit is told of a quorum of nodes that go down while another
/// holds. Each client has another home node, one of which stays.
fn is_told(client: usize) -> bool {
    let (clients, wait) = (vec![vec![vec![Lock, Drop]]; 3], Duration::MAX);
    let scenario = Scenario { clients, slow: 3, stalls: 1_000, wait, aliases: true, ..CALM };
    let mut world = World::new(&scenario);
    world.nodes.fill(Some((b"another".to_vec(), Moment::NEVER)));
    let end = world.now.after(CALM.ttl * 10);
    world.play(Step::Act { client, caller: 0 });
    deliver_all(&mut world, client);
    world.take_down(2);
    while world.clients[client].callers[0].waits() && world.now < end {
        world.play(Step::Wait);
        deliver_all(&mut world, client);
    }
    !world.clients[client].callers[0].waits()
}

#[test]
fn an_attempt_that_is_taken_back_tells_those_who_may_have_seen_it_win() {
    assert!(tells(2) && !tells(1), "a quorum may have had its value, and then less");
    let nobody = with(Mutant::RollbackTellsNobody, || !tells(2));
    assert!(nobody, "RollbackTellsNobody survives");
}

/// Whether an attempt publishes that it is taken back which so many nodes may have granted,
/// since they do not answer; the others refuse.
fn tells(silent: usize) -> bool {
    let clients = vec![vec![vec![Ask, Drop]]];
    let mut world = World::new(&Scenario { clients, slow: 1, stalls: 1_000, ..CALM });
    let refusing = silent..CALM.nodes;
    world.nodes[refusing.clone()].fill(Some((b"another".to_vec(), Moment::NEVER)));
    world.play(Step::Act { client: 0, caller: 0 });
    refusing.for_each(|node| world.play(Step::Deliver { client: 0, node }));
    while world.clients[0].callers[0].waits() {
        world.play(Step::Wait);
    }
    let mut sent = world.clients[0].links.iter().flat_map(|link| &link.sent);
    sent.any(|sent| sent.tells)
}

#[test]
fn what_is_at_the_key_is_told_though_looks_take_long() {
    for (looks, is_late) in [(1, false), (2, false), (2, true)] {
        let told = what_is_told(looks, is_late);
        let (why, _) = told.split_once(':').unwrap_or_default();
        assert!(why.contains("a hash, a list"), "{looks} {is_late}: {told}");
    }
}

/// What one is told that found a quorum with keys of another type, and that got an answer to
/// so many looks, the first of which may come later than answers did before.
fn what_is_told(looks: usize, is_late: bool) -> String {
    let clients = vec![vec![vec![Try, Drop]]];
    let mut world = World::new(&Scenario { clients, slow: 1, stalls: 1_000, ..CALM });
    world.nodes[..2].fill(Some((HASH.to_vec(), Moment::NEVER)));
    world.play(Step::Act { client: 0, caller: 0 });
    let deliver = |world: &mut World| {
        (0..CALM.nodes).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    };
    deliver(&mut world);
    if is_late {
        world.play(Step::Wait);
    }
    (0..looks).for_each(|_| deliver(&mut world));
    while world.clients[0].callers[0].waits() {
        world.play(Step::Wait);
    }
    let error = world.clients[0].callers[0].error.as_ref();
    error.map(ToString::to_string).unwrap_or_default()
}

/// A waiter that has seen twice that a value is empty need not see it again to say so when its
/// time is over.
#[test]
fn an_empty_value_is_told_though_the_last_look_was_cut_short() {
    let clients = vec![vec![vec![Lock, Drop]]];
    let wait = Duration::from_millis(300);
    let mut world = World::new(&Scenario { clients, slow: 1, stalls: 1_000, wait, ..CALM });
    world.nodes.fill(Some((Vec::new(), Moment::NEVER)));
    let end = world.now.after(wait / 2);
    world.play(Step::Act { client: 0, caller: 0 });
    while world.now < end {
        deliver_all(&mut world, 0);
        world.play(Step::Wait);
    }
    // From now on each look is answered by two of three, and only once.
    let attempts = world.clients[0].attempts;
    while world.clients[0].attempts == attempts {
        deliver_all(&mut world, 0);
        world.play(Step::Wait);
    }
    for _ in 0..2 {
        (0..2).for_each(|node| world.play(Step::Deliver { client: 0, node }));
    }
    while world.clients[0].callers[0].waits() {
        world.play(Step::Wait);
    }
    let told = world.clients[0].callers[0].error.as_ref().map(ToString::to_string);
    let told = told.unwrap_or_default();
    let (why, _) = told.split_once(" after ").unwrap_or_default();
    assert!(why.contains("an empty string"), "{told}");
}
