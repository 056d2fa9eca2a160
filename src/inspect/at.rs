//! What a node has at a key, and how all of them together stand. Plain values: they
//! never hold what the key's value is.

use std::{fmt, time::Duration};

use crate::exchange::{AtKey, Content, Life};

/// How a lock stands: what an acquire would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing keeps a quorum from being had.
    Free,
    /// A quorum of nodes has the same value: somebody holds the lock, whatever made the
    /// value, and also if it never expires.
    Held,
    /// What is no lock of this kind keeps everybody out: a key of another type, an empty
    /// string, one that is too long, or values that differ and never expire. An acquire
    /// waits for it to go; if nobody uses it any more, `DEL` it at the nodes.
    Blocked,
    /// Nobody has a quorum, and too few nodes are free for anybody to have one: a vote that
    /// is under way, what an earlier one left, which expires, or something else on a few
    /// nodes while others are down.
    Contested,
}

impl State {
    /// Returns the state's name: `free`, `held`, `blocked` or `contested`.
    ///
    /// ```
    /// # use redlock_quorum::inspect::State;
    /// assert_eq!(State::Blocked.as_str(), "blocked");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Blocked => "blocked",
            Self::Contested => "contested",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is at a key of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A string of 1 to 256 bytes, which may be a lock's token.
    Value,
    /// An empty string.
    Empty,
    /// A string that is longer than any token.
    Long,
    /// No string: a hash, a list, ...
    OtherType,
}

impl What {
    /// Returns its name: `value`, `empty`, `long` or `other_type`.
    ///
    /// ```
    /// # use redlock_quorum::inspect::What;
    /// assert_eq!(What::OtherType.as_str(), "other_type");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Empty => "empty",
            Self::Long => "long",
            Self::OtherType => "other_type",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key as one node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeKey {
    what: What,
    remaining: Option<Duration>,
}

impl NodeKey {
    pub(super) fn of(found: &AtKey) -> Self {
        let what = match found.content {
            Content::Value(_) => What::Value,
            Content::Empty => What::Empty,
            Content::Long => What::Long,
            Content::OtherType => What::OtherType,
        };
        Self { what, remaining: left(found.life) }
    }

    /// Returns what is there. The value itself is a secret, and never told.
    #[must_use]
    pub fn what(&self) -> What {
        self.what
    }

    /// Returns how long the key still lives, as the node says, which may be longer than
    /// any lock's ttl: a server whose clock was set back keeps its keys for so much more.
    /// `None` if it never expires.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.remaining
    }
}

/// How long a key lives that was asked for its life; `None` if it never expires.
pub(super) fn left(life: Life) -> Option<Duration> {
    match life {
        Life::Left(left) => Some(left),
        Life::Endless => None,
        // A look always asks.
        Life::Untold => Some(Duration::ZERO),
    }
}
