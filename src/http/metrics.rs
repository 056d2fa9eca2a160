//! The counts of one instance, for Prometheus and for the page. Nothing is ever
//! counted by key: there are too many keys, and they may say who did what.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::clock;
use crate::{inspect::Health, permit::Permit};

/// How an acquire ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquired {
    Granted,
    /// Another holds the lock.
    Busy,
    /// The wait ran out.
    TimedOut,
    NoQuorum,
    /// The acquire was refused, since too many wait.
    TooMany,
    /// The caller has gone, or the service ends.
    Cancelled,
}

/// How a release or an extension ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Ok,
    /// The lock is not the caller's, or is gone.
    Lost,
    NoQuorum,
    /// The caller has gone before the outcome was known.
    Cancelled,
}

impl Acquired {
    const ALL: [(Self, &str); 6] = [
        (Self::Granted, "acquired"),
        (Self::Busy, "busy"),
        (Self::TimedOut, "timed_out"),
        (Self::NoQuorum, "no_quorum"),
        (Self::TooMany, "too_many"),
        (Self::Cancelled, "cancelled"),
    ];
}

impl Done {
    const ALL: [(Self, &str); 4] = [
        (Self::Ok, "ok"),
        (Self::Lost, "lost"),
        (Self::NoQuorum, "no_quorum"),
        (Self::Cancelled, "cancelled"),
    ];
}

type Outcome = [(&'static str, &'static str); 1];
type Node = [(&'static str, Arc<str>); 1];
type NodeGauge = Family<Node, Gauge<f64, AtomicU64>>;

/// All counts of one instance.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    acquired: [Counter; 6],
    acquired_after: [Histogram; 6],
    released: [Counter; 4],
    extended: [Counter; 4],
    /// How many permits of [`Self::wait`] are out.
    waiting: Arc<AtomicUsize>,
    waiting_shown: Gauge,
    handed_out: Gauge,
    node_up: Family<Node, Gauge>,
    node_latency: NodeGauge,
}

/// The counts that the page draws. All but `waiting` are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) acquired: u64,
    /// Acquires that found the lock held by another, or whose wait ran out.
    pub(super) refused: u64,
    /// Acquires without a quorum.
    pub(super) unavailable: u64,
    /// How many requests wait now.
    pub(super) waiting: usize,
}

