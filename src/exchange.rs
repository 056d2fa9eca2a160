//! The vocabulary between what decides about locks and what talks to servers:
//! the questions, the answers to them, and how each question ended.
//!
//! It holds plain values and nothing else: it does no I/O, decides nothing, and
//! imports neither side. How a question looks on the wire is `node`'s business.

use std::{fmt, time::Duration};

use crate::{
    key::Key,
    mutant::{self, Mutant},
    node_error::NodeError,
    protocol::{Moment, NodeId, Number},
    token::Token,
};

/// What can be asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Set the key if it is free.
    Set,
    /// Lengthen the key's life if it is ours.
    Extend,
    /// Lengthen the key's life if it is ours, and set it again if it is not there.
    Heal,
    /// Set the key if it is free or ours, and the number is above the fence, which becomes that
    /// number: how a fenced lock is asked for, and how a node is given it again.
    SetFenced,
    /// Lengthen the key's life if it is ours, and see to it that the fence is not below the
    /// number.
    ExtendFenced,
    /// Lengthen the key's life if it is ours, and the number is above the fence, which becomes
    /// that number: for the next holder.
    HandOver,
    /// Delete the key if it is ours.
    Release,
    /// The same, and the fence becomes the number if it is below it: what may still arrive with a
    /// number up to that one is then refused.
    Bury,
    /// What is at the key? One command, or a script.
    Value,
    /// What is at the key, and how long does it live? Two commands, or a script.
    Look,
    /// Who are you, and do you serve?
    Greet,
    /// Note that you have never granted a lock.
    Bootstrap,
}

impl Ask {
    /// Whether this is how a plain lock is first asked for: the node has nothing of it before.
    pub(crate) fn is_acquire(self) -> bool {
        matches!(self, Self::Set)
    }

    /// Whether this takes a lock back.
    pub(crate) fn is_release(self) -> bool {
        matches!(self, Self::Release | Self::Bury)
    }

    /// Whether strict nodes look first whether they have forgotten anything, or say so.
    pub(crate) fn needs_epoch(self) -> bool {
        if mutant::is(Mutant::QuarantineStopsExtensions) && matches!(self, Self::Extend) {
            return true;
        }
        matches!(self, Self::Set | Self::SetFenced | Self::Heal | Self::Bootstrap | Self::Greet)
    }

    /// Whether a node that carries this out may have a lock after it that it had not before.
    pub(crate) fn sets(self) -> bool {
        matches!(self, Self::Set | Self::SetFenced)
    }
}

/// Names one question: the operation that asks, by the number under which the
/// asker files it, the claim it is about, and what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) op: usize,
    pub(crate) claim: usize,
    pub(crate) ask: Ask,
}

/// The news of a release, as nodes publish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// The same from all nodes, and different for each release.
    pub(crate) number: u64,
    /// How many releases its holder had waited for.
    pub(crate) age: u32,
}

impl News {
    /// The news of the same release when a node is asked for it once more. What
    /// was published at first came before the key was gone, and under the same
    /// number it would hide what is published now.
    pub(crate) fn again(self) -> Self {
        Self { number: self.number ^ 1, ..self }
    }
}

/// A fencing number as a node is told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    pub(crate) number: Number,
    /// How long the node remembers it, in milliseconds.
    pub(crate) retention: u64,
}

/// What a node said, in the terms of the question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The key was set, lengthened or deleted.
    Granted,
    /// The key was deleted, but the server does not let us publish that.
    NotPublished,
    /// Another's value is there, or ours is not.
    Refused,
    /// The number is not above the fence, which is this one.
    Stale(u64),
    /// Another's value is there, and the fence is this one, or zero where there is none.
    Locked(u64),
    /// Nothing is at the key.
    Free,
    /// What is at the key, and for how long.
    Taken(Box<AtKey>),
    /// The node serves, and said this of itself.
    Serves(Box<Greeted>),
    /// The server does not have the script, or does not let us use a command: the
    /// question must be put again with the script's text.
    NoScript,
    /// The server is another process than was known, with this name: the question must be put
    /// again.
    OtherServer(Box<Process>),
    /// An error; [`NodeError::surely_had_no_effect`] says what it means.
    Failed(NodeError),
}

