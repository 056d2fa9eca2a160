//! What can be looked at without taking anything: a key on all nodes, and the
//! nodes themselves. What is seen is true of a moment that is past: decide
//! nothing by it that a lock should decide.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::NodeReport, node_error::NodeError};

/// How a lock stands on the nodes, as [`Redlock::inspect`](crate::Redlock::inspect)
/// found it.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub(crate) votes: usize,
    pub(crate) needed: usize,
    pub(crate) remaining: Duration,
    pub(crate) nodes: Vec<NodeReport>,
}

impl Inspection {
    /// Whether someone held it: one and the same value was on a quorum.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.votes >= self.needed
    }

    /// On how many nodes the value was that most of them had; zero where none
    /// had the key.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.votes
    }

    /// How many votes a holder needs.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// For how long a quorum keeps that value, unless it is released or extended;
    /// zero where it is not held. The holder counts on less: drift is not taken off.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.remaining
    }

    /// What each node said: `Granted` where the key was free, `Refused` with what
    /// is left where it was not.
    #[must_use]
    pub fn nodes(&self) -> &[NodeReport] {
        &self.nodes
    }
}

/// How the nodes stand, as [`Redlock::health`](crate::Redlock::health) found them.
#[derive(Clone, Debug)]
pub struct Health {
    pub(crate) needed: usize,
    pub(crate) nodes: Vec<NodeHealth>,
}

impl Health {
    /// Whether enough nodes can vote.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.able() >= self.needed
    }

    /// How many nodes can vote: see [`NodeHealth::is_able`].
    #[must_use]
    pub fn able(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_able()).count()
    }

    /// How many votes a lock needs.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Each node, in the order of the configuration.
    #[must_use]
    pub fn nodes(&self) -> &[NodeHealth] {
        &self.nodes
    }
}

/// How one node stands.
#[derive(Clone, Debug)]
pub struct NodeHealth {
    pub(crate) address: Arc<str>,
    pub(crate) answer: Result<Greeted, NodeError>,
}

/// What a node said when it was greeted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) latency: Duration,
    pub(crate) role: Option<Role>,
    pub(crate) server: Option<Box<str>>,
}

/// What a server is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows a master, and takes none.
    Replica,
}

impl Role {
    /// As servers call it: `master` or `replica`.
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

impl NodeHealth {
    /// The node, as `host:port` or a socket's path.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it can vote: it answered, and is no replica.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.answer.as_ref().is_ok_and(|said| said.role != Some(Role::Replica))
    }

    /// How long its answer took, if it answered.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.answer.as_ref().ok().map(|said| said.latency)
    }

    /// What it is, where it says so: servers before version 6 do not.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.answer.as_ref().ok()?.role
    }

    /// Name and version of its server, such as `redis 7.4.1`, where it says so.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.answer.as_ref().ok()?.server.as_deref()
    }

    /// Why it did not answer.
    #[must_use]
    pub fn error(&self) -> Option<&NodeError> {
        self.answer.as_ref().err()
    }
}
