//! Plays a run of either model to its end, or to what breaks it, and says what came of it.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    hash::Hash,
    time::Duration,
};

use stateright::{
    Checker, HasDiscoveries, Model, Path,
    report::{ReportData, ReportDiscovery, Reporter},
};

/// The head of the table of `Played::row`.
pub const HEADING: &str =
    "| run | states | transitions | depth | seconds | |\n|---|---:|---:|---:|---:|---|";

/// How a run is known, and what it may come to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub name: &'static str,
    /// So many states there are at least: less, and the model has gone blind.
    pub least: usize,
    /// It stops after so many transitions, which bounds its memory, and says so.
    pub cap: usize,
}

/// A run of either model.
pub trait Plan {
    fn name(&self) -> &'static str;

    /// Plays it by the rules, on so many threads.
    fn play(&self, threads: usize) -> Played;
}

/// A model that plays a run, by the rules or by a mutant of them.
pub trait Playable:
    Model<
        State: Clone + Debug + Display + Hash + PartialEq + Send + Sync + 'static,
        Action: Clone + Debug + PartialEq + Send + Sync + 'static,
    > + Send
    + Sync
    + 'static
{
    fn limits(&self) -> Limits;

    /// What the run must have come across, and has not.
    fn unseen(&self) -> Option<String>;
}

/// What came of a run.
pub struct Played {
    limits: Limits,
    pub states: usize,
    transitions: usize,
    /// How many states are on the longest way from the beginning.
    depth: usize,
    took: Duration,
    unseen: Option<String>,
    /// The properties that do not hold.
    pub broken: Vec<Broken>,
}

/// A property that does not hold, and the way to where it does not.
pub struct Broken {
    pub property: &'static str,
    pub steps: usize,
    pub trace: String,
}

/// Plays a run by the rules, on so many threads.
pub fn play(model: impl Playable, threads: usize) -> Played {
    explore(model, threads, HasDiscoveries::AnyFailures)
}

/// Plays a mutant until it breaks this property. One thread finds a shortest way.
pub fn play_mutant(model: impl Playable, property: &'static str) -> Played {
    explore(model, 1, HasDiscoveries::AnyOf([property].into()))
}

fn explore<M: Playable>(model: M, threads: usize, until: HasDiscoveries) -> Played {
    let limits = model.limits();
    let mut clock = Clock::default();
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(until)
        .target_state_count(limits.cap)
        .spawn_bfs()
        .join_and_report(&mut clock);
    Played {
        limits,
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        took: clock.0,
        unseen: checker.model().unseen(),
        broken: checker.discoveries().into_iter().map(Broken::by::<M>).collect(),
    }
}

impl Played {
    pub fn is_capped(&self) -> bool {
        self.transitions >= self.limits.cap
    }

    /// Its row, with what goes into the table in `docs/testing.md`.
    pub fn row(&self) -> String {
        let Self { limits, states, transitions, depth, took, .. } = self;
        let end = match (self.broken.is_empty(), self.is_capped()) {
            (false, _) => "BROKEN",
            (true, true) => "capped, none",
            (true, false) => "exhausted, none",
        };
        let (name, seconds) = (limits.name, took.as_secs_f64());
        format!("| {name} | {states} | {transitions} | {depth} | {seconds:.1} | {end} |")
    }

    /// Why it does not count, if it does not.
    pub fn objection(&self) -> Option<String> {
        if let Some(Broken { property, trace, .. }) = self.broken.first() {
            return Some(format!("{property} does not hold:\n{trace}"));
        }
        if let Some(unseen) = &self.unseen {
            return Some(format!("it never saw {unseen}"));
        }
        let Self { states, limits: Limits { least, .. }, .. } = self;
        (states < least).then(|| format!("{states} states, where {least} are to be"))
    }
}

impl Broken {
    /// The steps of a path and where each leads. Nodes are sorted after each step, so that a
    /// node's place may change from one to the next.
    fn by<M: Playable>(found: (&'static str, Path<M::State, M::Action>)) -> Self {
        let (property, path) = found;
        let (mut trace, mut steps) = (String::new(), 0);
        for (world, step) in path.into_vec() {
            trace += &format!("    {world}\n");
            if let Some(step) = step {
                trace += &format!("{step:?}\n");
                steps += 1;
            }
        }
        Self { property, steps, trace }
    }
}

/// Hears from stateright how long it took.
#[derive(Default)]
struct Clock(Duration);

impl<M: Playable> Reporter<M> for Clock {
    fn report_checking(&mut self, data: ReportData) {
        self.0 = data.duration;
    }

    fn report_discoveries(&mut self, _: &M, _: BTreeMap<&'static str, ReportDiscovery<M>>) {}

    fn delay(&self) -> Duration {
        Duration::from_millis(100)
    }
}
