//! `lock(key)`: the options of one acquire, then the await.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    clock,
    driver::{AcquireRequest, Patience, Request, Shared},
    error::{Error, ErrorKind},
    guard::LockGuard,
    key::Key,
};

/// An acquire about to happen: set options, then await it.
///
/// ```
/// # use redlock_quorum::{Redlock, testing::Cluster};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = Cluster::builder().nodes(3).backend(redlock_quorum::testing::Backend::Memory).start().await?;
/// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
/// let guard = redlock
///     .lock("orders:42")
///     .ttl(Duration::from_secs(10)) // how long it is held
///     .wait(Duration::from_secs(3)) // how long to queue for it
///     .await?;
/// # drop(guard); Ok(()) }
/// ```
///
/// Without [`Self::wait`] it waits for as long as another holds the lock, until
/// the future is dropped. It does not wait like that for servers: if for a
/// whole ttl too few can answer, it fails with
/// [`ErrorKind::NoQuorum`].
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
/// set on a node is deleted there in the background. The place among those who
/// wait is lost.
#[must_use = "an acquire does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Acquire {
    shared: Arc<Shared>,
    name: Vec<u8>,
    ttl: Option<Duration>,
    wait: Option<Duration>,
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, name: &[u8]) -> Self {
        Self { shared, name: name.to_vec(), ttl: None, wait: None }
    }

    /// How long to hold it: whole milliseconds, from 10 ms to the client's
    /// maximum. The holder must be done, or have extended, within this time.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long to try: the call ends within `wait`, or within one node
    /// timeout where that is longer. Zero is a single attempt.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    async fn acquire(self) -> Result<LockGuard, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, &self.name)?;
        let ttl = self.ttl.map_or(Ok(config.ttl), |ttl| config.ttl_from(ttl))?;
        let patience = match self.wait {
            None => Patience::Forever,
            Some(Duration::ZERO) => Patience::Once,
            Some(wait) => Patience::Until(clock::now().after(wait)),
        };
        let (reply, answer) = oneshot::channel();
        let _place = self.shared.place()?;
        let shared = Arc::clone(&self.shared);
        let request = AcquireRequest { shared, key, ttl, patience, reply };
        self.shared.send(Request::Acquire(request))?;
        let guard = answer.await.unwrap_or_else(|_| Err(Error::closed()))?;
        // The verdict was in time; this task may not have been.
        if guard.is_held() {
            return Ok(guard);
        }
        let message = "the lock expired before its caller was scheduled: the process stalled, or \
                       the ttl is too short";
        Err(Error::new(ErrorKind::Expired, message))
    }
}

impl IntoFuture for Acquire {
    type Output = Result<LockGuard, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.acquire())
    }
}
