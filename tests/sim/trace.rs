//! What happened in a run, in order. The trace is always a hash, and where the run
//! is recorded it is text as well.

use std::fmt::{self, Write as _};

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    World,
    Client(usize),
    Node(usize),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.pad("world"),
            Self::Client(client) => f.pad(&format!("client {client}")),
            Self::Node(node) => f.pad(&format!("node {node}")),
        }
    }
}

/// What kind of thing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Call,
    Answer,
    /// A client believes from here on that it holds a lock.
    Held,
    /// A client believes from here on that the lock is over.
    Ended,
    Command,
    Fault,
    Healed,
    Violation,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub at: u64,
    pub lane: Lane,
    pub kind: Kind,
    pub text: String,
}

pub struct Trace {
    hash: u64,
    /// Kept only where the run is recorded.
    pub entries: Option<Vec<Entry>>,
}

impl Trace {
    pub fn new(record: bool) -> Self {
        Self { hash: 0, entries: record.then(Vec::new) }
    }

    pub fn note(&mut self, at: u64, lane: Lane, kind: Kind, text: impl FnOnce() -> String) {
        let place = match lane {
            Lane::World => 0,
            Lane::Client(client) => 1 + client,
            Lane::Node(node) => 1000 + node,
        };
        self.mix(at);
        self.mix((place as u64) << 8 | kind as u64);
        if let Some(entries) = &mut self.entries {
            entries.push(Entry { at, lane, kind, text: text() });
        }
    }

    /// Two runs of one seed must have the same hash.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes something more into the hash.
    pub fn mix(&mut self, what: u64) {
        self.hash = (self.hash.rotate_left(5) ^ what).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// One line for each thing that happened.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Entry { at, lane, kind, text: what } in self.entries.iter().flatten() {
            let (millis, micros) = (at / 1_000_000, at / 1_000 % 1_000);
            let kind = format!("{kind:?}").to_lowercase();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{millis:>7}.{micros:03} ms  {lane:<9} {kind:<9} {what}");
        }
        text
    }
}
