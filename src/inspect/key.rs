//! A lock's key, as the nodes have it. Reads their answers and asks nothing.

use std::{sync::Arc, time::Duration};

use super::at::{NodeKey, State, left};
use crate::{
    config::Config,
    error::{Error, ErrorKind, NodeAnswer, NodeReport},
    exchange::{Answer, AtKey, Content, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
    protocol::Quorum,
    token::Token,
};

/// A lock as [`Redlock::inspect`](crate::Redlock::inspect) found it on the nodes.
#[derive(Clone, Debug)]
pub struct Inspection {
    state: State,
    votes: usize,
    needed: usize,
    remaining: Duration,
    owner: Option<Box<str>>,
    nodes: Vec<(Arc<str>, Told)>,
}

/// What is told of one node.
type Told = Result<Option<NodeKey>, NodeError>;

/// What one node has at the key.
type Found = Result<Option<AtKey>, NodeError>;

impl Inspection {
    /// Returns what an acquire would have met.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, inspect::State, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// match redlock.inspect("job").await?.state() {
    ///     State::Free => println!("nobody has it"),
    ///     State::Held => println!("somebody has it"),
    ///     State::Blocked => println!("its key is used for something else"),
    ///     _ => println!("it is being decided who has it"),
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the lock was held: a quorum of nodes had the same value at its key. If not,
    /// it need not be free: see [`Inspection::state`].
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
        self.state == State::Held
    }

    /// Returns how many nodes had the most common value at the key; zero if none had one
    /// that can be a lock's.
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

    /// Returns what the holder calls itself ([`Acquire::owner`](crate::Acquire::owner)), if
    /// there is one that does.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").owner("worker-7").await?;
    /// assert_eq!(redlock.inspect("job").await?.owner(), Some("worker-7"));
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns how many votes a holder needs: the quorum.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Returns for how long a quorum keeps that value, unless the lock is released or
    /// extended; zero if it is not held, and [`Duration::MAX`] if its key never expires.
    /// The holder counts on less, since it takes off drift and a grace.
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

    /// Returns each node's address and how long the key there still lives, whatever is at
    /// it: [`Duration::MAX`] if it never expires, `None` if the node does not have the key.
    /// The nodes come in the order of the configuration. [`Inspection::keys`] says more.
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
        let life = |key: NodeKey| key.remaining().unwrap_or(Duration::MAX);
        self.keys().map(move |(address, found)| (address, found.map(|key| key.map(life))))
    }

    /// Returns each node's address and what is at the key there; `None` if the node does
    /// not have the key. The nodes come in the order of the configuration.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, inspect::What, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let found = redlock.inspect("job").await?;
    /// for (address, key) in found.keys() {
    ///     let Ok(Some(key)) = key else { continue };
    ///     match key.remaining() {
    ///         Some(left) => println!("{address} has a {} for {left:?} more", key.what()),
    ///         None => println!("{address} has a {}, until somebody deletes it", key.what()),
    ///     }
    ///     assert_eq!(key.what(), What::Value);
    /// }
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = (&str, Result<Option<NodeKey>, &NodeError>)> {
        self.nodes.iter().map(|(address, found)| (&**address, found.as_ref().copied()))
    }

    /// # Errors
    ///
    /// Too few nodes answered to tell whether the lock is held.
    pub(crate) fn of(seen: Seen, config: &Config) -> Result<Self, Error> {
        let found: Vec<Found> = seen.into_iter().map(found).collect();
        let (quorum, needed) = (config.quorum, config.quorum.votes());
        let addresses = || config.endpoints.iter().map(|endpoint| Arc::clone(endpoint.label()));
        let (votes, remaining) = most_common(&found, needed);
        // A node that did not answer may have the vote that is missing.
        let failed = found.iter().filter(|found| found.is_err()).count();
        let is_unclear = votes < needed && votes.saturating_add(failed) >= needed;
        if is_unclear || failed > quorum.spare() {
            let message = format!(
                "who holds the lock can't be told: {votes} of {} nodes agree on a holder and \
                 {failed} gave no answer that counts, where {needed} make a quorum",
                found.len()
            );
            let reports = addresses().zip(&found).map(report).collect();
            return Err(Error::new(ErrorKind::NoQuorum, message).with_nodes(reports));
        }
        let state = state(&found, votes, quorum);
        let owner = owner(&found, needed);
        let key = |found: Found| found.map(|found| found.as_ref().map(NodeKey::of));
        let nodes = addresses().zip(found.into_iter().map(key)).collect();
        Ok(Self { state, votes, needed, remaining, owner, nodes })
    }
}

fn found(seen: SeenAt) -> Found {
    match seen?.0 {
        Answer::Free => Ok(None),
        Answer::Taken(taken) => Ok(Some(*taken)),
        _ => Err(NodeError::new(NodeErrorKind::Protocol)),
    }
}

