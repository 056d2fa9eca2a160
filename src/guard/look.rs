//! What a holder can look at. Nothing here waits, or asks the driver or a node.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::LockGuard;
use crate::{error::Error, held::Held, protocol::Number, votes::Votes};

impl LockGuard {
    /// Returns the key, without the client's prefix.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("orders:42").await?;
    /// assert_eq!(guard.key(), b"orders:42");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.claim.key.name()
    }

    /// Returns how long the lock is still held. Once it is zero, the lock is lost
    /// and this stays zero. It is measured on a clock that also counts the time the
    /// machine was suspended.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").ttl(Duration::from_secs(10)).await?;
    /// let step = Duration::from_secs(2);
    /// if guard.remaining() > step {
    ///     // ... there is time for a step of two seconds ...
    /// }
    /// assert!(guard.remaining() < Duration::from_secs(10)); // drift is taken off
    /// # Ok(()) }
    /// ```
    #[doc(alias("ttl", "validity", "remainTimeToLive"))]
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.claim.remaining(self.0.shared.config.world.now())
    }

    /// Returns the lock's fencing number, if it was asked for one
    /// ([`Acquire::fenced`](crate::Acquire::fenced)): larger than that of every holder before, and
    /// for the resource to compare. It has 16 digits, so that JSON numbers and doubles hold it
    /// exactly, and stays the same however often the lock is extended.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").fenced().await?;
    /// println!("write only where the last number was at most {:?}", guard.fencing_number());
    /// assert_eq!(redlock.lock("other").await?.fencing_number(), None);
    /// # Ok(()) }
    /// ```
    #[doc(alias("fencing_token", "fencing token", "getToken"))]
    #[must_use]
    pub fn fencing_number(&self) -> Option<u64> {
        self.0.claim.fence().map(Number::get)
    }

    /// Whether the lock is held now. Once this is `false`, it stays `false`.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// assert!(guard.is_held());
    /// # Ok(()) }
    /// ```
    #[doc(alias("isLocked", "isHeldByCurrentThread", "owned"))]
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Returns when the lock ends, on the wall clock: for logs and for people. To
    /// decide whether to go on, ask [`Self::remaining`], since the wall clock can
    /// be set. By a `testing::Clock` that a test has moved ahead, the
    /// wall clock is ahead by as much.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::SystemTime;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// println!("locked until {:?}", guard.valid_until());
    /// assert!(guard.valid_until() > SystemTime::now());
    /// # Ok(()) }
    /// ```
    #[doc(alias("expiration", "until"))]
    #[must_use]
    pub fn valid_until(&self) -> SystemTime {
        let now = self.0.shared.config.world.wall();
        now.checked_add(self.remaining()).unwrap_or(now)
    }

    /// Returns which nodes have granted the lock so far, how long each took, and
    /// the margin above the quorum. Nodes that answer after the lock was already
    /// held are counted as they come.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let votes = guard.votes();
    /// println!("{} votes, {} needed", votes.granted(), votes.needed());
    /// assert!(votes.granted() >= votes.needed());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn votes(&self) -> Votes {
        Votes::of(&self.0.claim, &self.0.shared.config)
    }

    /// Fails unless the lock is held for at least `least` more. Call it right before
    /// a step that must not happen twice, with the longest time that the step takes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) if the lock is not held any more.
    /// [`ErrorKind::Expired`](crate::ErrorKind::Expired) if it is held, but not for
    /// that long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").ttl(Duration::from_secs(10)).await?;
    /// guard.ensure(Duration::from_secs(2))?;
    /// // ... a step that takes up to two seconds ...
    /// let refused = guard.ensure(Duration::from_secs(60)).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Expired); // held, but for less than a minute
    /// # Ok(()) }
    /// ```
    pub fn ensure(&self, least: Duration) -> Result<(), Error> {
        self.0.claim.ensure(least, self.0.shared.config.world.now())
    }

    /// Returns a view of the lock that can look at it and not release it: for a
    /// task that works under the lock, or for a request's handler.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let held = guard.held();
    /// let worker = tokio::spawn(async move { held.ensure(Duration::from_secs(1)) });
    /// worker.await??;
    /// guard.release().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn held(&self) -> Held {
        let (claim, config) = (Arc::clone(&self.0.claim), Arc::clone(&self.0.shared.config));
        Held { claim, config, shared: Arc::downgrade(&self.0.shared) }
    }
}
