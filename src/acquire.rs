//! What `lock(key)` returns: the options of one acquire, and the future that it
//! becomes when it is awaited. It checks the options and never asks a node: that
//! is the driver's task.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    claim::Released,
    engine::{AcquireRequest, Patience, Renew, Request, Shared, Won},
    error::{Error, ErrorKind},
    guard::LockGuard,
    held::Held,
    key::Key,
    permit::Permit,
    protocol::Ttl,
};

/// An acquire about to happen: set options, then await it.
///
/// ```
/// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
/// # use std::time::Duration;
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
/// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
/// let guard = redlock
///     .lock("orders:42")
///     .ttl(Duration::from_secs(10)) // how long to hold it
///     .wait(Duration::from_secs(3)) // how long to queue for it
///     .await?;
/// # drop(guard); Ok(()) }
/// ```
///
/// Tasks of one client that wait for the same lock get it in the order in which
/// they came; only the first of them asks the nodes. A release, by this client or
/// by another, wakes the next task.
///
/// Without [`Self::wait`] the acquire waits for as long as another holds the lock,
/// until its future is dropped. It does not wait like that for servers: if too few
/// of them can answer for a whole ttl, it fails with [`ErrorKind::NoQuorum`].
///
/// # Errors
///
/// [`Contended`](ErrorKind::Contended) (only [`try_lock`](crate::Redlock::try_lock)
/// and a wait of zero), [`Timeout`](ErrorKind::Timeout),
/// [`NoQuorum`](ErrorKind::NoQuorum), [`Expired`](ErrorKind::Expired),
/// [`InvalidConfig`](ErrorKind::InvalidConfig), [`Busy`](ErrorKind::Busy),
/// [`Closed`](ErrorKind::Closed): each says what to do next.
///
/// # Cancel safety
///
/// Dropping the future at any point leaves no key behind: what was or will be
/// set on a node is deleted there in the background. The place in the queue is
/// lost.
#[must_use = "an acquire does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Acquire {
    shared: Arc<Shared>,
    key: Result<Key, Error>,
    ttl: Option<Duration>,
    wait: Option<Duration>,
    renew: bool,
    every: Option<Duration>,
    max_hold: Option<Duration>,
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, name: &[u8]) -> Self {
        let key = Key::new(&shared.config.prefix, name);
        Self { shared, key, ttl: None, wait: None, renew: false, every: None, max_hold: None }
    }

    /// Sets how long to hold the lock: whole milliseconds, from 10 ms to
    /// [`Builder::max_ttl`](crate::Builder::max_ttl). The holder must be done, or
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

    /// Acquires the lock, runs `work` under it, releases it, and returns what `work`
    /// returned. If the lock is lost, `work` is stopped: its future is dropped. Tasks
    /// that it has spawned go on: give them the [`Held::lost_token`].
    ///
    /// # Errors
    ///
    /// Those of [`Acquire`]: `work` has not run. [`ErrorKind::Lost`]: `work` was
    /// stopped, or it was done and the lock turned out to have ended before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops `work` and releases the lock in the background. A
    /// panic in `work` releases it, too.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let rows = redlock
    ///     .lock("report")
    ///     .renew()
    ///     .run(|held| async move {
    ///         assert!(held.is_held());
    ///         42
    ///     })
    ///     .await?;
    /// # assert_eq!(rows, 42); Ok(()) }
    /// ```
    #[doc(alias("using", "with_lock"))]
    pub async fn run<F, Fut>(self, work: F) -> Result<Fut::Output, Error>
    where
        F: FnOnce(Held) -> Fut,
        Fut: Future,
    {
        let guard = self.await?;
        let lost = guard.lost_token();
        let key = String::from_utf8_lossy(guard.key()).into_owned();
        let output = tokio::select! {
            biased;
            () = lost.cancelled() => None,
            output = work(guard.held()) => Some(output).filter(|_| guard.is_held()),
        };
        let Some(output) = output else {
            let message = format!("lock `{key}` was lost before its work was done");
            let error = Error::new(ErrorKind::Lost, message);
            return Err(match guard.warning() {
                Some(cause) => error
                    .with_nodes(cause.nodes().to_vec())
                    .with_source(cause as Arc<dyn std::error::Error + Send + Sync>),
                None => error,
            });
        };
        match guard.release().await {
            Ok(Released::AlreadyExpired) => {
                let message = format!("lock `{key}` had been lost when its work was done");
                Err(Error::new(ErrorKind::Lost, message))
            }
            // It was held to the end; a release that is not confirmed goes on in
            // the background.
            Ok(Released::Released) | Err(_) => Ok(output),
        }
    }

    /// Hands the request to the driver.
    fn send(self) -> Result<Asked, Error> {
        let config = &self.shared.config;
        let ttl = self.ttl.map_or(Ok(config.ttl), |ttl| config.ttl_from(ttl))?;
        let renew = self.renewing(ttl)?;
        let patience = match self.wait {
            None => Patience::Forever,
            Some(Duration::ZERO) => Patience::Once,
            Some(wait) => Patience::Until(config.world.now().after(wait)),
        };
        let key = self.key?;
        let (reply, answer) = oneshot::channel();
        let (awaited, queued) = self.shared.permits()?;
        let shared = Arc::clone(&self.shared);
        let request = AcquireRequest { shared, key, ttl, patience, renew, reply };
        self.shared.send(Request::acquire(request, queued))?;
        Ok(Asked { answer, _awaited: awaited })
    }

    /// How often to renew, and for how long at most; `None` without renewal.
    fn renewing(&self, ttl: Ttl) -> Result<Option<Renew>, Error> {
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
            "renew_every is {every:?}: it must be from {least:?} to {most:?}, half the ttl"
        );
        Err(Error::new(ErrorKind::InvalidConfig, message))
    }
}

impl IntoFuture for Acquire {
    type Output = Result<LockGuard, Error>;
    type IntoFuture = Acquiring;

    fn into_future(self) -> Acquiring {
        Acquiring(State::Begin(self))
    }
}

/// The future of an [`Acquire`]; it yields the [`LockGuard`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Acquiring(State);

enum State {
    Begin(Acquire),
    Asked(Asked),
    Done,
}

/// A request that the driver has.
struct Asked {
    answer: oneshot::Receiver<Result<Won, Error>>,
    _awaited: Permit,
}

/// The guard of a lock that was won, if it is still held when its caller runs.
fn guard(won: Won) -> Result<LockGuard, Error> {
    let guard = LockGuard::of(won);
    // The verdict was in time; this task may not have been.
    if !guard.is_held() {
        let message = "the lock expired before its caller was scheduled: the process stalled, \
                       or the ttl is too short";
        return Err(Error::new(ErrorKind::Expired, message));
    }
    Ok(guard)
}

impl Future for Acquiring {
    type Output = Result<LockGuard, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Begin(_) = self.0
            && let State::Begin(acquire) = std::mem::replace(&mut self.0, State::Done)
        {
            self.0 = State::Asked(acquire.send()?);
        }
        let State::Asked(asked) = &mut self.0 else { return Poll::Ready(Err(Error::closed())) };
        let answer = ready!(Pin::new(&mut asked.answer).poll(cx));
        self.0 = State::Done;
        Poll::Ready(answer.unwrap_or_else(|_| Err(Error::closed())).and_then(guard))
    }
}

impl fmt::Debug for Acquiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").finish_non_exhaustive()
    }
}
