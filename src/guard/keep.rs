//! Keeping the lock: extensions, renewals, and how its holder learns that it is
//! lost. The driver does all of it: this only asks the driver, and never a node.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::LockGuard;
use crate::{
    claim::Renewal,
    engine::{ExtendRequest, Request, Shared},
    error::Error,
    protocol::Moment,
};

impl LockGuard {
    /// Holds the lock for `ttl` from now, if a quorum agrees before the present
    /// deadline. This only ever moves the deadline out: a `ttl` that is shorter than
    /// the time left changes nothing. Nodes that do not have the key are then given
    /// it again: see [`Votes::healed`](crate::Votes::healed).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum): the lock was not
    /// extended, but is still held for as long as before; try again.
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost): the lock has expired, or its key
    /// is gone; stop.
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig): `ttl` is
    /// out of bounds. Also [`Busy`](crate::ErrorKind::Busy) and
    /// [`Closed`](crate::ErrorKind::Closed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the extension: the deadline may
    /// still move out. It never makes the lock end sooner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").ttl(Duration::from_secs(10)).await?;
    /// guard.extend(Duration::from_secs(60)).await?;
    /// assert!(guard.remaining() > Duration::from_secs(50));
    /// # Ok(()) }
    /// ```
    #[doc(alias("expire", "reacquire", "prolong"))]
    pub async fn extend(&self, ttl: Duration) -> Result<(), Error> {
        let claim = Arc::clone(&self.0.claim);
        let ttl = self.0.shared.config.ttl_with(ttl, claim.ttl().grace_duration())?;
        let extend = |reply, queued| Request::Extend(ExtendRequest { claim, ttl, reply }, queued);
        self.0.shared.call_if_room(extend).await
    }

    /// Renews the lock in the background from now on, until it is released or lost:
    /// every third of its ttl or up to a quarter of that sooner, for that ttl. After
    /// a failed renewal it tries again ever sooner, and [`Self::warning`] says why.
    ///
    /// [`Acquire::renew_every`](crate::Acquire::renew_every) sets another interval. A
    /// lock that is renewed already is left as it is.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// // ... it turns out that there is much to do ...
    /// guard.renew();
    /// # Ok(()) }
    /// ```
    #[doc(alias("watchdog", "heartbeat", "keep_alive"))]
    pub fn renew(&self) {
        let every = self.0.claim.ttl().third();
        self.keep(Some(Renewal::every(every, Moment::NEVER)));
    }

    /// Returns why the last renewal failed, with each node's answer; `None` if it
    /// succeeded or there was none. The lock is still held for [`Self::remaining`]:
    /// finish the work, or bring it to a point where it can stop.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").renew().await?;
    /// if let Some(why) = guard.warning() {
    ///     eprintln!("not renewed, and held for {:?} more: {why}", guard.remaining());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn warning(&self) -> Option<Arc<Error>> {
        self.0.claim.warning()
    }

    /// Waits until the lock is not held any more: its key is gone, or its deadline
    /// has passed. The deadline is read from this client's own clock, so a slow node
    /// does not delay it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe: nothing is changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// # async fn work() {}
    /// let guard = redlock.lock("job").renew().await?;
    /// tokio::select! {
    ///     () = guard.lost() => println!("stopped: another may hold the lock"),
    ///     () = work() => println!("done"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn lost(&self) {
        self.lost_token().cancelled().await;
    }

    /// Returns a token that is cancelled when the lock is not held any more, as
    /// [`Self::lost`] says: work can be stopped by it. It is also cancelled when the
    /// lock is released, forgotten or taken out of its guard, since work that goes
    /// on is then without the lock.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").renew().await?;
    /// let lost = guard.lost_token();
    /// let worker = tokio::spawn(async move {
    ///     lost.cancelled().await; // beside its work, by `select!`
    /// });
    /// guard.release().await?;
    /// worker.await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias("signal", "AbortSignal"))]
    #[must_use]
    pub fn lost_token(&self) -> CancellationToken {
        self.keep(None);
        self.0.claim.ended()
    }

    fn keep(&self, renewal: Option<Renewal>) {
        Shared::keep(&self.0.claim, renewal, Some(&self.0.shared));
    }
}
