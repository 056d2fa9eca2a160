//! The options of an acquire, and whether they fit each other. Nothing here asks
//! anyone: an option takes effect when the acquire is awaited.

use std::time::Duration;

use super::Acquire;
use crate::{
    config::Config,
    engine::Renew,
    error::{Error, ErrorKind},
    protocol::Ttl,
    spelled::Exact,
};

impl Acquire {
    /// Sets how long to hold the lock, from 10 ms to
    /// [`Builder::max_ttl`](crate::Builder::max_ttl), cut to whole milliseconds. The holder must be done, or
    /// have extended the lock, within this time. Default: the client's
    /// [`Builder::ttl`](crate::Builder::ttl).
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").ttl(Duration::from_secs(60)).await?;
    /// assert!(guard.remaining() > Duration::from_secs(50));
    /// # Ok(()) }
    /// ```
    #[doc(alias("lease", "leaseTime", "expire", "WithExpiry"))]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets for how much longer than the ttl the nodes keep the lock, if its holder is gone without
    /// a release; together at most [`Builder::max_ttl`](crate::Builder::max_ttl). Default: the
    /// client's [`Builder::grace`](crate::Builder::grace), which says what it is good for.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let (ttl, grace) = (Duration::from_secs(10), Duration::from_secs(5));
    /// let guard = redlock.lock("report").ttl(ttl).grace(grace).await?;
    /// assert!(guard.remaining() < ttl); // whoever comes after a crash waits for 15 s
    /// # Ok(()) }
    /// ```
    #[doc(alias("lock-delay", "lock_delay", "LockDelay"))]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The ttl with its grace, if they are within bounds.
    pub(super) fn span(&self, config: &Config) -> Result<Ttl, Error> {
        match (self.ttl, self.grace) {
            (None, None) => Ok(config.ttl),
            (ttl, grace) => {
                let ttl = ttl.unwrap_or_else(|| config.ttl.as_duration());
                config.ttl_with(ttl, grace.unwrap_or_else(|| config.ttl.grace_duration()))
            }
        }
    }

    /// Sets how long to try: the call ends within `wait`, or within one node
    /// timeout where that is longer. Zero means a single attempt. Default: for as
    /// long as another holds the lock.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").wait(Duration::from_secs(3)).await?;
    ///
    /// let refused = redlock.lock("report").wait(Duration::ZERO).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Contended);
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("waitTime", "blocking_timeout", "timeout", "retryCount", "WithTries"))]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sets what the holder calls itself, for others to know whom they wait for: a host, a
    /// process, a task. It is 1 to 232 bytes of printable ASCII, without a blank at either end.
    /// Whoever is
    /// refused is told it ([`Error::owner`]), and so is whoever looks
    /// ([`Inspection::owner`](crate::inspect::Inspection::owner)); so it must be no secret.
    ///
    /// It stands in the value at the key, behind the secret, so a lock is handed on within
    /// one client only between tasks with the same label. Nothing is decided by it. By
    /// default there is none.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").owner("worker-7").await?;
    ///
    /// let refused = redlock.try_lock("report").await.unwrap_err();
    /// assert_eq!(refused.owner(), Some("worker-7"));
    /// assert!(refused.to_string().contains("is held by `worker-7`"));
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("label", "lockInfo", "holder"))]
    pub fn owner(mut self, label: impl AsRef<str>) -> Self {
        self.owner = Some(label.as_ref().into());
        self
    }

    /// Renews the lock in the background for as long as it is held, every third
    /// of its ttl or up to a quarter of that sooner. Work may then take longer
    /// than the ttl, and the ttl is only how long others wait if the holder
    /// dies.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").ttl(Duration::from_secs(5)).renew().await?;
    /// // ... work that takes minutes ...
    /// guard.ensure(Duration::from_secs(1))?; // it was not lost meanwhile
    /// # Ok(()) }
    /// ```
    #[doc(alias("watchdog", "heartbeat", "keep_alive"))]
    pub fn renew(mut self) -> Self {
        self.renew = true;
        self
    }

    /// Asks for a fencing number with the lock: one that is larger than that of every holder
    /// before it, whatever any clock does, for the protected resource to compare.
    ///
    /// A lock can end while its holder still works: the process was paused for longer than the
    /// ttl, or a clock jumped. Nothing on the client's side can see that in time. A resource that
    /// refuses a number below the largest that it has seen does ([docs/fencing.md]). It costs no
    /// further round trip, unless this host's clock is behind that of the last holder's.
    ///
    /// Each node remembers the last number of a key at that key with `:fence` behind it, for a day
    /// and a [`Builder::max_ttl`](crate::Builder::max_ttl). The nodes must let the user use `MGET`
    /// and `TIME`, too.
    ///
    /// [docs/fencing.md]: https://github.com/redlock-quorum/redlock-quorum/blob/main/docs/fencing.md
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("report").fenced().await?;
    /// let number = guard.fencing_number().ok_or("it has none")?;
    /// // UPDATE report SET body = $1, fence = $number WHERE id = $2 AND fence <= $number
    /// guard.release().await?;
    ///
    /// let next = redlock.lock("report").fenced().await?;
    /// assert!(next.fencing_number() > Some(number));
    /// # Ok(()) }
    /// ```
    #[doc(alias("fencing_token", "fencing token", "RFencedLock", "lockAndGetToken"))]
    pub fn fenced(mut self) -> Self {
        self.fenced = true;
        self
    }

    /// Renews the lock as [`Self::renew`] does, but every `every`: from 1 ms to
    /// half the ttl, so that one renewal may fail.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let ttl = Duration::from_secs(30);
    /// let guard = redlock.lock("report").ttl(ttl).renew_every(ttl / 6).await?;
    ///
    /// let refused = redlock.lock("other").ttl(ttl).renew_every(ttl).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidConfig); // more than half the ttl
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[doc(alias("automaticExtensionThreshold", "lockWatchdogTimeout"))]
    pub fn renew_every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self.renew()
    }

    /// Stops renewing `limit` after the lock was acquired. The lock then ends
    /// within a ttl, so work that hangs does not keep it. Needs [`Self::renew`].
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let hour = Duration::from_secs(3600);
    /// let guard = redlock.lock("report").renew().max_hold(hour).await?;
    /// // ... if this hangs, others get the lock an hour and a ttl from now ...
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    pub fn max_hold(mut self, limit: Duration) -> Self {
        self.max_hold = Some(limit);
        self
    }

    /// How often to renew, and for how long at most; `None` without renewal.
    pub(super) fn renewing(&self, ttl: Ttl) -> Result<Option<Renew>, Error> {
        if !self.renew {
            return match self.max_hold {
                None => Ok(None),
                Some(_) => {
                    let message = "max_hold limits the renewal of a lock: ask for `renew` too";
                    Err(Error::new(ErrorKind::InvalidConfig, message))
                }
            };
        }
        let every = self.every.unwrap_or_else(|| ttl.third());
        let (least, most) = (Duration::from_millis(1), ttl.as_duration() / 2);
        if (least..=most).contains(&every) {
            return Ok(Some(Renew { every, limit: self.max_hold }));
        }
        let message = format!(
            "renew_every is {}: it must be from 1ms to {}, half the ttl",
            Exact(every),
            Exact(most)
        );
        Err(Error::new(ErrorKind::InvalidConfig, message))
    }
}