/// Bounds that double from a quarter of a millisecond, which no network undercuts, to
/// the longest that a request may wait by default.
fn buckets() -> impl Iterator<Item = f64> {
    exponential_buckets(0.000_25, 2.0, 19)
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("redlock");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        let help = "Acquires that ended, by outcome";
        let acquired = counters(&mut registry, "acquire", help, Acquired::ALL);
        let acquired_after = times(&mut registry);
        let released = counters(&mut registry, "release", "Releases, by outcome", Done::ALL);
        let extended = counters(&mut registry, "extend", "Extensions, by outcome", Done::ALL);
        let waiting_shown = Gauge::default();
        registry.register("waiting", "Requests that wait for a lock", waiting_shown.clone());
        let handed_out = Gauge::default();
        let help = "Locks that this instance handed out and that have not ended";
        registry.register("handed_out", help, handed_out.clone());
        let node_up = Family::<Node, Gauge>::default();
        let help = "Whether a node answered and can vote, when last looked at";
        registry.register("node_up", help, node_up.clone());
        let node_latency = NodeGauge::default();
        let help = "How long a node took to answer, when last looked at";
        registry.register_with_unit("node_latency", help, Unit::Seconds, node_latency.clone());
        let waiting = Arc::default();
        #[rustfmt::skip]
        let metrics = Self {
            registry, acquired, acquired_after, released, extended, waiting, waiting_shown,
            handed_out, node_up, node_latency,
        };
        metrics
    }

    /// Begins an acquire. Dropping the returned value counts it as cancelled.
    pub(super) fn acquiring(&self) -> Acquiring<'_> {
        Acquiring { metrics: self, since: clock::now(), outcome: Some(Acquired::Cancelled) }
    }

    /// Begins a release. Dropping the returned value counts it as cancelled.
    pub(super) fn releasing(&self) -> Doing<'_> {
        Doing { counters: &self.released, outcome: Some(Done::Cancelled) }
    }

    /// Begins an extension. Dropping the returned value counts it as cancelled.
    pub(super) fn extending(&self) -> Doing<'_> {
        Doing { counters: &self.extended, outcome: Some(Done::Cancelled) }
    }

    /// A permit to wait, unless `most` requests wait already. It counts its holder as
    /// waiting until it is dropped.
    pub(super) fn wait(&self, most: usize) -> Option<Permit> {
        Permit::take(&self.waiting, most)
    }

    /// Notes what the nodes answered to a greeting.
    pub(super) fn saw(&self, health: &Health) {
        for node in health.nodes() {
            let labels = [("node", Arc::from(node.address()))];
            self.node_up.get_or_create(&labels).set(i64::from(node.is_able()));
            match node.latency() {
                Some(latency) => {
                    self.node_latency.get_or_create(&labels).set(latency.as_secs_f64());
                }
                None => drop(self.node_latency.remove(&labels)),
            }
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let of = |outcome: Acquired| {
            self.acquired.get(outcome as usize).map_or(0, |counter| counter.get())
        };
        Totals {
            acquired: of(Acquired::Granted),
            refused: of(Acquired::Busy).saturating_add(of(Acquired::TimedOut)),
            unavailable: of(Acquired::NoQuorum),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// All metrics as OpenMetrics text; `handed_out` is how many locks are.
    pub(super) fn encode(&self, handed_out: usize) -> String {
        let shown = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting_shown.set(shown(self.waiting.load(Ordering::Relaxed)));
        self.handed_out.set(shown(handed_out));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A counter for each outcome, in the order of `all`.
fn counters<T, const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    all: [(T, &'static str); N],
) -> [Counter; N] {
    let family = Family::<Outcome, Counter>::default();
    registry.register(name, help, family.clone());
    all.map(|(_, outcome)| family.get_or_create_owned(&[("outcome", outcome)]))
}

/// A histogram of how long acquires took, for each outcome.
fn times(registry: &mut Registry) -> [Histogram; 6] {
    let new = || Histogram::new(buckets());
    let family = Family::<Outcome, Histogram>::new_with_constructor(new);
    let help = "How long acquires took, waiting included";
    registry.register_with_unit("acquire_duration", help, Unit::Seconds, family.clone());
    Acquired::ALL.map(|(_, outcome)| family.get_or_create_owned(&[("outcome", outcome)]))
}

/// A release or an extension under way.
#[derive(Debug)]
pub(super) struct Doing<'a> {
    counters: &'a [Counter],
    outcome: Option<Done>,
}

impl Doing<'_> {
    /// Counts this by its outcome. With `None`, nothing is counted.
    pub(super) fn ended(mut self, outcome: Option<Done>) {
        self.outcome = outcome;
    }
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        let at = self.outcome.map(|outcome| outcome as usize);
        if let Some(counter) = at.and_then(|at| self.counters.get(at)) {
            counter.inc();
        }
    }
}

/// An acquire under way.
#[derive(Debug)]
pub(super) struct Acquiring<'a> {
    metrics: &'a Metrics,
    since: Instant,
    outcome: Option<Acquired>,
}

impl Acquiring<'_> {
    /// Counts this by its outcome. With `None`, nothing is counted.
    pub(super) fn ended(mut self, outcome: Option<Acquired>) {
        self.outcome = outcome;
    }
}

impl Drop for Acquiring<'_> {
    fn drop(&mut self) {
        let took: Duration = clock::now().saturating_duration_since(self.since);
        let Some(at) = self.outcome.map(|outcome| outcome as usize) else { return };
        let Metrics { acquired, acquired_after, .. } = self.metrics;
        if let (Some(counter), Some(times)) = (acquired.get(at), acquired_after.get(at)) {
            counter.inc();
            times.observe(took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_under_its_name() {
        let metrics = Metrics::new();
        for (at, (outcome, _)) in Acquired::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            metrics.acquiring().ended(Some(outcome));
        }
        drop(metrics.acquiring());
        metrics.acquiring().ended(None);
        for (at, (outcome, _)) in Done::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            metrics.releasing().ended(Some(outcome));
            metrics.extending().ended(Some(outcome));
        }
        metrics.releasing().ended(None);
        metrics.extending().ended(None);
        drop((metrics.releasing(), metrics.extending()));
        let text = metrics.encode(7);
        for (_, name) in Acquired::ALL {
            let count = if name == "cancelled" { 2 } else { 1 };
            let line = format!("redlock_acquire_total{{outcome=\"{name}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        for (_, name) in Done::ALL {
            for family in ["release", "extend"] {
                let count = if name == "cancelled" { 2 } else { 1 };
                let line = format!("redlock_{family}_total{{outcome=\"{name}\"}} {count}\n");
                assert!(text.contains(&line), "{line}{text}");
            }
        }
        assert!(text.contains("redlock_acquire_duration_seconds_count{outcome=\"busy\"} 1\n"));
        assert!(text.contains("redlock_handed_out 7\n"), "{text}");
        let totals = Totals { acquired: 1, refused: 2, unavailable: 1, waiting: 0 };
        assert_eq!(metrics.totals(), totals);
    }

    #[test]
    fn a_permit_to_wait_counts_until_it_is_dropped() {
        let metrics = Metrics::new();
        let (first, second) = (metrics.wait(2), metrics.wait(2));
        assert!(first.is_some() && second.is_some() && metrics.wait(2).is_none());
        assert_eq!(metrics.totals().waiting, 2);
        drop(first);
        assert_eq!(metrics.totals().waiting, 1);
    }
}
