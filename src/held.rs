//! A view of a held lock, for the work under it. It can look at the lock, and
//! never release or extend it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{claim::Claim, config::Config, engine::Shared, error::Error, protocol::Number};

/// A view of a held lock, from [`Acquire::run`](crate::Acquire::run) or
/// [`LockGuard::held`](crate::LockGuard::held). It shows how the lock stands; only
/// its [`LockGuard`](crate::LockGuard) can extend or release it.
#[derive(Clone)]
pub struct Held {
    pub(crate) claim: Arc<Claim>,
    pub(crate) config: Arc<Config>,
    /// The way to the driver, which this view alone does not keep alive.
    pub(crate) shared: Weak<Shared>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("key", &self.claim.key)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Held {
    /// Returns how long the lock is still held, as
    /// [`LockGuard::remaining`](crate::LockGuard::remaining) does.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// redlock.lock("job").renew().run(|held| async move {
    ///     println!("{:?} left", held.remaining());
    /// }).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.claim.remaining(self.config.world.now())
    }

    /// Returns the lock's fencing number, as
    /// [`LockGuard::fencing_number`](crate::LockGuard::fencing_number) does.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// redlock.lock("job").fenced().renew().run(|held| async move {
    ///     assert!(held.fencing_number().is_some());
    /// }).await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias("fencing_token", "fencing token"))]
    #[must_use]
    pub fn fencing_number(&self) -> Option<u64> {
        self.claim.fence().map(Number::get)
    }

    /// Whether the lock is held now, as
    /// [`LockGuard::is_held`](crate::LockGuard::is_held) says.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// redlock.lock("job").renew().run(|held| async move {
    ///     assert!(held.is_held()); // with the lock lost, this would not be reached
    /// }).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Fails unless the lock is held for at least `least` more, as
    /// [`LockGuard::ensure`](crate::LockGuard::ensure) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) if the lock is not held any more.
    /// [`ErrorKind::Expired`](crate::ErrorKind::Expired) if it is held, but not for
    /// that long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let done = redlock.lock("job").run(|held| async move {
    ///     held.ensure(Duration::from_secs(2))?;
    ///     // ... a step that takes up to two seconds ...
    ///     Ok::<_, redlock_quorum::Error>(())
    /// });
    /// done.await??;
    /// # Ok(()) }
    /// ```
    pub fn ensure(&self, least: Duration) -> Result<(), Error> {
        self.claim.ensure(least, self.config.world.now())
    }

    /// Returns why the last renewal failed, as
    /// [`LockGuard::warning`](crate::LockGuard::warning) does.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// redlock.lock("job").renew().run(|held| async move {
    ///     for row in 0..3 {
    ///         if held.warning().is_some() {
    ///             break; // while there is time to stop in good order
    ///         }
    ///         println!("row {row}");
    ///     }
    /// }).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn warning(&self) -> Option<Arc<Error>> {
        self.claim.warning()
    }

    /// Returns a token that is cancelled when the lock is not held any more, as
    /// [`LockGuard::lost_token`](crate::LockGuard::lost_token) does. It is for tasks
    /// that the work has spawned: they are not stopped with it.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let worker = redlock.lock("job").renew().run(|held| async move {
    ///     let lost = held.lost_token();
    ///     tokio::spawn(async move { lost.cancelled().await })
    /// }).await?;
    /// worker.await?; // the lock was released when the work was done
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lost_token(&self) -> CancellationToken {
        Shared::keep(&self.claim, None, self.shared.upgrade().as_deref());
        self.claim.ended()
    }
}
