//! That the small runs find nothing, that each mutant is found, and that leaving out what
//! makes no difference hides nothing.

use std::collections::HashSet;

use crate::{
    check::Playable,
    message::{Ask, Message, Reply},
    model::Fencing,
    mutants::{self, Wrong},
    rules::{Mutant, Rules},
    runs::{Run, SMALL},
    world::{CLAIMS, Claim, Node, Phase, World},
};

/// All small runs together have at least so many states.
const LEAST: usize = 8_400_000;

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn what_the_rules_say_holds() {
    let exhausted = crate::play_all(&crate::plans(&[SMALL], &[]));
    assert!(exhausted.is_some_and(|states| states >= LEAST), "see the table above");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn every_mutant_is_found() {
    assert!(mutants::find_all(mutants::CASES), "see the table above");
}

/// What healing by the old number breaks is that keys end up as nobody's, and no more.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn healing_by_the_old_number_keeps_the_order() {
    for mutant in [Mutant::H1, Mutant::H2] {
        for property in ["order", "no number twice"] {
            let played = mutant.play("healing", property).unwrap();
            let breaks = played.broken.iter().any(|broken| broken.property == property);
            assert!(!breaks && !played.is_capped(), "{mutant:?}: {}", played.row());
        }
    }
}

/// All states that the model comes to, without what `bare` takes away.
pub fn reached<M: Playable<State: Eq>>(
    model: &M,
    bare: impl Fn(M::State) -> M::State,
) -> HashSet<M::State> {
    let mut met: HashSet<M::State> = model.init_states().into_iter().collect();
    let mut open: Vec<M::State> = met.iter().cloned().collect();
    let mut steps = Vec::new();
    while let Some(world) = open.pop() {
        model.actions(&world, &mut steps);
        for next in steps.drain(..).filter_map(|step| model.next_state(&world, step)) {
            if met.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    met.into_iter().map(bare).collect()
}

/// All that nodes have ever had and claims have ever been, without what is under way.
fn bare(mut world: World) -> World {
    for at in world.nodes.iter_mut().flat_map(|node| &mut node.at) {
        *at = Default::default();
    }
    // When it learns that all is over does make a difference: to itself.
    for claim in world.claims.iter_mut().filter(|claim| claim.phase == Phase::Ending) {
        *claim = Claim { phase: Phase::Done, ..Claim::default() };
    }
    world
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization: make test-model")]
fn tidying_hides_nothing() {
    let runs = ["there and back", "healing", "hand-over"].map(|name| Run::named(name).unwrap());
    for run in runs.map(|run| Run { begun: !run.roles[0].plain, top: 2, ..run }) {
        let tidy = Fencing::new(run, Rules(None));
        let mut untidy = Fencing::new(run, Rules(None));
        untidy.keeps_all = true;
        let [tidy, untidy] =
            [tidy, untidy].map(|model| reached(&model, |it| model.normal(bare(it))));
        println!("{}: {} states but for messages, either way", run.name, tidy.len());
        assert!(tidy == untidy, "{}: {} against {}", run.name, tidy.len(), untidy.len());
    }
}

#[test]
fn a_world_is_the_same_by_other_names() {
    let mut world = World::default();
    world.nodes[0] = Node { lock: 1, fence: 3, ..Node::default() };
    world.nodes[2] = Node { lock: 2, fence: 1, ..Node::default() };
    world.nodes[0].at[0].put(Message::new(Ask::Extend, 3));
    world.claims[0].number = 3;
    world.claims[1].number = 1;
    let mut other = World::default();
    other.nodes[1] = Node { lock: 2, fence: 3, ..Node::default() };
    other.nodes[0] = Node { lock: 1, fence: 1, ..Node::default() };
    other.nodes[1].at[1].put(Message::new(Ask::Extend, 3));
    other.claims[1].number = 3;
    other.claims[0].number = 1;
    assert_eq!(world.clone().normal(&[[1, 0, 2]]), other.clone().normal(&[[1, 0, 2]]));
    assert_ne!(world.normal(&[]), other.normal(&[]));
}

/// Each line of the tables of `acquire.lua` and `extend.lua`.
#[test]
fn nodes_answer_as_the_scripts_do() {
    let rows = [
        // lock and fence before, question, number; reply, lock and fence after
        (0, 4, Ask::Acquire, 5, Reply::Done, 1, 5),
        (0, 4, Ask::Acquire, 4, Reply::Stale, 0, 4),
        (2, 4, Ask::Acquire, 5, Reply::Locked, 2, 4),
        (1, 4, Ask::Acquire, 5, Reply::Done, 1, 5),
        (1, 4, Ask::Acquire, 4, Reply::Stale, 1, 4),
        (0, 4, Ask::Heal, 4, Reply::Stale, 0, 4),
        (0, 4, Ask::Extend, 5, Reply::Missing, 0, 4),
        (1, 4, Ask::Extend, 3, Reply::Done, 1, 4),
        (1, 4, Ask::Extend, 5, Reply::Done, 1, 5),
        (1, 4, Ask::HandOver, 4, Reply::Stale, 1, 4),
        (1, 4, Ask::HandOver, 5, Reply::Done, 1, 5),
        (2, 4, Ask::HandOver, 5, Reply::Missing, 2, 4),
        (0, 4, Ask::Set, 0, Reply::Done, 1, 4),
        (2, 4, Ask::Set, 0, Reply::Locked, 2, 4),
        (1, 4, Ask::PlainExtend, 0, Reply::Done, 1, 4),
    ];
    for (lock, fence, ask, number, reply, lock_after, fence_after) in rows {
        let mut node = Node { lock, fence, at: [Default::default(); CLAIMS] };
        let answer = node.carry_out(0, Message::new(ask, number), Rules(None));
        assert_eq!(answer.reply(), Some(reply), "{ask:?} {number} at {lock}, {fence}");
        assert_eq!(
            (node.lock, node.fence),
            (lock_after, fence_after),
            "{ask:?} {number} at {lock}, {fence}"
        );
    }
}
