//! A lock's key, as the nodes have it. Reads their answers and asks nothing.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Config,
    error::{Error, ErrorKind, NodeAnswer, NodeReport},
    exchange::{Answer, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
    token::Token,
};

/// A lock as [`Redlock::inspect`](crate::Redlock::inspect) found it on the nodes.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub(crate) votes: usize,
    pub(crate) needed: usize,
    pub(crate) remaining: Duration,
    pub(crate) nodes: Vec<(Arc<str>, Left)>,
}

/// How long the key on one node still lives; `None` without a key.
type Left = Result<Option<Duration>, NodeError>;

/// The value that one node has at the key, and how long it still lives.
type Found = Result<Option<(Token, Duration)>, NodeError>;

impl Inspection {
    /// Whether the lock was held: a quorum of nodes had the same value at its key.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let found = redlock.inspect("job").await?;
    /// assert!(found.is_held());
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("isLocked", "locked"))]
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.votes >= self.needed
    }

    /// Returns how many nodes had the most common value at the key; zero if none had
    /// the key.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let found = redlock.inspect("job").await?;
    /// assert!(found.votes() >= found.needed());
    /// assert_eq!(redlock.inspect("free").await?.votes(), 0);
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn votes(&self) -> usize {
        self.votes
    }

    /// Returns how many votes a holder needs: the quorum.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Returns for how long a quorum keeps that value, unless the lock is released or
    /// extended; zero if it is not held. The holder counts on less, since it takes off
    /// drift.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").ttl(Duration::from_secs(10)).await?;
    /// let found = redlock.inspect("job").await?;
    /// assert!(found.remaining() <= Duration::from_secs(10));
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("pttl", "remainTimeToLive"))]
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.remaining
    }

    /// Returns each node's address and how long the key there still lives, whatever
    /// its value; `None` if the node does not have the key. The nodes come in the order
    /// of the configuration.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let found = redlock.inspect("job").await?;
    /// for (address, found) in found.nodes() {
    ///     match found {
    ///         Ok(Some(left)) => println!("{address} has the key for {left:?} more"),
    ///         Ok(None) => println!("{address} does not have the key"),
    ///         Err(error) => println!("{address} could not be asked: {error}"),
    ///     }
    /// }
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    pub fn nodes(&self) -> impl Iterator<Item = (&str, Result<Option<Duration>, &NodeError>)> {
        self.nodes.iter().map(|(address, found)| (&**address, found.as_ref().copied()))
    }

    /// # Errors
    ///
    /// Too few nodes answered to tell whether the lock is held.
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
        // A node that did not answer may have the vote that is missing. A value that
        // is not a lock is an answer, too.
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

/// How many nodes have the most common value, and for how long `needed` of them
/// will keep it.
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
