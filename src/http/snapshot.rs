//! One moment of an instance, as its page shows it. A snapshot holds keys and owners,
//! and never a token.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    answers::{micros, millis},
    handed::{Entry, Handed},
    metrics::Totals,
};
use crate::inspect::{Health, NodeHealth};

/// How far back the charts go, in seconds.
const PAST: usize = 300;

/// How many locks are listed. If there are more, the page says how many.
const LISTED: usize = 200;

/// One event of the stream.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    #[serde(flatten)]
    votes: Votes<'a>,
    /// The locks held through this instance, as far as it knows. If there are too
    /// many, those with the most time left.
    locks: Vec<Lock>,
    /// How many locks there are.
    locks_total: usize,
    /// How many requests wait for a lock.
    waiting: usize,
    series: &'a Past,
    version: &'static str,
    uptime_s: u64,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(votes: Votes<'a>, handed: &Handed, past: &'a Past, uptime: Duration) -> Self {
        let locks: Vec<_> = handed.list(LISTED).into_iter().map(Lock::from).collect();
        Self {
            votes,
            locks_total: handed.len().max(locks.len()),
            locks,
            waiting: past.before.waiting,
            series: past,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: uptime.as_secs(),
        }
    }
}

/// A lock that is held.
#[derive(Serialize)]
struct Lock {
    /// Bytes that are not UTF-8 are shown as U+FFFD.
    key: String,
    owner: Option<String>,
    remaining_ms: u64,
}

impl From<Entry> for Lock {
    fn from(entry: Entry) -> Self {
        Self {
            key: String::from_utf8_lossy(&entry.key).into_owned(),
            owner: entry.owner,
            remaining_ms: millis(entry.remaining),
        }
    }
}

/// What happened in each of the last seconds, oldest first.
#[derive(Serialize)]
pub(super) struct Past {
    acquired: VecDeque<u64>,
    refused: VecDeque<u64>,
    unavailable: VecDeque<u64>,
    waiting: VecDeque<usize>,
    #[serde(skip)]
    before: Totals,
}

impl Past {
    pub(super) fn since(before: Totals) -> Self {
        Self {
            acquired: VecDeque::new(),
            refused: VecDeque::new(),
            unavailable: VecDeque::new(),
            waiting: VecDeque::new(),
            before,
        }
    }

    /// Adds the second that has just passed. If some were missed before it, it has
    /// what happened in those, too.
    pub(super) fn push(&mut self, totals: Totals) {
        let before = &self.before;
        push(&mut self.acquired, totals.acquired.saturating_sub(before.acquired));
        push(&mut self.refused, totals.refused.saturating_sub(before.refused));
        push(&mut self.unavailable, totals.unavailable.saturating_sub(before.unavailable));
        push(&mut self.waiting, totals.waiting);
        self.before = totals;
    }
}

fn push<T>(seconds: &mut VecDeque<T>, value: T) {
    if seconds.len() >= PAST {
        seconds.pop_front();
    }
    seconds.push_back(value);
}

/// How the nodes stood when they were last looked at, and the last error of each.
#[derive(Default)]
pub(super) struct Nodes {
    health: Option<Health>,
    /// The last errors, in the order of the nodes.
    errors: Vec<Option<(String, Instant)>>,
}

/// The part of a snapshot that is about nodes.
#[derive(Serialize)]
pub(super) struct Votes<'a> {
    nodes: Vec<Node<'a>>,
    /// How many votes a lock needs.
    needed: usize,
    /// How many nodes can vote.
    able: usize,
    quorum: bool,
}

/// How one node stands.
#[derive(Serialize)]
struct Node<'a> {
    /// The node, as `host:port` or a socket's path.
    address: &'a str,
    /// Whether the node answered.
    up: bool,
    /// Whether the node can vote.
    able: bool,
    role: Option<&'static str>,
    server: Option<&'a str>,
    /// How long the node's answer took.
    latency_us: Option<u64>,
    /// The last error since the page was first looked at, even if the node is up
    /// again.
    error: Option<LastError<'a>>,
    /// What threatens the guarantee there, though the node votes.
    warnings: Vec<String>,
}

/// The last error of a node.
#[derive(Serialize)]
struct LastError<'a> {
    message: &'a str,
    age_s: u64,
}

impl Nodes {
    pub(super) fn note(&mut self, health: Health, now: Instant) {
        self.errors.resize(health.nodes().len(), None);
        for (last, node) in self.errors.iter_mut().zip(health.nodes()) {
            if let Some(error) = node.error() {
                *last = Some((error.to_string(), now));
            }
        }
        self.health = Some(health);
    }

    /// Forgets how the nodes stood, which is old by now. The errors stay, with their age.
    pub(super) fn forget(&mut self) {
        self.health = None;
    }

    pub(super) fn at(&self, now: Instant) -> Option<Votes<'_>> {
        let health = self.health.as_ref()?;
        let nodes = health.nodes().iter().zip(&self.errors);
        Some(Votes {
            nodes: nodes.map(|(node, error)| Node::new(node, error.as_ref(), now)).collect(),
            needed: health.needed(),
            able: health.able(),
            quorum: health.has_quorum(),
        })
    }
}

impl<'a> Node<'a> {
    fn new(node: &'a NodeHealth, error: Option<&'a (String, Instant)>, now: Instant) -> Self {
        Self {
            address: node.address(),
            up: node.error().is_none_or(crate::NodeError::is_an_answer),
            able: node.is_able(),
            role: node.role().map(crate::inspect::Role::as_str),
            server: node.server(),
            latency_us: node.latency().map(micros),
            error: error.map(|(message, at)| LastError {
                message,
                age_s: now.saturating_duration_since(*at).as_secs(),
            }),
            warnings: node.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(acquired: u64, waiting: usize) -> Totals {
        Totals { acquired, waiting, ..Totals::default() }
    }

    #[test]
    fn each_second_has_what_was_new_in_it() {
        let mut past = Past::since(totals(10, 0));
        for (acquired, waiting) in [(10, 0), (13, 2), (13, 1)] {
            past.push(totals(acquired, waiting));
        }
        assert_eq!(past.acquired, [0, 3, 0], "and nothing from before");
        assert_eq!(past.waiting, [0, 2, 1]);
    }

    #[test]
    fn it_forgets_what_is_older_than_the_charts() {
        let mut past = Past::since(totals(0, 0));
        for second in 1..=1000 {
            past.push(totals(second * second, 0));
        }
        assert_eq!(past.acquired.len(), PAST);
        assert_eq!(past.acquired.back(), Some(&(1000 * 1000 - 999 * 999)));
    }
}
