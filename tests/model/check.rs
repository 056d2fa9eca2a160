//! Plays a run to its end, or to what breaks it, and says what came of it.

use std::{sync::Arc, time::Duration};

use stateright::{
    Checker, HasDiscoveries, Model, Path,
    report::{ReportData, ReportDiscovery, Reporter},
};

use crate::{
    model::Fencing,
    rules::{Mutant, Rules},
    runs::Run,
    seen::Seen,
    steps::Step,
    world::World,
};

/// The head of the table of `Played::row`.
pub const HEADING: &str =
    "| run | states | transitions | depth | seconds | |\n|---|---:|---:|---:|---:|---|";

/// What came of a run.
pub struct Played {
    pub run: Run,
    pub states: usize,
    pub transitions: usize,
    /// How many states are on the longest way from the beginning.
    pub depth: usize,
    pub took: Duration,
    pub seen: Arc<Seen>,
    /// The properties that do not hold, each with the steps to where it does not.
    pub broken: Vec<(&'static str, Path<World, Step>)>,
}

/// Plays a run by the rules, on so many threads.
pub fn play(run: Run, threads: usize) -> Played {
    let any = HasDiscoveries::AnyFailures;
    explore(Fencing::new(run, Rules(None)), threads, any)
}

/// Plays it by a mutant until it breaks this property. One thread finds a shortest way.
pub fn play_mutant(run: Run, mutant: Mutant, property: &'static str) -> Played {
    let this = HasDiscoveries::AnyOf([property].into());
    explore(Fencing::new(run, Rules(Some(mutant))), 1, this)
}

fn explore(model: Fencing, threads: usize, until: HasDiscoveries) -> Played {
    let (run, seen) = (model.run, Arc::clone(&model.seen));
    let mut clock = Clock::default();
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(until)
        .target_state_count(run.cap)
        .spawn_bfs()
        .join_and_report(&mut clock);
    Played {
        run,
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        took: clock.0,
        seen,
        broken: checker.discoveries().into_iter().collect(),
    }
}

impl Played {
    pub fn is_capped(&self) -> bool {
        self.transitions >= self.run.cap
    }

    /// Its row, with what goes into the table in `docs/testing.md`.
    pub fn row(&self) -> String {
        let Self { run, states, transitions, depth, took, .. } = self;
        let end = match (self.broken.is_empty(), self.is_capped()) {
            (false, _) => "BROKEN",
            (true, true) => "capped, none",
            (true, false) => "exhausted, none",
        };
        let (name, seconds) = (run.name, took.as_secs_f64());
        format!("| {name} | {states} | {transitions} | {depth} | {seconds:.1} | {end} |")
    }

    /// Why it does not count, if it does not.
    pub fn objection(&self) -> Option<String> {
        if let Some((property, path)) = self.broken.first() {
            return Some(format!("{property} does not hold:\n{}", trace(path)));
        }
        let unseen = self.run.must_see.iter().find(|event| !self.seen.has(**event));
        if let Some(event) = unseen {
            return Some(format!("it never saw {event:?}"));
        }
        let Self { states, run, .. } = self;
        (*states < run.least).then(|| format!("{states} states, where {} are to be", run.least))
    }
}

/// The steps of a path and where each leads. Nodes are sorted after each step, so that a
/// node's place may change from one to the next.
pub fn trace(path: &Path<World, Step>) -> String {
    let mut text = String::new();
    for (world, step) in path.clone().into_vec() {
        text += &format!("    {world}\n");
        if let Some(step) = step {
            text += &format!("{step:?}\n");
        }
    }
    text
}

/// Hears from stateright how long it took.
#[derive(Default)]
struct Clock(Duration);

impl Reporter<Fencing> for Clock {
    fn report_checking(&mut self, data: ReportData) {
        self.0 = data.duration;
    }

    fn report_discoveries(
        &mut self,
        _: &Fencing,
        _: std::collections::BTreeMap<&'static str, ReportDiscovery<Fencing>>,
    ) {
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(100)
    }
}
