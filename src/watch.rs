//! What a holder learns of its lock without asking, and how the driver keeps
//! the lock for it.
//!
//! It holds state and decides nothing: when to renew is `driver::tend`'s, when
//! a lock has ended is the claim's.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{driver::Due, error::Error, protocol::Moment};

/// What most locks do without.
#[derive(Default)]
pub(crate) struct Watch {
    ended: OnceLock<CancellationToken>,
    keeping: Mutex<Keeping>,
}

/// How a lock is kept.
#[derive(Default)]
pub(crate) struct Keeping {
    /// Whether the driver says when it ends.
    pub(crate) is_watched: bool,
    pub(crate) renewal: Option<Renewal>,
    /// Its place in the driver's schedule.
    pub(crate) due: Option<Due>,
    /// What the last renewal failed of.
    pub(crate) warning: Option<Arc<Error>>,
}

/// When to extend a lock, each time by its ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) every: Duration,
    /// The next time.
    pub(crate) at: Moment,
    /// From when on it is left to run out.
    pub(crate) stop_at: Moment,
}

impl Watch {
    /// A token that is cancelled by [`Self::tell`]; cancelling it does nothing.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.get_or_init(CancellationToken::new).child_token()
    }

    pub(crate) fn tell(&self) {
        if let Some(ended) = self.ended.get() {
            ended.cancel();
        }
    }

    pub(crate) fn keeping<R>(&self, change: impl FnOnce(&mut Keeping) -> R) -> R {
        change(&mut self.keeping.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
