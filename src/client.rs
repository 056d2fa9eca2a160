//! The client: a cheap handle to a driver. It checks arguments and waits for
//! answers; it never asks a node itself.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    acquire::Acquire,
    claim::{Claim, Released},
    config::{Builder, Config},
    driver,
    engine::{ExtendRequest, LookRequest, Request, Shared},
    error::{Error, ErrorKind},
    exchange::{Ask, Seen},
    guard::{LockGuard, LockParts},
    inspect::{Health, Inspection},
    key::Key,
    protocol::{Lease, Moment, Ttl},
    token::Token,
};

/// A client of N independent Redis or Valkey masters that lock together.
///
/// Cloning it is cheap: all clones share one driver and its connections. The
/// client ends when the last clone and the last guard are gone and everything is
/// released.
#[doc(alias("redlock", "mutex", "LockManager", "redsync", "RedissonClient"))]
#[derive(Clone)]
pub struct Redlock {
    shared: Arc<Shared>,
}

impl Redlock {
    /// Returns a builder with no nodes and the default settings.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let redlock = Redlock::builder()
    ///     .nodes(["redis://a:6379", "redis://b:6379", "redis://c:6379"])
    ///     .ttl(Duration::from_secs(30))
    ///     .build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns a builder with one node for each of these clients, at its address and
    /// with its credentials. The connections are this library's own, and all other
    /// settings have their defaults.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let a = redis::Client::open("redis://a:6379")?;
    /// let b = redis::Client::open("redis://b:6379")?;
    /// let c = redis::Client::open("redis://c:6379")?;
    /// let redlock = Redlock::from_clients([a, b, c]).key_prefix("locks:").build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_clients(clients: impl IntoIterator<Item = redis::Client>) -> Builder {
        Builder::new().clients(clients)
    }

    #[cfg(redlock_sim)]
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn start(config: Config, driver_thread: bool) -> Result<Self, Error> {
        driver::start(config, driver_thread).map(|shared| Self { shared })
    }

    /// Acquires the lock named `key`: set options on what this returns, then await
    /// it. Any bytes are a key: at least one, and at most 1024 with the client's
    /// prefix.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("orders:42").await?; // waits while another holds it
    /// assert!(guard.is_held());
    ///
    /// let other = redlock.lock(42_u64.to_be_bytes()).await?; // any bytes are a key
    /// assert_eq!(other.key(), [0, 0, 0, 0, 0, 0, 0, 42]);
    /// # Ok(()) }
    /// ```
    #[doc(alias("acquire", "mutex", "getLock", "NewMutex"))]
    pub fn lock(&self, key: impl AsRef<[u8]>) -> Acquire {
        Acquire::new(Arc::clone(&self.shared), key.as_ref())
    }

    /// Acquires the lock named `key` if it is free: one attempt, no waiting.
    /// The same as `lock(key).wait(Duration::ZERO)`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contended`] if another holds it, with [`Error::retry_after`].
    /// Otherwise those of [`Acquire`], except [`Timeout`](ErrorKind::Timeout).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no key behind, as for [`Acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.try_lock("nightly-report").await?;
    ///
    /// match redlock.try_lock("nightly-report").await {
    ///     Ok(_guard) => println!("it is ours to do"),
    ///     Err(error) if error.kind() == ErrorKind::Contended => println!("another does it"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("tryLock", "setnx", "TryLockContext"))]
    pub fn try_lock(&self, key: impl AsRef<[u8]>) -> Acquire {
        self.lock(key).wait(Duration::ZERO)
    }

    /// Looks at the lock named `key` on all nodes, and changes nothing. It takes as
    /// long as the slowest node, and at most one node timeout.
    ///
    /// This is for people and for monitoring: what it found may have changed
    /// before it returns. To decide who may act, acquire the lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`] if too few nodes answered to tell whether it is held,
    /// with what each node said. [`ErrorKind::InvalidConfig`] if `key` is empty or
    /// too long. Also [`Busy`](ErrorKind::Busy) and [`Closed`](ErrorKind::Closed).
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
    /// [`ErrorKind::Busy`] and [`ErrorKind::Closed`]. A node that does not answer is
    /// no error, but part of the result.
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
        Ok(Health::of(self.look(Ask::Greet, Key::NONE).await?, &self.shared.config))
    }

    async fn look(&self, ask: Ask, key: Key) -> Result<Seen, Error> {
        let look = |reply, queued| Request::Look(LookRequest { ask, key, reply }, queued);
        self.shared.call_if_room(look).await
    }

    /// Takes over a lock that [`LockGuard::into_parts`] took out of its guard,
    /// here or in another process.
    ///
    /// It asks no server: it believes the deadline in `parts`, by this host's wall
    /// clock, and takes off the drift of the time that is left.
    /// [`LockGuard::extend`] makes the servers confirm the lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Expired`] if the deadline has passed.
    /// [`ErrorKind::InvalidConfig`] if the key is empty or too long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let parts = redlock.lock("upload:7").await?.into_parts();
    /// // ... and where the parts have been sent to:
    /// let guard = redlock.adopt(parts)?;
    /// guard.extend(Duration::from_secs(30)).await?; // the servers say that it is ours
    /// # Ok(()) }
    /// ```
    pub fn adopt(&self, parts: LockParts) -> Result<LockGuard, Error> {
        let LockParts { key, token, valid_until } = parts;
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &key)?;
        let left = valid_until.duration_since(config.world.wall()).unwrap_or_default();
        let ttl = Ttl::from_duration(left).min(config.max_ttl());
        let now = config.world.now();
        let gone_by = config.gone_by(now, ttl.as_duration());
        let lease = Lease { gone_by, ..config.lease(now, ttl) };
        if lease.until <= now {
            return Err(Error::new(ErrorKind::Expired, format!("lock {key} has expired")));
        }
        // The rest of a lease is too short to renew by.
        let ttl = ttl.max(config.ttl);
        let claim = Claim::adopted(key, token, ttl, lease, config.quorum.nodes());
        Ok(LockGuard::new(Arc::clone(&self.shared), Arc::new(claim)))
    }

    /// Releases a lock by its token, without a guard: the nodes say whether the
    /// token still holds it.
    ///
    /// A node that does not answer is asked again in the background: until
    /// `parts.valid_until` or for [`Builder::max_ttl`], whichever is sooner, and for
    /// three node timeouts at least. A node that does not have the key is asked once
    /// more after a node timeout, if others had it: the acquire may still have been
    /// on its way there. A lock that is acquired meanwhile with the same token would
    /// then be deleted there, so use no token twice.
    ///
    /// The release of a guard, also of one from [`Self::adopt`], looks for such an
    /// acquire for as long as it may still arrive, since its lock is known to be real.
    ///
    /// # Errors
    ///
    /// Those of [`LockGuard::release`]; also [`ErrorKind::InvalidConfig`] if the key
    /// is empty or too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the release.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, Released, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let parts = redlock.lock("upload:7").await?.into_parts();
    /// let same = parts.clone();
    /// assert_eq!(redlock.release(parts).await?, Released::Released);
    /// assert_eq!(redlock.release(same).await?, Released::AlreadyExpired);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "unlock")]
    pub async fn release(&self, parts: LockParts) -> Result<Released, Error> {
        let LockParts { key, token, valid_until } = parts;
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &key)?;
        let left = valid_until.duration_since(config.world.wall()).unwrap_or_default();
        // This is long enough to look once more: see the driver's release.
        let least = config.node_timeout(config.max_ttl()).saturating_mul(3);
        let left = left.min(config.max_ttl().as_duration()).max(least);
        let gone_by = config.world.now().after(left);
        let lease = Lease { until: Moment::NEVER, gone_by };
        let claim = Claim::by_token(key, token, config.ttl, lease, config.quorum.nodes());
        let claim = Arc::new(claim);
        self.shared.call(|reply| Request::Release { claim, reply: Some(reply) }).await
    }

    /// Takes over a lock by its token, by an extension: the nodes say whether the
    /// token still holds it, and then it is held for `ttl` from now. Unlike
    /// [`Self::adopt`], it compares no wall clocks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`]: the lock is not held by this token.
    /// [`ErrorKind::NoQuorum`]: too few nodes answered in time; the lock is as it
    /// was.
    /// [`ErrorKind::Expired`]: the lock was extended, but so late that nothing of
    /// `ttl` is left.
    /// Also those of [`LockGuard::extend`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the extension, and releases nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let parts = redlock.lock("upload:7").await?.into_parts();
    /// // ... and where only the token is known:
    /// let guard = redlock.resume("upload:7", parts.token, Duration::from_secs(30)).await?;
    /// assert!(guard.is_held());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "reacquire")]
    pub async fn resume(
        &self,
        key: impl AsRef<[u8]>,
        token: Token,
        ttl: Duration,
    ) -> Result<LockGuard, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, key.as_ref())?;
        let ttl = config.ttl_from(ttl)?;
        let now = config.world.now();
        let lease = config.lease(now, ttl);
        // Only the nodes know when it ends.
        let unknown = Lease { until: Moment::NEVER, ..lease };
        let claim = Claim::by_token(key, token, ttl, unknown, config.quorum.nodes());
        let claim = Arc::new(claim);
        let extended = Arc::clone(&claim);
        let extend =
            |reply, queued| Request::Extend(ExtendRequest { claim: extended, ttl, reply }, queued);
        self.shared.call_if_room(extend).await?;
        // From here on the deadline is the granted one, not the made-up one above.
        claim.grant(lease.until);
        if claim.remaining(config.world.now()).is_zero() {
            let message = format!("lock {} was extended too late: use a longer ttl", claim.key);
            return Err(Error::new(ErrorKind::Expired, message));
        }
        Ok(LockGuard::new(Arc::clone(&self.shared), claim))
    }

    /// Takes no more acquires from any clone of this client, and waits until the
    /// nodes have confirmed all that was dropped or released. Guards that are
    /// still held stay held, and can be extended and released.
    ///
    /// It does not wait for an acquire that was lost with a broken connection and
    /// may still arrive: the client looks for it in the background, up to the ttl,
    /// while the process lives.
    ///
    /// Call it before the process ends: a release that is still on its way then is
    /// lost with the process, and its key ends with its ttl.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if requests are still under way after `limit`; they
    /// go on. [`ErrorKind::Closed`] if the driver has ended already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not reopen the client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// drop(redlock.lock("job").await?); // released in the background
    ///
    /// redlock.shutdown(Duration::from_secs(1)).await?; // by now it is released
    /// let refused = redlock.try_lock("job").await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    #[doc(alias("quit", "close"))]
    pub async fn shutdown(&self, limit: Duration) -> Result<(), Error> {
        let deadline = self.shared.config.world.now().after(limit);
        let left = self.shared.call(|reply| Request::Shutdown { deadline, reply }).await?;
        if left == 0 {
            return Ok(());
        }
        let message = format!(
            "{left} requests were still under way after {limit:?}: what they leave ends with its \
             ttl"
        );
        Err(Error::new(ErrorKind::Timeout, message))
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