fn report((address, found): (Arc<str>, &Found)) -> NodeReport {
    let answer = match found {
        Ok(None) => NodeAnswer::Free,
        Ok(Some(AtKey { content: Content::Value(_), life })) => {
            NodeAnswer::Held { remaining: left(*life).unwrap_or(Duration::MAX) }
        }
        Ok(Some(other)) => NodeAnswer::Failed(NodeError::foreign(other.content.foreign())),
        Err(error) => NodeAnswer::Failed(error.clone()),
    };
    NodeReport::new(address, answer)
}

/// What the nodes come to that answered, of which `votes` have the same value. An acquire
/// meets the same: it counts what it is refused for in the same way.
fn state(found: &[Found], votes: usize, quorum: Quorum) -> State {
    let taken = || found.iter().filter_map(|found| found.as_ref().ok()?.as_ref());
    let free = found.iter().filter(|found| matches!(found, Ok(None))).count();
    if votes >= quorum.votes() {
        State::Held
    } else if taken().filter(|found| !found.is_vote()).count() > quorum.spare() {
        State::Blocked
    } else if free >= quorum.votes() {
        State::Free
    } else {
        State::Contested
    }
}

/// How many nodes have the most common value, and for how long `needed` of them
/// will keep it.
fn most_common(found: &[Found], needed: usize) -> (usize, Duration) {
    let lifetimes = |token: &Token| {
        let same = values(found).filter(|(other, _)| *other == token).map(|(_, left)| left);
        let mut lifetimes: Vec<_> = same.collect();
        lifetimes.sort_unstable_by(|a, b| b.cmp(a));
        lifetimes
    };
    let most = values(found).map(|(token, _)| lifetimes(token)).max_by_key(Vec::len);
    let most = most.unwrap_or_default();
    let last = needed.checked_sub(1).and_then(|place| most.get(place));
    (most.len(), last.copied().unwrap_or_default())
}

/// What the holder calls itself, whose value `needed` nodes have.
fn owner(found: &[Found], needed: usize) -> Option<Box<str>> {
    let votes = |token: &Token| values(found).filter(|(other, _)| *other == token).count();
    let holder = values(found).map(|(token, _)| token).find(|token| votes(token) >= needed)?;
    holder.label().map(Box::from)
}

/// The values that may be a lock's, and how long each lives.
fn values(found: &[Found]) -> impl Iterator<Item = (&Token, Duration)> {
    let taken = found.iter().filter_map(|found| found.as_ref().ok()?.as_ref());
    taken.filter_map(|found| match &found.content {
        Content::Value(token) => Some((token, left(found.life).unwrap_or(Duration::MAX))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Life;

    /// Nodes by a letter each: a value, or `.` free, `*` of another type, `?` silent; in
    /// capitals, a value that never expires.
    fn seen(nodes: &str) -> Vec<Found> {
        let taken = |content, life| Ok(Some(AtKey { content, life }));
        let life = Life::Left(Duration::from_secs(1));
        let node = |node: char| match node {
            '.' => Ok(None),
            '?' => Err(NodeError::new(NodeErrorKind::Unreachable)),
            '*' => taken(Content::OtherType, life),
            value => {
                let life = if value.is_uppercase() { Life::Endless } else { life };
                taken(Content::Value(Token::from_bytes(value.to_string()).unwrap()), life)
            }
        };
        nodes.chars().map(node).collect()
    }

    #[test]
    fn what_an_acquire_would_meet() {
        for (nodes, expected) in [
            ("...", State::Free),
            ("a..", State::Free),
            ("*..", State::Free),
            ("..?", State::Free),
            ("aab", State::Held),
            ("AA.", State::Held),
            ("aa?", State::Held),
            ("**.", State::Blocked),
            ("**a", State::Blocked),
            ("*Aa", State::Blocked),
            ("AB.", State::Blocked),
            ("ab.", State::Contested),
            ("*a.", State::Contested),
            ("*.?", State::Contested),
            ("abc..", State::Contested),
        ] {
            let quorum = Quorum::new(nodes.len(), nodes.len() / 2 + 1).unwrap();
            let found = seen(nodes);
            let (votes, _) = most_common(&found, quorum.votes());
            assert_eq!(state(&found, votes, quorum), expected, "{nodes}");
        }
    }

    #[test]
    fn a_quorum_keeps_a_value_until_the_first_of_its_nodes_lets_it_go() {
        let second = Duration::from_secs(1);
        assert_eq!(most_common(&seen("aab"), 2), (2, second));
        assert_eq!(most_common(&seen("AA."), 2), (2, Duration::MAX));
        assert_eq!(most_common(&seen("ab."), 2), (1, Duration::ZERO));
        assert_eq!(most_common(&seen("**."), 2), (0, Duration::ZERO));
    }
}
