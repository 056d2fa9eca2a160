//! Keeps what is held: renews it in time, and says when it has ended.
//!
//! One entry in the schedule per lock that is watched or renewed, and no task.
//! It renews nothing that nobody holds: a release, a lost key or a passed
//! deadline ends the claim, and an ended claim is dropped here at its next turn.

use std::{sync::Arc, time::Duration};

use super::{
    op::Asker,
    run::{Driver, Timer},
};
use crate::{
    claim::Claim,
    error::{Error, ErrorKind},
    protocol::Moment,
};

/// After a failed renewal the pause is this share of what is left: often
/// enough to use any chance, and never a tight loop.
const SHARE: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// A claim that is watched for its end, and perhaps renewed. Where it is
/// dropped, nobody would notice the end any more: so that is the end.
pub(crate) struct Tending(Option<Arc<Claim>>);

impl Tending {
    pub(crate) fn new(claim: Arc<Claim>) -> Self {
        Self(Some(claim))
    }

    /// Takes the claim out: someone else looks after it now.
    fn into_claim(mut self) -> Option<Arc<Claim>> {
        self.0.take()
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        if let Some(claim) = &self.0 {
            claim.end();
        }
    }
}

/// When to extend next, if all is well: at its interval, or sooner where less
/// than two of them are left. `sooner` is the most to wait.
fn plan(claim: &Claim, sooner: Duration, now: Moment) {
    let half = claim.until().since(now) / 2;
    claim.keeping(|keeping| {
        if let Some(renewal) = &mut keeping.renewal {
            renewal.at = now.after(renewal.every.min(half).min(sooner).max(SHORTEST_PAUSE));
        }
    });
}

impl Driver {
    pub(super) fn begin_tending(&mut self, tending: Tending, now: Moment) {
        let Some(claim) = tending.into_claim() else { return };
        plan(&claim, Duration::MAX, now);
        self.forget_tending(&claim);
        self.tend(Tending::new(claim), now);
    }

    /// Takes a claim out of the schedule, if it is there.
    pub(super) fn forget_tending(&mut self, claim: &Claim) {
        let due = claim.take_due();
        if let Some(Timer::Tend(tending)) = due.and_then(|due| self.timers.cancel(due)) {
            tending.into_claim();
        }
    }

    /// Does what is due for a lock, and files when to look again.
    pub(super) fn tend(&mut self, tending: Tending, now: Moment) {
        let Some(claim) = tending.0.clone() else { return };
        if claim.remaining(now).is_zero() {
            return; // and that ends it for whoever watches
        }
        let until = claim.until();
        let next = match claim.keeping(|keeping| keeping.renewal) {
            Some(renewal) if now < renewal.stop_at => {
                if renewal.at <= now {
                    let ttl = claim.ttl;
                    return self.extend(claim, ttl, Asker::Keeper(tending), until, now);
                }
                renewal.at.min(renewal.stop_at)
            }
            _ => Moment::NEVER,
        };
        let due = self.timers.push(next.min(until), Timer::Tend(tending));
        claim.keeping(|keeping| keeping.due = Some(due));
    }

    /// Goes on after a renewal, whatever came of it.
    pub(super) fn renewed(&mut self, tending: Tending, outcome: Result<(), Error>, now: Moment) {
        let Some(claim) = tending.0.clone() else { return };
        let Err(error) = outcome else {
            claim.keeping(|keeping| keeping.warning = None);
            plan(&claim, Duration::MAX, now);
            return self.tend(tending, now);
        };
        let lost = error.kind() == ErrorKind::Lost;
        tracing::warn!(key = %claim.key, lost, %error, "renewal failed");
        // First what happened, then that it is over: who hears of the end asks.
        claim.keeping(|keeping| keeping.warning = Some(Arc::new(error)));
        if !lost {
            plan(&claim, claim.until().since(now) / SHARE, now);
            self.tend(tending, now);
        }
    }
}
