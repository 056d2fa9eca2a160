//! Plays schedules: all of them, but for states that were seen before, or many
//! by chance. It knows nothing of locks.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    scenario::{Scenario, Step},
    world::World,
};

/// A schedule by chance is cut off here: nodes that break for ever never end.
const LONGEST: usize = 2_000;

/// What came of playing.
#[derive(Debug)]
pub(super) struct Played {
    /// How many distinct schedules were played: each from the beginning, until nothing
    /// more could happen or to a state that was seen before, and none a part of another.
    pub(super) schedules: usize,
    pub(super) states: usize,
    /// What was wrong, and by which steps.
    pub(super) violation: Option<(String, Vec<Step>)>,
}

/// Plays every schedule of `scenario`, up to states that were seen before; at
/// most `most` of them.
pub(super) fn exhaustively(scenario: &Scenario, most: usize) -> Played {
    let (mut seen, mut schedules) = (HashSet::new(), 0);
    let mut open: Vec<Vec<Step>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut world = World::new(scenario);
        path.iter().for_each(|step| world.play(*step));
        // The last branch goes on in the same world; the others begin anew.
        let mut path = path;
        schedules += 1;
        loop {
            if let Some(what) = world.violation() {
                return Played { schedules, states: seen.len(), violation: Some((what, path)) };
            }
            if !seen.insert(world.fingerprint()) {
                break;
            }
            let mut steps = world.steps();
            let Some(last) = steps.pop() else {
                if let Some(what) = world.left_behind() {
                    return Played { schedules, states: seen.len(), violation: Some((what, path)) };
                }
                break;
            };
            open.extend(steps.into_iter().map(|step| [&path[..], &[step]].concat()));
            world.play(last);
            path.push(last);
        }
        if schedules >= most {
            break;
        }
    }
    Played { schedules, states: seen.len(), violation: None }
}

/// Plays a schedule of `scenario` for each seed.
pub(super) fn by_seeds(scenario: &Scenario, seeds: std::ops::Range<u64>) -> Played {
    let (mut distinct, mut states) = (HashSet::new(), 0);
    for seed in seeds {
        let (mut world, mut path) = (World::new(scenario), Vec::new());
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut ended = false;
        while !ended && path.len() < LONGEST {
            let steps = world.steps();
            let step = steps.get(rng.random_range(0..steps.len().max(1))).copied();
            step.into_iter().for_each(|step| {
                world.play(step);
                path.push(step);
            });
            ended = step.is_none();
            states += 1;
            let left = || world.left_behind();
            let what = if ended { left() } else { None };
            if let Some(what) = what.or_else(|| world.violation()) {
                let schedules = distinct.len();
                return Played { schedules, states, violation: Some((what, path)) };
            }
        }
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        distinct.insert(hasher.finish());
    }
    Played { schedules: distinct.len(), states, violation: None }
}
