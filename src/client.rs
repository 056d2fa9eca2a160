//! The client: a cheap handle to a driver.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    acquire::Acquire,
    claim::Claim,
    config::{Builder, Config},
    driver::{self, ExtendRequest, LookRequest, Request, Shared},
    error::{Error, ErrorKind},
    exchange::{Ask, Seen},
    guard::{LockGuard, LockParts, Released},
    inspect::{Health, Inspection},
    key::Key,
    protocol::{Lease, Moment, Ttl},
    token::Token,
};

/// A lock service made of N independent Redis masters.
///
/// A handle: cloning it is cheap and shares connections. The client ends when
/// the last handle and the last guard are gone and everything is released.
#[derive(Clone)]
pub struct Redlock {
    shared: Arc<Shared>,
}

impl Redlock {
    /// Starts with no nodes and the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts with the servers that these clients point to, one node each.
    /// Address and credentials are taken from them; the connections are this
    /// library's own.
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

    /// Acquires the lock named `key`, any 1 to 1024 bytes: set options on what
    /// this returns, then await it.
    pub fn lock(&self, key: impl AsRef<[u8]>) -> Acquire {
        Acquire::new(Arc::clone(&self.shared), key.as_ref())
    }

    /// Acquires the lock named `key` if it is free: one round, no waiting.
    /// The same as `lock(key).wait(Duration::ZERO)`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contended`] if another holds it, with
    /// [`Error::retry_after`]; else as for [`Acquire`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no key behind, as for [`Acquire`].
    pub fn try_lock(&self, key: impl AsRef<[u8]>) -> Acquire {
        self.lock(key).wait(Duration::ZERO)
    }

