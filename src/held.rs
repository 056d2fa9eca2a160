//! What work under `run` sees of its lock: enough to look, not to let go.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{claim::Claim, config::Config, error::Error};

/// What the work under a lock sees of it: under [`Acquire::run`](crate::Acquire::run),
/// or given by [`LockGuard::held`](crate::LockGuard::held). It can look and not
/// let go: that is for who has the guard.
#[derive(Clone, Debug)]
pub struct Held {
    pub(crate) claim: Arc<Claim>,
    pub(crate) config: Arc<Config>,
}

impl Held {
    /// As [`LockGuard::remaining`](crate::LockGuard::remaining).
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

    /// As [`LockGuard::is_held`](crate::LockGuard::is_held).
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

    /// As [`LockGuard::ensure`](crate::LockGuard::ensure).
    ///
    /// # Errors
    ///
    /// As there.
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

    /// As [`LockGuard::warning`](crate::LockGuard::warning).
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

    /// As [`LockGuard::lost_token`](crate::LockGuard::lost_token): for tasks that the work has started, which
    /// are not stopped with it.
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
        self.claim.ended()
    }
}
