//! The settings as a user gives them, and their defaults. It checks none of them
//! before `build`, and does no I/O of its own.

mod check;

use std::{sync::Arc, time::Duration};

use crate::{
    error::Error,
    node::Endpoint,
    protocol::Drift,
    tls,
    world::{System, World},
};

/// The ttl of an acquire that asks for none: that of the Redlock page's examples
/// and of most libraries.
const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// The longest ttl unless the builder says otherwise. A crashed holder blocks
/// everyone for a ttl, so an hour is already a decision.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(3600);

/// The default ceilings of the first and of the last delays between attempts. The
/// first is a few round trips, so that split votes part quickly; the last is the
/// reference algorithm's.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// How many tasks of one client may stand in line for one lock, unless the builder
/// says otherwise: as many as one client lets wait for all locks together.
const MAX_WAITERS: usize = 65_536;

/// How often in a row a lock is handed on within one client, unless the builder
/// says otherwise: often enough that the release and the acquire after them hardly
/// count, and soon over if holds are short.
const HAND_OVERS: u32 = 16;

/// Builds a [`Redlock`](crate::Redlock). Nothing is checked and nothing connects before
/// [`Self::build`].
///
/// | setting | default |
/// |---|---|
/// | `tls` | trust what the system trusts, show no certificate |
/// | [`ttl`](Self::ttl) | 10 s |
/// | [`max_ttl`](Self::max_ttl) | 1 h |
/// | [`grace`](Self::grace) | none |
/// | [`strict`](Self::strict) | no |
/// | [`delayed_restarts`](Self::delayed_restarts) | yes |
/// | [`quorum`](Self::quorum) | more than half of the nodes |
/// | [`node_timeout`](Self::node_timeout) | a tenth of the lock's ttl, from 5 to 200 ms |
/// | [`drift_per_mille`](Self::drift_per_mille) | 10 (1 %), and always 2 ms more |
/// | [`retry_delay`](Self::retry_delay) | random up to 10 ms, doubling to 200 ms |
/// | [`max_waiters`](Self::max_waiters) | 65 536 for one lock |
/// | [`hand_overs`](Self::hand_overs) | 16 in a row, for 100 ms |
/// | [`share_with_pollers`](Self::share_with_pollers) | off |
/// | [`key_prefix`](Self::key_prefix) | none |
/// | [`driver_thread`](Self::driver_thread) | no |
#[must_use = "nothing is built before `build`"]
#[derive(Debug)]
pub struct Builder {
    endpoints: Vec<Result<Endpoint, Error>>,
    tls: Option<tls::Tls>,
    ttl: Duration,
    max_ttl: Duration,
    grace: Duration,
    strict: bool,
    delayed_restarts: bool,
    quorum: Option<usize>,
    node_timeout: Option<Duration>,
    drift_per_mille: u32,
    retry_delay: (Duration, Duration),
    max_waiters: usize,
    hand_overs: u32,
    share_with_pollers: bool,
    key_prefix: Vec<u8>,
    driver_thread: bool,
    world: Arc<dyn World>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            tls: None,
            ttl: DEFAULT_TTL,
            max_ttl: DEFAULT_MAX_TTL,
            grace: Duration::ZERO,
            strict: false,
            delayed_restarts: true,
            quorum: None,
            node_timeout: None,
            drift_per_mille: Drift::DEFAULT_PER_MILLE,
            retry_delay: RETRY_DELAY,
            max_waiters: MAX_WAITERS,
            hand_overs: HAND_OVERS,
            share_with_pollers: false,
            key_prefix: Vec::new(),
            driver_thread: false,
            world: Arc::new(System),
        }
    }

    /// Adds nodes by URL: `redis://[user:password@]host[:port][/db]`, `rediss://` for
    /// TLS (feature `tls`), or `unix:///path[?db=1&user=bob&pass=secret]`. Each must
    /// be a master of its own, with no replication between them. URLs are not kept.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let redlock = Redlock::builder()
    ///     .nodes(["redis://a", "redis://locker:s3cret@b:6380/1"])
    ///     .nodes(["unix:///run/redis.sock?db=1"])
    ///     .build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn nodes<I>(mut self, urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for url in urls {
            let place = self.endpoints.len().saturating_add(1);
            self.endpoints.push(Endpoint::from_url(url.as_ref(), place));
        }
        self
    }

    pub(crate) fn clients(mut self, clients: impl IntoIterator<Item = redis::Client>) -> Self {
        for client in clients {
            let place = self.endpoints.len().saturating_add(1);
            self.endpoints.push(Endpoint::from_info(client.get_connection_info(), place));
        }
        self
    }

    /// Sets how to speak TLS with the nodes whose URLs begin with `rediss://`. It is
    /// not needed if the system trusts their certificates and they want none of
    /// ours. [`Self::build`] refuses it if no node's URL begins like that.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, Tls};
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new().root_pem(std::fs::read("ca.crt")?)?;
    /// let nodes = ["rediss://a:6379", "rediss://b:6379", "rediss://c:6379"];
    /// let redlock = Redlock::builder().nodes(nodes).tls(tls).build()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: tls::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how long a lock is held if its acquire does not say, from 10 ms to
    /// [`Self::max_ttl`], cut to whole milliseconds.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let nodes = ["redis://a", "redis://b", "redis://c"];
    /// let redlock = Redlock::builder().nodes(nodes).ttl(Duration::from_secs(30)).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias("lease", "leaseTime", "expire", "WithExpiry"))]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the longest ttl that an acquire or an extension may ask for, its grace included: from
    /// 10 ms to thirty days.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let day = Duration::from_secs(24 * 3600);
    /// let builder = Redlock::builder().nodes(["redis://a"]).max_ttl(day);
    /// let redlock = builder.ttl(day / 2).build()?; // longer than the default maximum
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Makes the nodes strict: one that has forgotten what it granted, by a restart, a `FLUSHALL`, an
    /// eviction or a failover, grants nothing for `max_ttl` from when it is first asked for a lock,
    /// by when all of that has ended. It extends, heals and releases meanwhile.
    ///
    /// Each node notes in the key `redlock:epoch` which server it is, and compares that in the
    /// script that acquires. `max_ttl` is that of [`Self::max_ttl`], graces included; all clients
    /// must say the same, and use the same nodes and quorum, or the nodes refuse them with
    /// [`NodeErrorKind::OtherMaxTtl`](crate::NodeErrorKind::OtherMaxTtl) or
    /// [`OtherNodes`](crate::NodeErrorKind::OtherNodes). A node that has never been used is taken to
    /// have forgotten, unless [`Redlock::bootstrap`](crate::Redlock::bootstrap) said otherwise. The
    /// nodes must let the user use `INFO`, `MGET` and `TIME`, and the key `redlock:epoch`. A server
    /// that drops keys when its memory is full, and the later of two addresses of one server, have no
    /// vote. What it
    /// does not cover, [docs/safety.md] says; a client that is not strict is granted locks by a
    /// node that has forgotten.
    ///
    /// [docs/safety.md]: https://github.com/redlock-quorum/redlock-quorum/blob/main/docs/safety.md
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.strict(Duration::from_secs(60)).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn strict(mut self, max_ttl: Duration) -> Self {
        (self.strict, self.max_ttl) = (true, max_ttl);
        self
    }

    /// Sets for how much longer than its ttl the nodes keep a lock whose holder is gone without a
    /// release, rounded up to whole milliseconds: none by default. Together with the ttl it is at most
    /// [`Self::max_ttl`].
    ///
    /// The holder believes in the lock for the ttl as ever, and a release deletes it at once; the
    /// next holder waits `grace` longer where there was none. So a holder meets nobody that goes on
    /// after the end of its ttl, or whose nodes' clocks are set forward while it holds the lock, or
    /// between two extensions: by up to `grace` at each node, in sum.
    /// [`Acquire::grace`](crate::Acquire::grace) sets it for one lock; one that is adopted or
    /// resumed has the grace of the client that does so.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.grace(Duration::from_secs(5)).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias("lock-delay", "lock_delay", "LockDelay"))]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets whether a node that this client has met before, and that was started anew since, is asked
    /// for no lock until those that it had granted have ended: for the longest ttl that this client
    /// has asked for, 2 % of it for the clocks' drift and 1 s more, counted from the node's start. So
    /// it is by default; extensions and releases go there all the same. Do without where a node's restart loses nothing, as with
    /// `appendonly yes` and `appendfsync always`.
    ///
    /// It goes by what the server says of itself when it is connected to, costs nothing, and is less
    /// than [`Self::strict`], which takes its place: a client that has not met the node before, other
    /// clients' longer locks, a `FLUSHALL`, or another server that has long been up are not noticed.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.delayed_restarts(false).build()?; // they write all to disk at once
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn delayed_restarts(mut self, delays: bool) -> Self {
        self.delayed_restarts = delays;
        self
    }

    /// Sets how many nodes must grant a lock: from more than half of the nodes to all
    /// of them. A larger quorum than the default tolerates nodes that forget their
    /// keys, and fewer nodes that fail. Half of the nodes or fewer are refused, since
    /// two clients could then hold the lock.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock};
    /// let nodes = || ["redis://a", "redis://b", "redis://c", "redis://d", "redis://e"];
    /// let redlock = Redlock::builder().nodes(nodes()).quorum(4).build()?; // two may forget
    ///
    /// let refused = Redlock::builder().nodes(nodes()).quorum(2).build().unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidConfig); // two clients could hold
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias = "majority")]
    pub fn quorum(mut self, votes: usize) -> Self {
        self.quorum = Some(votes);
        self
    }

    /// Sets how long one node may take over one request, from 1 ms to 5 s. That
    /// includes connecting, queueing, writing and answering.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let nodes = ["redis://frankfurt", "redis://paris", "redis://london"];
    /// let timeout = Duration::from_millis(500); // these are far away
    /// let redlock = Redlock::builder().nodes(nodes).node_timeout(timeout).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias = "WithTimeoutFactor")]
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = Some(timeout);
        self
    }

    /// Sets by how many thousandths the clocks of client and servers may differ in
    /// rate, under 1000. That share of a ttl, and 2 ms more, is never counted as
    /// held.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.drift_per_mille(20).build()?; // 202 ms of a ttl of 10 s
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias("driftFactor", "WithDriftFactor"))]
    pub fn drift_per_mille(mut self, per_mille: u32) -> Self {
        self.drift_per_mille = per_mille;
        self
    }

    /// Sets how long a waiter pauses between attempts: at random up to `first`, then
    /// up to twice that, and so on up to `most`. A waiter that can be notified of
    /// releases tries when it is, and at the latest after `most`; behind a holder of this
    /// library, which tells of its release, after 5 to 10 s or when the key expires. `first`
    /// is at least
    /// 1 ms, and `most` at least `first`.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// # use std::time::Duration;
    /// let (first, most) = (Duration::from_millis(50), Duration::from_secs(1));
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.retry_delay(first, most).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[doc(alias("retryJitter", "backoff"))]
    pub fn retry_delay(mut self, first: Duration, most: Duration) -> Self {
        self.retry_delay = (first, most);
        self
    }

    /// Sets how many tasks of this client may stand in line for one lock, besides
    /// those that hold it or ask the nodes for it. More are refused with
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.max_waiters(100).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn max_waiters(mut self, most: usize) -> Self {
        self.max_waiters = most;
        self
    }

    /// Sets how many times in a row a lock that is released goes straight to the next
    /// task of this client that waits for it, in one round trip instead of two: at
    /// most 1024. After that, or after 100 ms of hand-overs, it is released to all, so
    /// that other clients are not kept out. With zero it is always released to all.
    ///
    /// The key and its token stay as they are, and belong to the next holder alone. A
    /// lock is not handed on if it was adopted, if its time is nearly over, or if its
    /// key would outlive what the next task asked for.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.hand_overs(0).build()?; // every release is offered to all
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn hand_overs(mut self, most: u32) -> Self {
        self.hand_overs = most;
        self
    }

    /// Sets whether clients that poll get a fair share of a lock that tasks of this client
    /// hand over to each other. Other libraries' clients poll, every 200 ms or so, since
    /// they hear of no release: they acquire a lock only if they find it free. After a
    /// row of hand-overs the line leaves the lock alone for 6 % of the time that the row
    /// took; with this for 30 %, at least 2 ms and at most 500 ms. That costs about a fifth
    /// of the line's throughput, and needs `hand_overs` above zero. Set it where other
    /// libraries want the same keys.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.share_with_pollers(true).build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn share_with_pollers(mut self, shares: bool) -> Self {
        self.share_with_pollers = shares;
        self
    }

    /// Sets the bytes before every key on the servers: at most 1,011, and none by
    /// default. Two clients use the same lock if prefix and key together are the same
    /// bytes.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.key_prefix("app:lock:").build()?;
    /// // The key on the servers is `app:lock:orders:42`.
    /// let acquire = redlock.lock("orders:42");
    /// # drop(acquire);
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn key_prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Lets the client live by a clock that a test moves, with in-memory nodes that have the
    /// same clock. It is for tests alone; see [`Clock`](crate::testing::Clock).
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Clock, Cluster}};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = Clock::new();
    /// let cluster = Cluster::builder().clock(&clock).start().await?;
    /// let redlock = Redlock::builder().nodes(cluster.urls()).clock(&clock).build()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "testing-local")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-local")))]
    pub fn clock(mut self, clock: &crate::testing::Clock) -> Self {
        self.world = Arc::new(clock.clone());
        self
    }

    #[cfg(redlock_sim)]
    pub(crate) fn live_in(mut self, world: Arc<dyn World>) -> Self {
        self.world = world;
        self
    }

    /// Runs the driver, the client's background task, on a thread of its own instead
    /// of on the runtime that the client is built in. It then works on while that
    /// runtime is blocked or has ended, and is faster under load and slower for a
    /// single task. A client that is built outside any tokio runtime always gets such
    /// a thread.
    ///
    /// ```
    /// # use redlock_quorum::Redlock;
    /// let builder = Redlock::builder().nodes(["redis://a", "redis://b", "redis://c"]);
    /// let redlock = builder.driver_thread().build()?;
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn driver_thread(mut self) -> Self {
        self.driver_thread = true;
        self
    }

    pub(crate) const fn wants_driver_thread(&self) -> bool {
        self.driver_thread
    }
}