/// Which process a server is. It is boxed in an answer, since all answers have room for the largest.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: Box<str>,
}

/// What a node has at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AtKey {
    pub(crate) content: Content,
    pub(crate) life: Life,
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A string that may be a lock's token.
    Value(Token),
    /// An empty string.
    Empty,
    /// A string that is longer than any token.
    Long,
    /// No string: a hash, a list, ...
    OtherType,
}

impl AtKey {
    /// Whether a lock's vote may be there: a value, and one that ends by itself.
    pub(crate) fn is_vote(&self) -> bool {
        matches!(self.content, Content::Value(_)) && self.life != Life::Endless
    }
}

impl Content {
    /// What it is, where it can be no lock's token.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        match self {
            Self::Value(_) => None,
            Self::Empty => Some("an empty string"),
            Self::Long => Some("a string that is too long for a token"),
            Self::OtherType => Some("a hash, a list or another type that is no string"),
        }
    }
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// So long from when the node answered.
    Left(Duration),
    /// Until somebody deletes it.
    Endless,
    /// The node was not asked.
    Untold,
}

/// A node's answer to a greeting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Greeted {
    pub(crate) latency: Duration,
    pub(crate) role: Option<Role>,
    pub(crate) server: Option<Box<str>>,
    /// Whether it is not known if a lock would work there: only a reserved key may be tried,
    /// and that one is forbidden.
    pub(crate) untried: bool,
    /// What a strict node has noted of itself.
    pub(crate) epoch: Option<Epoch>,
    /// What threatens the guarantee there, though it votes.
    pub(crate) warnings: Vec<NodeError>,
}

/// A strict node's epoch, and what it is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// What is noted; empty if nothing is.
    pub(crate) noted: Box<str>,
    /// Which server it is; empty if it does not say so.
    pub(crate) process: Box<str>,
    /// What its clock shows, in milliseconds since 1970.
    pub(crate) now: u64,
}

/// A server's part in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The server takes writes.
    Master,
    /// The server follows a master, and takes no writes.
    Replica,
}

impl Role {
    /// Returns the role's name, `master` or `replica`.
    ///
    /// ```
    /// # use redlock_quorum::inspect::Role;
    /// assert_eq!(Role::Replica.as_str(), "replica");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a question ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The node answered.
    Answered(Answer),
    /// The question was never sent.
    NotSent(NodeError),
    /// The question was sent, and the connection broke before the answer.
    Lost(NodeError),
    /// The question is a release, and neither it was sent nor the acquire that
    /// it was to undo: nothing of that claim is at the node.
    Withdrawn,
}

impl Answer {
    /// Whether the node was able to do what was asked, and said no.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused | Self::Stale(_) | Self::Locked(_))
    }
}

impl Outcome {
    /// Whether the node did what was asked, and said so.
    pub(crate) fn is_grant(&self) -> bool {
        matches!(self, Self::Answered(Answer::Granted))
    }
}

/// The end of one question at one node.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) node: NodeId,
    pub(crate) ticket: Ticket,
    pub(crate) outcome: Outcome,
    /// When the node was given the question.
    pub(crate) offered_at: Moment,
}

/// What one node's listening connection has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The lock of this key was released, as its channel says.
    Released(Key, News),
    /// The server has confirmed that we are subscribed to this key's channel:
    /// its releases are heard from now on, if the connection holds.
    Subscribed(Key),
    /// The connection is gone: nothing is heard on any channel until the server
    /// confirms that channel again.
    Deaf,
}

/// What one node answered to a look, and how long that took.
pub(crate) type SeenAt = Result<(Answer, Duration), NodeError>;

/// What all nodes answered to a look, in the order of the configuration.
pub(crate) type Seen = Vec<SeenAt>;