    /// Looks at the lock named `key` on all nodes, and takes nothing. What it
    /// found may have changed before it returns: for people and for monitoring.
    /// Takes as long as the slowest node, and at most one node timeout.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().nodes(3).backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("orders:42").await?;
    /// let found = redlock.inspect("orders:42").await?;
    /// assert!(found.is_held());
    /// # drop(guard); Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`] if too few nodes answered to tell whether it is held,
    /// with what each said; also [`InvalidConfig`](ErrorKind::InvalidConfig) for a key that can't
    /// be one, [`Busy`](ErrorKind::Busy) and [`Closed`](ErrorKind::Closed).
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed anywhere.
    pub async fn inspect(&self, key: impl AsRef<[u8]>) -> Result<Inspection, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, key.as_ref())?;
        Inspection::of(self.look(Ask::Look, key).await?, config)
    }

    /// Greets every node: who answers, in what role, how quickly, and what is
    /// wrong with those that do not. Within one node timeout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] and [`ErrorKind::Closed`]. That nodes do not answer is no
    /// error, but what it tells.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed anywhere.
    pub async fn health(&self) -> Result<Health, Error> {
        Ok(Health::of(self.look(Ask::Greet, Key::NONE).await?, &self.shared.config))
    }

    async fn look(&self, ask: Ask, key: Key) -> Result<Seen, Error> {
        let (reply, answer) = oneshot::channel();
        let (_awaited, queued) = self.shared.places()?;
        self.shared.send(Request::Look(LookRequest { ask, key, reply }, queued))?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Takes over a lock that [`LockGuard::into_parts`] took out of its guard,
    /// here or in another process. Asks no server: the deadline in `parts` is
    /// believed, less the drift of what is left of it, and compared with this
    /// host's wall clock. [`LockGuard::extend`] lets the servers confirm it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Expired`] if the deadline has passed;
    /// [`ErrorKind::InvalidConfig`] if the key can't be one.
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
        // What is left is no ttl to renew by.
        let ttl = ttl.max(config.ttl);
        let claim = Claim::adopted(key, token, ttl, lease, config.quorum.nodes());
        Ok(LockGuard::new(Arc::clone(&self.shared), Arc::new(claim)))
    }

    /// Releases a lock that someone has only the token of: the nodes say whether
    /// it still is. One that does not answer is asked again in the background until
    /// `parts.valid_until` or for the longest ttl there is, whichever is sooner, and
    /// for three node timeouts at least. One that does not have the key is asked once
    /// more after a node timeout, if others had it: the acquire may still have been
    /// on its way there. A lock that is taken meanwhile with the same token would
    /// then be deleted there: use no token twice.
    ///
    /// [`Self::adopt`] and [`LockGuard::release`] look for such an acquire for as
    /// long as it may come, since they know that it is a lock.
    ///
    /// # Errors
    ///
    /// As for [`LockGuard::release`]; also [`ErrorKind::InvalidConfig`] if the key
    /// can't be one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the release.
    pub async fn release(&self, parts: LockParts) -> Result<Released, Error> {
        let LockParts { key, token, valid_until } = parts;
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &key)?;
        let left = valid_until.duration_since(config.world.wall()).unwrap_or_default();
        // Long enough to look once more: see the driver's release.
        let least = config.node_timeout(config.max_ttl()).saturating_mul(3);
        let left = left.min(config.max_ttl().as_duration()).max(least);
        let gone_by = config.world.now().after(left);
        let lease = Lease { until: Moment::NEVER, gone_by };
        let claim = Claim::by_token(key, token, config.ttl, lease, config.quorum.nodes());
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Release { claim: Arc::new(claim), reply: Some(reply) })?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Takes over a lock that someone has only the token of, by an extension: the
    /// nodes say whether it still is, and it is held for `ttl` from now. No clocks
    /// are compared.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`]: it is not held by this token.
    /// [`ErrorKind::NoQuorum`]: too few nodes answered in time; it is as it was.
    /// [`ErrorKind::Expired`]: extended, but so late that nothing of `ttl` is left.
    /// Also as for [`LockGuard::extend`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the extension, and releases nothing.
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
        // When it ends is unknown, and for the nodes to say.
        let unknown = Lease { until: Moment::NEVER, ..lease };
        let claim = Claim::by_token(key, token, ttl, unknown, config.quorum.nodes());
        let claim = Arc::new(claim);
        let (reply, answer) = oneshot::channel();
        let (_awaited, queued) = self.shared.places()?;
        let request = ExtendRequest { claim: Arc::clone(&claim), ttl, reply };
        self.shared.send(Request::Extend(request, queued))?;
        answer.await.unwrap_or_else(|_| Err(Error::closed()))?;
        // What was granted, and not what was made up before.
        claim.grant(lease.until);
        if claim.remaining(config.world.now()).is_zero() {
            let message = format!("lock {} was extended too late: use a longer ttl", claim.key);
            return Err(Error::new(ErrorKind::Expired, message));
        }
        Ok(LockGuard::new(Arc::clone(&self.shared), claim))
    }

    /// Takes no more acquires from any handle, and waits until the nodes have
    /// confirmed all that was dropped or released. Guards that are still held
    /// stay held, and can be extended and released.
    ///
    /// It does not wait for a request that was lost with a broken connection
    /// and may still arrive: that is looked for in the background, up to the
    /// ttl, while the process lives.
    ///
    /// Call it before a process ends: what is still on its way then is lost
    /// with the process, and its keys end with their ttl.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if something is still under way after `limit`; it
    /// goes on. [`ErrorKind::Closed`] if the driver has ended already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not reopen the client.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), Error> {
        let deadline = self.shared.config.world.now().after(limit);
        let (reply, answer) = oneshot::channel();
        self.shared.send(Request::Shutdown { deadline, reply })?;
        match answer.await {
            Ok(0) => Ok(()),
            Ok(left) => {
                let message = format!(
                    "{left} requests were still under way after {limit:?}: what they leave ends \
                     with its ttl"
                );
                Err(Error::new(ErrorKind::Timeout, message))
            }
            Err(_) => Err(Error::closed()),
        }
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
