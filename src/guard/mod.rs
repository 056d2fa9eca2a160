//! The guard: a held lock, and what its holder can do with it. It asks the
//! driver and never a node.

// The docs show the methods in the order of these modules.
mod look;

mod keep;

mod leave;

use std::{fmt, sync::Arc};

pub use self::leave::LockParts;
pub use crate::claim::Released;
use crate::{
    claim::Claim,
    engine::{Shared, Won},
};

/// A lock that is held until [`Self::remaining`] runs out or it is released.
///
/// Dropping the guard releases the lock in the background: without blocking, unless it is the
/// last handle of its [client](crate::Redlock), and from anywhere, also outside a runtime. [`Self::release`] does the same and says
/// what came of it. If another task of this client waits for the lock, it gets the
/// lock at once: see [`Builder::hand_overs`](crate::Builder::hand_overs).
///
/// Held means: a quorum has granted this client the lock, and by the client's own
/// clock no server's copy can have expired yet. Work that takes longer than
/// [`Self::remaining`] is not protected: [`Self::extend`] the lock in time,
/// [`Self::renew`] it, or use a longer ttl.
#[doc(alias("mutex", "lease", "RedLockGuard", "RLock"))]
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct LockGuard(Won);

impl LockGuard {
    pub(crate) fn new(shared: Arc<Shared>, claim: Arc<Claim>) -> Self {
        Self(Won::new(shared, claim))
    }

    pub(crate) fn of(won: Won) -> Self {
        Self(won)
    }

    #[cfg(redlock_sim)]
    pub(crate) fn claim(&self) -> Arc<Claim> {
        Arc::clone(&self.0.claim)
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.0.claim.key)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
