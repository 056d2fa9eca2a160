//! The client: a cheap handle to a driver. It checks arguments and waits for
//! answers; it never asks a node itself.

// The docs show the methods in the order of these modules.
mod lock;

mod look;

mod by_token;

mod build;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    config::Config,
    driver,
    engine::{Request, Shared},
    error::{Error, ErrorKind},
    key::Key,
    spelled::Exact,
};

/// A client of N independent Redis or Valkey masters that lock together.
///
/// Cloning it is cheap: all clones share one driver and its connections. The
/// client ends when the last clone and the last guard are gone and everything is
/// released. Dropping the last of them waits for that, for a node timeout at most, where the
/// driver has a thread of its own; inside a runtime nothing waits before the thread ends that
/// drops it, as when `main` returns. A driver that is a task can't be waited for: call
/// [`Self::shutdown`].
#[doc(alias("redlock", "mutex", "LockManager", "redsync", "RedissonClient"))]
#[derive(Clone)]
pub struct Redlock {
    shared: Arc<Shared>,
}

impl Redlock {
    #[cfg(redlock_sim)]
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn start(config: Config, driver_thread: bool) -> Result<Self, Error> {
        driver::start(config, driver_thread).map(|shared| Self { shared })
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
    /// It gives what was left after `limit`: the keys that a node has not confirmed to be
    /// gone, where enough others have for anyone to have the lock. Where all have, that is
    /// nothing, and it returns at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if after `limit` callers were still waiting, or a lock was not
    /// known to be released by enough nodes; all goes on. [`ErrorKind::Closed`] if the driver
    /// has ended already.
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
    /// // By now it is released.
    /// for left in redlock.shutdown(Duration::from_secs(1)).await? {
    ///     eprintln!("{left}"); // a minority did not confirm it
    /// }
    /// let refused = redlock.try_lock("job").await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    #[doc(alias("quit", "close"))]
    pub async fn shutdown(&self, limit: Duration) -> Result<Vec<Unreleased>, Error> {
        let config = &self.shared.config;
        let deadline = config.world.now().after(limit);
        let left = self.shared.call(|reply| Request::Shutdown { deadline, reply }).await?;
        if left.undecided == 0 {
            let name = |node| config.node_name(node).map_or_else(|| "".into(), Arc::clone);
            let keys = left.keys.into_iter();
            return Ok(keys.map(|(key, node)| Unreleased { key, node: name(node) }).collect());
        }
        let message = format!(
            "{} requests were still under way after {}: they go on while the process \
             lives, and what they leave ends with its ttl",
            left.undecided,
            Exact(limit)
        );
        Err(Error::new(ErrorKind::Timeout, message))
    }
}

/// A key that may still be at a node when [`Redlock::shutdown`] returns, though the lock is
/// free: it ends with its ttl.
#[derive(Clone, Debug)]
pub struct Unreleased {
    key: Key,
    node: Arc<str>,
}

impl Unreleased {
    /// Returns the lock's key, without the client's prefix.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.name()
    }

    /// Returns the node's address, as `host:port` or a socket's path.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }
}

impl fmt::Display for Unreleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, node } = self;
        write!(f, "{node} has not confirmed the release of {key}, which ends with its ttl there")
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
