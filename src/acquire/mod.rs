//! What `lock(key)` returns: the options of one acquire, the future that it becomes
//! when it is awaited, and work that runs under the lock. It checks the options and
//! never asks a node: that is the driver's task.

// The docs show the methods in the order of these modules.
mod acquiring;
mod options;
mod run;

use std::{sync::Arc, time::Duration};

pub use self::acquiring::Acquiring;
use crate::{engine::Shared, error::Error, key::Key};

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
/// until its future is dropped. Whatever else is at its key is waited for, too, as it may
/// be another library's lock, which need not expire; the error of a
/// [`try_lock`](crate::Redlock::try_lock), or of a wait that is over, says what it is. It
/// does not wait like that for servers: if too few of them can answer for a whole ttl, it
/// fails with [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum). Only for nodes that are up, and
/// grant nothing until what they have forgotten has ended, it waits on.
///
/// # Errors
///
/// [`Contended`](crate::ErrorKind::Contended) (only
/// [`try_lock`](crate::Redlock::try_lock) and a wait of zero),
/// [`Timeout`](crate::ErrorKind::Timeout), [`NoQuorum`](crate::ErrorKind::NoQuorum),
/// [`Expired`](crate::ErrorKind::Expired),
/// [`InvalidConfig`](crate::ErrorKind::InvalidConfig),
/// [`Busy`](crate::ErrorKind::Busy), [`Closed`](crate::ErrorKind::Closed): each says
/// what to do next.
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
    grace: Option<Duration>,
    wait: Option<Duration>,
    renew: bool,
    every: Option<Duration>,
    max_hold: Option<Duration>,
    owner: Option<Arc<str>>,
    fenced: bool,
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, name: &[u8]) -> Self {
        let key = Key::new(&shared.config.prefix, name);
        Self {
            shared,
            key,
            ttl: None,
            grace: None,
            wait: None,
            renew: false,
            every: None,
            max_hold: None,
            owner: None,
            fenced: false,
        }
    }
}
