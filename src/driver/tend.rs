//! Keeps what is held: renews it in time, and says when it has ended.
//!
//! One entry in the schedule per lock that is watched or renewed, and no task.
//! It renews nothing that nobody holds: a release, a lost key or a passed
//! deadline ends the claim, and an ended claim is dropped here at its next turn.

use std::{sync::Arc, time::Duration};

use super::{
    op::{Asker, Tending},
    request::Renewal,
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

impl Driver {
    pub(super) fn begin_tending(
        &mut self,
        claim: Arc<Claim>,
        renewal: Option<Renewal>,
        now: Moment,
    ) {
        let every = renewal.map_or(Duration::ZERO, |renewal| renewal.every);
        self.tend(Box::new(Tending { claim, renewal, renew_at: now.after(every) }), now);
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
        let claim = &tending.claim;
        let every = tending.renewal.map_or(Duration::ZERO, |renewal| renewal.every);
        let pause = match &outcome {
            Ok(()) => every,
            Err(error) => {
                let lost = error.kind() == ErrorKind::Lost;
                tracing::warn!(key = %claim.key, lost, %error, "renewal failed");
                let soon = claim.remaining(now).checked_div(SHARE).unwrap_or_default();
                soon.min(every).max(SHORTEST_PAUSE)
            }
        };
        claim.warn(outcome.err());
        tending.renew_at = now.after(pause);
        self.tend(tending, now);
    }
}
