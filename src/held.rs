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
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.claim.remaining(self.config.world.now())
    }

    /// As [`LockGuard::is_held`](crate::LockGuard::is_held).
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// As [`LockGuard::ensure`](crate::LockGuard::ensure).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ensure(&self, least: Duration) -> Result<(), Error> {
        self.claim.ensure(least, self.config.world.now())
    }

    /// As [`LockGuard::warning`](crate::LockGuard::warning).
    #[must_use]
    pub fn warning(&self) -> Option<Arc<Error>> {
        self.claim.warning()
    }

    /// As [`LockGuard::lost_token`](crate::LockGuard::lost_token): for tasks that the work has started, which
    /// are not stopped with it.
    #[must_use]
    pub fn lost_token(&self) -> CancellationToken {
        self.claim.ended()
    }
}
