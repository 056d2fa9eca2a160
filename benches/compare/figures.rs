//! All that was measured: one value in each round of each figure of each
//! contender in each case.

use redlock_quorum_benches::{
    common::{micros, quantile},
    contenders::Kind,
    measure::{Burst, Latencies},
    report::ratios,
    table::median,
};

pub const ACQUIRE: Quantiles = Quantiles {
    p50: "acquire p50, µs",
    p99: "acquire p99, µs",
    p999: "acquire p999, µs",
    max: "acquire max, µs",
};
pub const RELEASE: Quantiles = Quantiles {
    p50: "release p50, µs",
    p99: "release p99, µs",
    p999: "release p999, µs",
    max: "release max, µs",
};
pub const PAIRS: &str = "pairs";
pub const PAIRS_A_SECOND: &str = "pairs a second";
pub const CLIENT_CPU: &str = "client CPU a pair, µs";
pub const SERVER_CPU: &str = "CPU of all servers a pair, µs";
pub const COMMANDS: &str = "commands a pair";
pub const ALLOCATED: &str = "allocated, bytes a lock";
pub const RESIDENT: &str = "resident, bytes a lock";
pub const ADDED: &str = "really added to a PING, µs";
pub const FAILED: &str = "calls that failed";
pub const FAILED_END: &str = "releases of all that failed";
pub const KEYS_LEFT: &str = "keys left";
pub const KEYS_LEFT_LIVING: &str = "keys left while the node was away";
pub const KEYS_LEFT_END: &str = "keys left when all were released";

pub const ALL_FAILED: [&str; 2] = [FAILED, FAILED_END];

/// Nobody else will delete them before their ttl.
pub const ALL_KEYS_LEFT: [&str; 3] = [KEYS_LEFT, KEYS_LEFT_LIVING, KEYS_LEFT_END];

/// The names of one call's quantiles.
pub struct Quantiles {
    pub p50: &'static str,
    pub p99: &'static str,
    pub p999: &'static str,
    pub max: &'static str,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Latency,
    Tasks,
    Hung,
    Dead,
    Memory,
    Held,
    Distance,
    Fenced,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Tasks => "tasks",
            Self::Hung => "hung",
            Self::Dead => "dead",
            Self::Memory => "memory",
            Self::Held => "held",
            Self::Distance => "distance",
            Self::Fenced => "fenced",
        }
    }

    /// What varies in it.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Latency | Self::Tasks | Self::Fenced => "tasks",
            Self::Hung | Self::Dead => "nodes_away",
            Self::Memory | Self::Held => "locks_held",
            Self::Distance => "added_us",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub part: Part,
    pub nodes: usize,
    /// How much of what varies.
    pub at: usize,
}

impl Case {
    pub fn new(part: Part, nodes: usize, at: usize) -> Self {
        Self { part, nodes, at }
    }
}

pub struct Figure {
    pub case: Case,
    pub who: &'static str,
    pub name: &'static str,
    pub rounds: Vec<f64>,
}

#[derive(Default)]
pub struct Figures {
    pub all: Vec<Figure>,
}

impl Figures {
    /// One more round's value.
    pub fn add(&mut self, case: Case, who: &'static str, name: &'static str, value: f64) {
        let is_it =
            |figure: &&mut Figure| figure.case == case && figure.who == who && figure.name == name;
        match self.all.iter_mut().find(is_it) {
            Some(figure) => figure.rounds.push(value),
            None => self.all.push(Figure { case, who, name, rounds: vec![value] }),
        }
    }

    pub fn add_latencies(&mut self, case: Case, kind: Kind, mut taken: Latencies) {
        let mut add = |name, value| self.add(case, kind.name(), name, value);
        add(PAIRS, taken.releases.len() as f64);
        add(FAILED, taken.failed as f64);
        for (names, spans) in [(ACQUIRE, &mut taken.acquires), (RELEASE, &mut taken.releases)] {
            add(names.p50, micros(quantile(spans, 0.5)));
            add(names.p99, micros(quantile(spans, 0.99)));
            add(names.p999, micros(quantile(spans, 0.999)));
            add(names.max, micros(quantile(spans, 1.0)));
        }
    }

    pub fn add_burst(&mut self, case: Case, kind: Kind, burst: &Burst) {
        let pairs = burst.pairs as f64;
        let mut add = |name, value| self.add(case, kind.name(), name, value);
        add(PAIRS_A_SECOND, pairs / burst.taken.as_secs_f64());
        add(CLIENT_CPU, micros(burst.client_cpu) / pairs);
        add(SERVER_CPU, micros(burst.server_cpu) / pairs);
        add(COMMANDS, burst.commands as f64 / pairs);
        add(FAILED, burst.failed as f64);
        add(KEYS_LEFT, burst.keys_left as f64);
    }

    pub fn rounds(&self, case: Case, who: &str, name: &str) -> Option<&[f64]> {
        let is_it =
            |figure: &&Figure| figure.case == case && figure.who == who && figure.name == name;
        self.all.iter().find(is_it).map(|figure| &figure.rounds[..])
    }

    pub fn median(&self, case: Case, kind: Kind, name: &str) -> Option<f64> {
        self.rounds(case, kind.name(), name).map(median)
    }

    /// To floor A in the same round.
    pub fn ratios(&self, case: Case, who: &str, name: &str) -> Option<Vec<f64>> {
        self.ratios_to(Kind::FloorA, case, who, name)
    }

    /// To another in the same round.
    pub fn ratios_to(&self, base: Kind, case: Case, who: &str, name: &str) -> Option<Vec<f64>> {
        let base = self.rounds(case, base.name(), name)?;
        Some(ratios(self.rounds(case, who, name)?, base))
    }

    /// Over all rounds.
    pub fn sum(&self, names: &[&str], is_it: impl Fn(&Figure) -> bool) -> f64 {
        let all = self.all.iter().filter(|figure| names.contains(&figure.name) && is_it(figure));
        all.flat_map(|figure| &figure.rounds).sum()
    }
}
