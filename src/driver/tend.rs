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
    protocol::{Moment, Ttl},
};

/// After a failed renewal the pause is this share of what is left: often
/// enough to use any chance, and never a tight loop.
const SHARE: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// How a lock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// What each extension asks for.
    pub(crate) ttl: Ttl,
    pub(crate) every: Duration,
    /// From when on it is left to run out.
    pub(crate) stop_at: Moment,
}

/// A claim that is watched for its end, and perhaps renewed. Where it is
/// dropped, nobody would notice the end any more: so that is the end.
pub(crate) struct Tending {
    claim: Arc<Claim>,
    renewal: Option<Renewal>,
    /// When to extend next.
    renew_at: Moment,
}

impl Tending {
    pub(crate) fn new(claim: Arc<Claim>, renewal: Option<Renewal>) -> Box<Self> {
        Box::new(Self { claim, renewal, renew_at: Moment::NEVER })
    }

    /// When to extend next, if all is well: at its interval, or sooner where
    /// less than two of them are left.
    fn plan(&mut self, now: Moment) {
        let every = self.renewal.map_or(Duration::ZERO, |renewal| renewal.every);
        let half = self.claim.until().since(now) / 2;
        self.renew_at = now.after(every.min(half).max(SHORTEST_PAUSE));
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.claim.end();
    }
}

impl Driver {
    pub(super) fn begin_tending(&mut self, mut tending: Box<Tending>, now: Moment) {
        tending.plan(now);
        self.tend(tending, now);
    }

    /// Does what is due for a lock, and files when to look again.
    pub(super) fn tend(&mut self, tending: Box<Tending>, now: Moment) {
        let claim = Arc::clone(&tending.claim);
        if claim.remaining(now).is_zero() {
            return; // and that ends it for whoever watches
        }
        let next = match tending.renewal {
            Some(renewal) if now < renewal.stop_at => {
                if tending.renew_at <= now {
                    return self.extend(claim, renewal.ttl, Asker::Keeper(tending), now);
                }
                tending.renew_at.min(renewal.stop_at)
            }
            _ => Moment::NEVER,
        };
        self.timers.push(next.min(claim.until()), Timer::Tend(tending));
    }

    /// Goes on after a renewal, whatever came of it.
    pub(super) fn renewed(
        &mut self,
        mut tending: Box<Tending>,
        outcome: Result<(), Error>,
        now: Moment,
    ) {
        let Err(error) = outcome else {
            tending.claim.warn(None);
            tending.plan(now);
            return self.tend(tending, now);
        };
        let lost = error.kind() == ErrorKind::Lost;
        tracing::warn!(key = %tending.claim.key, lost, %error, "renewal failed");
        // First what happened, then that it is over: who hears of the end asks.
        tending.claim.warn(Some(error));
        if !lost {
            let soon = tending.claim.until().since(now) / SHARE;
            tending.plan(now);
            tending.renew_at = tending.renew_at.min(now.after(soon.max(SHORTEST_PAUSE)));
            self.tend(tending, now);
        }
    }
}
