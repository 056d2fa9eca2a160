//! Work under a lock, which is acquired before and released after it; a lost lock
//! stops the work. Nothing here asks a node: it has a guard like any other holder.

use std::{future::Future, sync::Arc};

use super::Acquire;
use crate::{
    claim::Released,
    error::{Error, ErrorKind},
    held::Held,
};

impl Acquire {
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
}
