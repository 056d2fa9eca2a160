//! Looking at a key and at the nodes. Nothing here changes anything anywhere.

use super::Redlock;
use crate::{
    engine::{LookRequest, Request},
    error::Error,
    exchange::{Ask, Seen},
    inspect::{Health, Inspection},
    key::Key,
    node,
};

impl Redlock {
    /// Looks at the lock named `key` on all nodes, and changes nothing. It takes as
    /// long as the slowest node, and at most one node timeout.
    ///
    /// It says what an acquire would meet: a holder, or whatever else is at the key, which
    /// may be another library's lock or never expire. The user in the node's URL needs no
    /// more rights than for a lock.
    ///
    /// This is for people and for monitoring: what it found may have changed
    /// before it returns. To decide who may act, acquire the lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum) if too few nodes answered
    /// to tell whether it is held, with what each node said.
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if `key` is
    /// empty or too long. Also [`Busy`](crate::ErrorKind::Busy) and
    /// [`Closed`](crate::ErrorKind::Closed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe: nothing is changed anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("orders:42").await?;
    /// let found = redlock.inspect("orders:42").await?;
    /// assert!(found.is_held());
    /// # drop(guard); Ok(()) }
    /// ```
    #[doc(alias("isLocked", "locked"))]
    pub async fn inspect(&self, key: impl AsRef<[u8]>) -> Result<Inspection, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, key.as_ref())?;
        Inspection::of(self.look(Ask::Look, key).await?, config)
    }

    /// Asks every node whether it serves: which answer, in what role, how quickly,
    /// and what is wrong with the others. It takes at most one node timeout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) and
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed). A node that does not answer
    /// is no error, but part of the result.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe: nothing is changed anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?;
    /// for node in health.nodes() {
    ///     println!("{}: {:?}, {:?}", node.address(), node.latency(), node.error());
    /// }
    /// assert!(health.has_quorum());
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<Health, Error> {
        let probe = Key::new(&self.shared.config.prefix, node::PROBE)?;
        Ok(Health::of(self.look(Ask::Greet, probe).await?, &self.shared.config))
    }

    async fn look(&self, ask: Ask, key: Key) -> Result<Seen, Error> {
        let look = |reply, queued| Request::Look(LookRequest { ask, key, reply }, queued);
        self.shared.call_if_room(look).await
    }
}
