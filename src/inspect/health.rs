//! The nodes, as they answered a greeting. Reads their answers and asks nothing.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Config,
    exchange::{Answer, Greeted, Role, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
};

/// All nodes as [`Redlock::health`](crate::Redlock::health) found them.
#[derive(Clone, Debug)]
pub struct Health {
    pub(crate) needed: usize,
    pub(crate) nodes: Vec<NodeHealth>,
}

impl Health {
    /// Whether enough nodes can vote for a lock to be acquired.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first of three nodes is down
    /// assert!(health.has_quorum());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.able() >= self.needed
    }

    /// Returns how many nodes can vote: see [`NodeHealth::is_able`].
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first of three nodes is down
    /// assert_eq!((health.able(), health.needed()), (2, 2)); // no more may fail
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn able(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_able()).count()
    }

    /// Returns how many votes a lock needs: the quorum.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Returns each node, in the order of the configuration.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?;
    /// let slowest = health.nodes().iter().max_by_key(|node| node.latency());
    /// println!("the slowest is {:?}", slowest.map(|node| node.address()));
    /// # Ok(()) }
    /// ```
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

/// One node as [`Redlock::health`](crate::Redlock::health) found it.
#[derive(Clone, Debug)]
pub struct NodeHealth {
    pub(crate) address: Arc<str>,
    pub(crate) answer: Result<Greeted, NodeError>,
}

impl NodeHealth {
    /// Returns the node's address, as `host:port` or a socket's path.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the node can vote: a lock can be taken there and given back, as was tried with a
    /// reserved key that lives for a millisecond; the server is no replica, and it does not grant
    /// nothing for now since it has forgotten what it had granted.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first node is down
    /// let unable = health.nodes().iter().filter(|node| !node.is_able());
    /// assert_eq!(unable.count(), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.answer.as_ref().is_ok_and(|said| said.role != Some(Role::Replica))
    }

    /// Returns how long the node's answer took, if it answered.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// for node in redlock.health().await?.nodes() {
    ///     if node.latency().is_some_and(|latency| latency > Duration::from_millis(50)) {
    ///         eprintln!("{} is slow", node.address());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.answer.as_ref().ok().map(|said| said.latency)
    }

    /// Returns the server's role, if it said so: servers before version 6 do not.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, inspect::Role, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// for node in redlock.health().await?.nodes() {
    ///     if node.role() == Some(Role::Replica) {
    ///         eprintln!("{} is a replica: list its master", node.address());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match &self.answer {
            Ok(said) => said.role,
            Err(error) => (error.kind() == NodeErrorKind::ReadOnly).then_some(Role::Replica),
        }
    }

    /// Returns the server's name and version, such as `redis 7.4.1`, if it said so.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// for node in redlock.health().await?.nodes() {
    ///     println!("{}: {}", node.address(), node.server().unwrap_or("unknown"));
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.answer.as_ref().ok()?.server.as_deref()
    }

    /// Returns what threatens the guarantee at a node that votes: it drops keys when its memory is
    /// full, it is the same server as another node, strict clients use it and this one is not
    /// strict, or it has a lock that lives for longer than
    /// [`max_ttl`](crate::Builder::max_ttl). The log has the same when it is found.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// for node in redlock.health().await?.nodes() {
    ///     for warning in node.warnings() {
    ///         eprintln!("{} {warning}", node.address());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn warnings(&self) -> &[NodeError] {
        self.answer.as_ref().map_or(&[], |said| &said.warnings)
    }

    /// Returns why the node failed: it did not answer, or with an error.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first node is down
    /// for node in health.nodes() {
    ///     if let Some(error) = node.error() {
    ///         eprintln!("{}: {error}", node.address());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&NodeError> {
        self.answer.as_ref().err()
    }
}
