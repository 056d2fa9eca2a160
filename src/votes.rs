//! Which nodes granted a lock, and how quickly. A snapshot: it never changes.

use std::{sync::Arc, time::Duration};

use crate::{claim::Claim, config::Config, protocol::NodeId};

/// Which nodes had granted a lock, when [`LockGuard::votes`] was asked.
///
/// [`LockGuard::votes`]: crate::LockGuard::votes
#[derive(Clone, Debug)]
pub struct Votes {
    needed: usize,
    nodes: Vec<(Arc<str>, Option<Duration>)>,
    healed: usize,
}

impl Votes {
    pub(crate) fn of(claim: &Claim, config: &Config) -> Self {
        let addresses = config.endpoints.iter().map(|endpoint| Arc::clone(endpoint.label()));
        let latencies = NodeId::all(config.endpoints.len()).map(|id| claim.latency(id));
        let healed = claim.healed().and(claim.granted()).len();
        Self { needed: config.quorum.votes(), nodes: addresses.zip(latencies).collect(), healed }
    }

    /// Returns how many nodes granted the lock.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// assert!(guard.votes().granted() >= guard.votes().needed());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn granted(&self) -> usize {
        self.nodes.iter().filter(|(_, latency)| latency.is_some()).count()
    }

    /// Returns how many of them did not have the key at first, or had lost it, and
    /// were given it by an extension, after a quorum had proven that the lock was
    /// ours.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// guard.extend(Duration::from_secs(30)).await?;
    /// if guard.votes().healed() > 0 {
    ///     eprintln!("a node had lost the key: was it restarted?");
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn healed(&self) -> usize {
        self.healed
    }

    /// Returns how many nodes must grant a lock: the quorum.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?; // on three nodes
    /// assert_eq!(guard.votes().needed(), 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Returns how many of the nodes that granted may lose the key while a quorum
    /// still has it.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?; // the first of three nodes is down
    /// assert_eq!(guard.votes().margin(), 0); // it is lost if one more forgets it
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn margin(&self) -> usize {
        self.granted().saturating_sub(self.needed)
    }

    /// Returns each node's address, and how long it took to grant the lock or `None`
    /// if it has not, in the order of the configuration. Times are rounded down, by
    /// at most half a percent, and kept up to 8 s.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// for (address, latency) in guard.votes().nodes() {
    ///     match latency {
    ///         Some(latency) => println!("{address} granted in {latency:?}"),
    ///         None => println!("{address} has not granted"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn nodes(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        self.nodes.iter().map(|(address, latency)| (&**address, *latency))
    }
}
