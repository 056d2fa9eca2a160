//! What nearly every caller uses: building a client, and locking with it. Nothing
//! here connects or asks: a builder and an acquire only take options.

use std::{sync::Arc, time::Duration};

use super::Redlock;
use crate::{acquire::Acquire, config::Builder};

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

    /// Acquires the lock named `key` if it is free: it does not wait for a holder. Where others
    /// ask at the same time, it goes on until one of them has the lock, at most for the node
    /// timeout. The same as `lock(key).wait(Duration::ZERO)`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Contended`](crate::ErrorKind::Contended) if another holds it, with
    /// [`Error::retry_after`](crate::Error::retry_after); if others asked at the same time and
    /// nobody has got it; or if something else is at its key, with what it is and the cure.
    /// Otherwise those of
    /// [`Acquire`], except [`Timeout`](crate::ErrorKind::Timeout).
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
}
