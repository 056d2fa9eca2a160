//! That the small runs find nothing, that each mutant is found, and that leaving out what
//! makes no difference hides nothing.

use super::{
    CASES, SMALL,
    message::{Ask, Message, Reply},
    model::Strict,
    runs::Run,
    world::{Claim, Data, Epoch, Phase, World},
};
use crate::{mutants, tests::reached};

/// All small runs together have at least so many states.
const LEAST: usize = 12_000_000;

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn what_the_rules_say_holds() {
    let exhausted = crate::play_all(&crate::plans(&[], &[SMALL]));
    assert!(exhausted.is_some_and(|states| states >= LEAST), "see the table above");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn every_mutant_is_found() {
    assert!(mutants::find_all(CASES), "see the table above");
}

fn bare(mut world: World) -> World {
    for at in world.nodes.iter_mut().flat_map(|node| &mut node.at) {
        *at = Default::default();
    }
    world
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn tidying_hides_nothing() {
    for name in ["restarts empty", "is told", "heals"] {
        let run = Run { ticks: 1, ttl: 1, ..Run::named(name).unwrap() };
        let mut untidy = Strict::new(run, None);
        untidy.keeps_all = true;
        let [tidy, untidy] = [Strict::new(run, None), untidy]
            .map(|model| reached(&model, |world| model.normal(bare(world))));
        println!("{}: {} states but for messages, either way", run.name, tidy.len());
        assert!(tidy == untidy, "{}: {} against {}", run.name, tidy.len(), untidy.len());
    }
}

#[test]
fn a_world_is_the_same_by_other_names() {
    let strict = Strict::new(Run::named("flushes").unwrap(), None);
    let mut world = World::default();
    world.nodes[0].data = Data { lock: 1, left: 2, ..Data::default() };
    world.nodes[2].saved = Data { lock: 2, left: 1, ..Data::default() };
    world.nodes[0].at[0].put(Message::new(Ask::Extend, true, 1, 0));
    world.claims[0] = Claim { phase: Phase::Held, ..Claim::default() };
    let mut other = World::default();
    other.nodes[1].data = Data { lock: 2, left: 2, ..Data::default() };
    other.nodes[0].saved = Data { lock: 1, left: 1, ..Data::default() };
    other.nodes[1].at[1].put(Message::new(Ask::Extend, true, 1, 0));
    other.claims[1] = Claim { phase: Phase::Held, ..Claim::default() };
    assert_eq!(strict.normal(world.clone()), strict.normal(other.clone()));
    assert_ne!(world.normal(3, &[]), other.normal(3, &[]));
}

/// Each line of the table of `epoch.lua`, at a free node, by a client that knows its run id
/// and by one that does not; the ttl is 2.
#[test]
fn nodes_answer_as_the_prelude_does() {
    use Epoch::{None, Other, Own, Quarantine as Q};
    let rows = [
        // epoch before, question; reply, epoch after
        (Own, Ask::Acquire, true, Reply::Done, Own),
        (Own, Ask::Acquire, false, Reply::Told, Own),
        (None, Ask::Acquire, true, Reply::Quarantined, Q(2)),
        (Other, Ask::Acquire, true, Reply::Quarantined, Q(2)),
        (Other, Ask::Acquire, false, Reply::Quarantined, Q(2)),
        (Q(1), Ask::Acquire, true, Reply::Quarantined, Q(1)),
        (Q(0), Ask::Acquire, true, Reply::DoneAfter, Own),
        (Q(0), Ask::Acquire, false, Reply::Told, Own),
        (Other, Ask::Heal, true, Reply::Done, Q(2)),
        (Q(1), Ask::Heal, true, Reply::Done, Q(1)),
        (Q(1), Ask::Heal, false, Reply::Told, Q(1)),
        (None, Ask::Extend, true, Reply::Missing, None),
    ];
    let rules = Strict::new(Run::named("flushes").unwrap(), Option::None).rules;
    for (epoch, ask, knows, reply, after) in rows {
        let mut data = Data { epoch, ..Data::default() };
        let answer = data.carry_out(0, Message::new(ask, knows, 0, 0), rules);
        let told = format!("{ask:?} at {epoch:?}, knows: {knows}");
        assert_eq!((answer.reply(), data.epoch), (Some(reply), after), "{told}");
        let done = matches!(reply, Reply::Done | Reply::DoneAfter);
        assert_eq!((data.has(0), data.left), (done, 2 * u8::from(done)), "{told}");
    }
}

/// A key is extended where it is, an own one is granted again, and lives no longer by that.
#[test]
fn nodes_answer_as_the_scripts_do() {
    let rows = [
        // lock, left and fence before, question, number; reply, left and fence after
        (1, 1, 0, Ask::Extend, 0, Reply::Done, 2, 0),
        (1, 1, 1, Ask::Extend, 2, Reply::Done, 2, 2),
        (1, 1, 3, Ask::Extend, 2, Reply::Done, 2, 3),
        (2, 1, 0, Ask::Extend, 0, Reply::Missing, 1, 0),
        (1, 1, 0, Ask::Acquire, 0, Reply::Done, 1, 0),
        (2, 1, 0, Ask::Acquire, 0, Reply::Refused, 1, 0),
        (2, 1, 0, Ask::Heal, 0, Reply::Refused, 1, 0),
        (1, 1, 1, Ask::Acquire, 2, Reply::Done, 1, 2),
        (1, 1, 2, Ask::Acquire, 2, Reply::Refused, 1, 2),
        (0, 0, 2, Ask::Heal, 2, Reply::Refused, 0, 2),
        (0, 0, 1, Ask::Heal, 2, Reply::Done, 2, 2),
    ];
    let rules = Strict::new(Run::named("flushes").unwrap(), None).rules;
    for (lock, left, fence, ask, number, reply, left_after, fence_after) in rows {
        let mut data = Data { lock, left, fence, epoch: Epoch::Own };
        let answer = data.carry_out(0, Message::new(ask, true, 0, number), rules);
        let told = format!("{ask:?} {number} at {lock}, {left}, {fence}");
        assert_eq!(answer.reply(), Some(reply), "{told}");
        assert_eq!((data.left, data.fence), (left_after, fence_after), "{told}");
    }
}
