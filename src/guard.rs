//! The guard: a held lock, and what its holder can do with it. It asks the
//! driver and never a node.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

pub use crate::claim::Released;
use crate::{
    claim::{Claim, Renewal},
    engine::{ExtendRequest, Kept, Request, Shared, Won},
    error::Error,
    held::Held,
    protocol::Moment,
    token::Token,
    votes::Votes,
};

/// A lock that is held until [`Self::remaining`] runs out or it is released.
///
/// Dropping the guard releases the lock in the background: without blocking, and
/// from anywhere, also outside a runtime. [`Self::release`] does the same and says
/// what came of it. If another task of this client waits for the lock, it gets the
/// lock at once: see [`Builder::hand_overs`](crate::Builder::hand_overs).
///
/// Held means: a quorum has granted this client the lock, and by the client's own
/// clock no server's copy can have expired yet. Work that takes longer than
/// [`Self::remaining`] is not protected: [`Self::extend`] the lock in time,
/// [`Self::renew`] it, or use a longer ttl.
#[doc(alias("mutex", "lease", "RedLockGuard", "RLock"))]
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct LockGuard(Won);

/// A lock taken out of its guard, to be taken over elsewhere with
/// [`Redlock::adopt`](crate::Redlock::adopt).
///
/// The token is a secret: with it, anyone can extend and release the lock. The
/// deadline is wall-clock time. If the lock is adopted on another host whose clock
/// is behind, it counts as held for that much too long: if in doubt, extend the
/// lock right after adopting it, which proves ownership to the servers.
#[derive(Clone, Debug)]
pub struct LockParts {
    /// The key, without the client's prefix.
    pub key: Vec<u8>,
    /// The proof of ownership: the value at the key.
    pub token: Token,
    /// When the holder must stop relying on the lock.
    pub valid_until: SystemTime,
}

impl LockGuard {
    pub(crate) fn new(shared: Arc<Shared>, claim: Arc<Claim>) -> Self {
        Self(Won::new(shared, claim))
    }

    pub(crate) fn of(won: Won) -> Self {
        Self(won)
    }

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
    /// be set.
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

    /// Holds the lock for `ttl` from now, if a quorum agrees before the present
    /// deadline. This only ever moves the deadline out: a `ttl` that is shorter than
    /// the time left changes nothing. Nodes that do not have the key are then given
    /// it again: see [`Votes::healed`].
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
        let ttl = self.0.shared.config.ttl_from(ttl)?;
        let claim = Arc::clone(&self.0.claim);
        let extend = |reply, queued| Request::Extend(ExtendRequest { claim, ttl, reply }, queued);
        self.0.shared.call_if_room(extend).await
    }

    /// Releases the lock and says what came of it. It returns as soon as that is
    /// certain, and within one node timeout: after the answers of a majority, or of
    /// more nodes if some no longer had the key. Nodes that have not answered by then
    /// are asked again in the background, until the key has ended there by itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum): too few nodes
    /// answered to know that others can have the lock; [`Error::nodes`] says why.
    /// Nothing needs to be done: the release goes on in the background, at worst
    /// until the ttl has passed.
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed): the client has ended, and the
    /// key stays for its ttl.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the release: it goes on in the
    /// background, as when the guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, Released, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// // ... work ...
    /// let released = guard.release().await?;
    /// assert_eq!(released, Released::Released); // it was ours all the time
    /// # Ok(()) }
    /// ```
    #[doc(alias = "unlock")]
    pub async fn release(mut self) -> Result<Released, Error> {
        let claim = self.0.take();
        let held = Arc::clone(&claim);
        let release = |reply| Request::Release { claim, reply: Some(reply) };
        let released = self.0.shared.call(release).await;
        // With the driver gone, nobody else ends it. Otherwise it has ended.
        held.end();
        released
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
        let every = self.0.claim.ttl.third();
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
        if self.0.claim.keeping(|keeping| keeping.keep(renewal)) {
            // If the driver is gone, nothing can say when the lock ends: then
            // dropping this request ends it.
            let _ = self.0.shared.send(Request::Keep(Kept::new(Arc::clone(&self.0.claim))));
        }
    }

    #[cfg(redlock_sim)]
    pub(crate) fn claim(&self) -> Arc<Claim> {
        Arc::clone(&self.0.claim)
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
        Held { claim: Arc::clone(&self.0.claim), config: Arc::clone(&self.0.shared.config) }
    }

    /// Gives up the lock without releasing it: no one can have it before its ttl has
    /// passed. This is for work that must not be done again too soon.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("invoice:7").await?;
    /// // ... sent, and not to be sent again within the ttl ...
    /// guard.forget();
    /// let refused = redlock.try_lock("invoice:7").await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Contended);
    /// # Ok(()) }
    /// ```
    pub fn forget(mut self) {
        self.0.leave();
    }

    /// Takes the lock out of its guard without releasing it, so that another
    /// process can [`adopt`](crate::Redlock::adopt) it. It is not renewed meanwhile.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let parts = redlock.lock("upload:7").await?.into_parts();
    /// assert_eq!(parts.key, b"upload:7");
    /// // ... and where the parts have been sent to:
    /// let guard = redlock.adopt(parts)?;
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use = "whoever has the parts must release the lock"]
    pub fn into_parts(mut self) -> LockParts {
        let valid_until = self.valid_until();
        let (key, token) = (self.key().to_vec(), self.0.claim.token.clone());
        // From here on, the adopter renews it.
        self.0.leave();
        LockParts { key, token, valid_until }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.0.claim.key)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
