//! Locks of which the caller has the token and no guard: they are adopted, released
//! or resumed. Nothing here acquires a lock: whether the token still holds it is for
//! the nodes to say.

use std::{sync::Arc, time::Duration};

use super::Redlock;
use crate::{
    claim::{Claim, Released},
    engine::{ExtendRequest, Request},
    error::{Error, ErrorKind},
    guard::{LockGuard, LockParts},
    key::Key,
    protocol::{Lease, Moment, Number, Ttl},
    token::Token,
};

impl Redlock {
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
    /// [`ErrorKind::InvalidConfig`] if the key is empty or too long, or the fencing number is none.
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
        let LockParts { key, token, valid_until, fencing_number } = parts;
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &key)?;
        let number = fencing_number.map(number).transpose()?;
        let left = valid_until.duration_since(config.world.wall()).unwrap_or_default();
        let ttl = Ttl::from_duration(left).min(config.max_ttl());
        let now = config.world.now();
        let ttl = config.with_default_grace(ttl);
        let gone_by = config.gone_by(now, ttl.as_duration());
        let lease = Lease { gone_by, ..config.lease(now, ttl) };
        if lease.until <= now {
            return Err(Error::new(ErrorKind::Expired, format!("lock {key} has expired")));
        }
        // The rest of a lease is too short to renew by.
        let ttl = config.with_default_grace(ttl.max(config.ttl));
        let claim = Claim::adopted(key, token, ttl, lease, config.quorum.nodes());
        self.number(&claim, number)?;
        Ok(LockGuard::new(Arc::clone(&self.shared), Arc::new(claim)))
    }

    /// Releases a lock by its token, without a guard: the nodes say whether the
    /// token still holds it.
    ///
    /// A node that does not answer is asked again in the background: until
    /// `parts.valid_until` or for [`Builder::max_ttl`](crate::Builder::max_ttl),
    /// whichever is sooner, and for three node timeouts at least. So name the latest end that the
    /// lock may have: an extension whose call was dropped may have come to some nodes. A node that does not
    /// have the key is asked once more after a node timeout, if others had it: the
    /// acquire may still have been on its way there. A lock that is acquired meanwhile
    /// with the same token would then be deleted there, so use no token twice.
    ///
    /// The release of a guard, also of one from [`Self::adopt`], looks for such an
    /// acquire for as long as it may still arrive, since its lock is known to be real; and it asks
    /// nodes that do not answer for `max_ttl`, since its former client may have extended it.
    /// With `parts.fencing_number`, nodes refuse an acquire of that number or a lower one from
    /// then on.
    ///
    /// # Errors
    ///
    /// Those of [`LockGuard::release`]; also [`ErrorKind::InvalidConfig`] if the key
    /// is empty or too long, or the fencing number is none.
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
        let LockParts { key, token, valid_until, fencing_number } = parts;
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &key)?;
        let number = fencing_number.map(number).transpose()?;
        let left = valid_until.duration_since(config.world.wall()).unwrap_or_default();
        // This is long enough to look once more: see the driver's release.
        let least = config.node_timeout(config.max_ttl()).saturating_mul(3);
        let left = left.min(config.max_ttl().as_duration()).max(least);
        let gone_by = config.world.now().after(left).after(config.ttl.grace_duration());
        let lease = Lease { until: Moment::NEVER, gone_by };
        let claim = Claim::by_token(key, token, config.ttl, lease, config.quorum.nodes());
        self.number(&claim, number)?;
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
        self.take_over(key.as_ref(), token, None, ttl).await
    }

    /// Like [`Self::resume`], for a lock with a fencing number: the guard has it, and the nodes
    /// remember it for as long as the lock is extended.
    ///
    /// # Errors
    ///
    /// Those of [`Self::resume`]; also [`ErrorKind::InvalidConfig`] if `fencing_number` is none.
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
    /// let parts = redlock.lock("upload:7").fenced().await?.into_parts();
    /// let number = parts.fencing_number.ok_or("it was asked for one")?;
    /// // ... and where the token and the number are known:
    /// let span = Duration::from_secs(30);
    /// let guard = redlock.resume_fenced("upload:7", parts.token, number, span).await?;
    /// assert_eq!(guard.fencing_number(), Some(number));
    /// # Ok(()) }
    /// ```
    pub async fn resume_fenced(
        &self,
        key: impl AsRef<[u8]>,
        token: Token,
        fencing_number: u64,
        ttl: Duration,
    ) -> Result<LockGuard, Error> {
        self.take_over(key.as_ref(), token, Some(fencing_number), ttl).await
    }

    /// Gives a lock that is taken over its fencing number, if it has one.
    fn number(&self, claim: &Claim, number: Option<Number>) -> Result<(), Error> {
        let Some(number) = number else { return Ok(()) };
        claim.set_fence(number);
        // Nodes that have lost the key are given it back with a higher one.
        self.shared.tell_clock()
    }

    async fn take_over(
        &self,
        key: &[u8],
        token: Token,
        fencing_number: Option<u64>,
        ttl: Duration,
    ) -> Result<LockGuard, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, key)?;
        let number = fencing_number.map(number).transpose()?;
        let ttl = config.ttl_from(ttl)?;
        let now = config.world.now();
        let lease = config.lease(now, ttl);
        // Only the nodes know when it ends.
        let unknown = Lease { until: Moment::NEVER, ..lease };
        let claim = Claim::taken_over(key, token, ttl, unknown, config.quorum.nodes());
        self.number(&claim, number)?;
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
}

/// A fencing number that a caller knows.
fn number(value: u64) -> Result<Number, Error> {
    Number::new(value).ok_or_else(|| {
        let message = format!("{value} is no fencing number: it has 16 digits, up to 2^53 - 1");
        Error::new(ErrorKind::InvalidConfig, message)
    })
}
