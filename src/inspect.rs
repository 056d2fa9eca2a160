//! What can be looked at without taking anything: a key on all nodes, and the
//! nodes themselves. What is seen is true of a moment that is past: decide
//! nothing by it that a lock should decide.

use std::{sync::Arc, time::Duration};

pub use crate::exchange::Role;
use crate::{
    config::Config,
    error::{Error, ErrorKind, NodeAnswer, NodeReport},
    exchange::{Answer, Greeted, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
    token::Token,
};

/// How a lock stands on the nodes, as [`Redlock::inspect`](crate::Redlock::inspect)
/// found it.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub(crate) votes: usize,
    pub(crate) needed: usize,
    pub(crate) remaining: Duration,
    pub(crate) nodes: Vec<(Arc<str>, Left)>,
}

/// How long the key on one node still lives.
type Left = Result<Option<Duration>, NodeError>;

/// What one node has at the key.
type Found = Result<Option<(Token, Duration)>, NodeError>;

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

    /// Each node, in the order of the configuration: how long the key there
    /// still lives, whoever's it is; `None` where there is none.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, Result<Option<Duration>, &NodeError>)> {
        self.nodes.iter().map(|(address, found)| (&**address, found.as_ref().copied()))
    }

    /// # Errors
    ///
    /// Too few nodes answered to tell.
    pub(crate) fn of(seen: Seen, config: &Config) -> Result<Self, Error> {
        let found: Vec<Found> = seen.into_iter().map(found).collect();
        let needed = config.quorum.votes();
        let addresses = || config.endpoints.iter().map(|endpoint| Arc::clone(endpoint.label()));
        let left = |found: &Found| -> Left {
            match found {
                Ok(found) => Ok(found.as_ref().map(|(_, left)| *left)),
                Err(error) => Err(error.clone()),
            }
        };
        let (votes, remaining) = most_common(&found, needed);
        // One that did not answer may have what would make it a quorum.
        // Something that is no lock is an answer, too.
        let is_silent = |found: &&Found| {
            found.as_ref().is_err_and(|error| error.kind() != NodeErrorKind::ForeignKey)
        };
        let failed = found.iter().filter(is_silent).count();
        if votes < needed && votes.saturating_add(failed) >= needed {
            let message = format!(
                "who holds the lock can't be told: {votes} of {} nodes agree on a holder and \
                 {failed} gave no answer that counts, where {needed} make a quorum",
                found.len()
            );
            let report = |(address, found): (Arc<str>, &Found)| {
                let answer = match found {
                    Ok(None) => NodeAnswer::Free,
                    Ok(Some((_, left))) => NodeAnswer::Held { remaining: *left },
                    Err(error) => NodeAnswer::Failed(error.clone()),
                };
                NodeReport::new(address, answer)
            };
            let reports = addresses().zip(&found).map(report).collect();
            return Err(Error::new(ErrorKind::NoQuorum, message).with_nodes(reports));
        }
        let nodes = addresses().zip(found.iter().map(left)).collect();
        Ok(Self { votes, needed, remaining, nodes })
    }
}

fn found(seen: SeenAt) -> Found {
    match seen?.0 {
        Answer::Free => Ok(None),
        Answer::Taken(taken) => Ok(Some(*taken)),
        _ => Err(NodeError::new(NodeErrorKind::Protocol)),
    }
}

/// How many nodes have the value that most have, and for how long `needed` of
/// them will.
fn most_common(found: &[Found], needed: usize) -> (usize, Duration) {
    let taken = || found.iter().filter_map(|found| found.as_ref().ok()?.as_ref());
    let lifetimes = |token: &Token| {
        let same = taken().filter(|(other, _)| other == token).map(|(_, left)| *left);
        let mut lifetimes: Vec<_> = same.collect();
        lifetimes.sort_unstable_by(|a, b| b.cmp(a));
        lifetimes
    };
    let most = taken().map(|(token, _)| lifetimes(token)).max_by_key(Vec::len).unwrap_or_default();
    let last = needed.checked_sub(1).and_then(|place| most.get(place));
    (most.len(), last.copied().unwrap_or_default())
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

    pub(crate) fn of(seen: Seen, config: &Config) -> Self {
        let answer = |seen: SeenAt| match seen? {
            (Answer::Serves(greeted), latency) => Ok(Greeted { latency, ..*greeted }),
            _ => Err(NodeError::new(NodeErrorKind::Protocol)),
        };
        let addresses = config.endpoints.iter().map(|endpoint| Arc::clone(endpoint.label()));
        let nodes = addresses.zip(seen.into_iter().map(answer));
        let nodes = nodes.map(|(address, answer)| NodeHealth { address, answer }).collect();
        Self { needed: config.quorum.votes(), nodes }
    }
}

/// How one node stands.
#[derive(Clone, Debug)]
pub struct NodeHealth {
    pub(crate) address: Arc<str>,
    pub(crate) answer: Result<Greeted, NodeError>,
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
