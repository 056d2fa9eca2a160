//! Keeps what is held: says when to renew a lock, and when it has ended.
//!
//! One entry in the schedule per lock that is watched or renewed, and no task.
//! It renews nothing itself and nothing that nobody holds: a release, a lost key
//! or a passed deadline ends the claim, and an ended claim is dropped here at its
//! next turn.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, rngs::StdRng};

use super::pacing::{RENEW_SHARE, RENEW_SPREAD, RENEW_WINDOW, RENEW_WINDOWS, SHORTEST_RENEW_PAUSE};
use crate::{
    claim::{Claim, Keeping, Renewal},
    error::{Error, ErrorKind},
    protocol::{Moment, Schedule},
};

/// A claim that is watched for its end, and perhaps renewed. Dropping it ends the
/// claim: otherwise nobody would be left to notice the deadline.
#[derive(Debug)]
pub(crate) struct Kept(Option<Arc<Claim>>);

impl Kept {
    pub(crate) fn new(claim: Arc<Claim>) -> Self {
        Self(Some(claim))
    }

    pub(super) fn claim(&self) -> Option<&Arc<Claim>> {
        self.0.as_ref()
    }

    /// Takes the claim out: someone else looks after it now.
    fn dissolve(mut self) {
        self.0 = None;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(claim) = &self.0 {
            claim.end();
        }
    }
}

/// The locks that are kept, and how many renewals there may be.
#[derive(Debug)]
pub(super) struct Keep {
    /// When to look after which lock: there may be very many.
    locks: Schedule<Kept>,
    under_way: usize,
    window: usize,
    /// The locks that wait for a renewal, by the time at which they end.
    waiting: Schedule<Arc<Claim>>,
}

impl Keep {
    pub(super) fn new() -> Self {
        Self {
            locks: Schedule::new(),
            under_way: 0,
            window: RENEW_WINDOW,
            waiting: Schedule::new(),
        }
    }

    /// When to call [`Self::pop_due`].
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.locks.peek()
    }

    /// Takes the first lock that is due. It is to be given to [`Self::look_after`].
    pub(super) fn pop_due(&mut self, due: Moment) -> Option<Kept> {
        self.locks.pop_due(due)
    }

    /// Begins to keep a lock. Gives it back where it is to be renewed at once.
    pub(super) fn begin(&mut self, kept: Kept, rng: &mut StdRng, now: Moment) -> Option<Kept> {
        if let Some(claim) = kept.claim() {
            plan(claim, Duration::MAX, rng, now);
        }
        self.look_after(kept, now)
    }

    /// Takes a claim out of the schedule, if it is there.
    pub(super) fn forget(&mut self, claim: &Claim) {
        let due = claim.take_due();
        if let Some(kept) = due.and_then(|due| self.locks.cancel(due)) {
            kept.dissolve();
        }
    }

    /// Files when to look after a lock again. Gives it back where it is to be
    /// renewed now: that is counted as under way.
    pub(super) fn look_after(&mut self, kept: Kept, now: Moment) -> Option<Kept> {
        let claim = Arc::clone(kept.claim()?);
        if claim.remaining(now).is_zero() {
            return None; // and that ends it for whoever watches
        }
        let until = claim.until();
        let next = match claim.keeping(|keeping| keeping.renewal().copied()) {
            Some(renewal) if now < renewal.stop_at && renewal.at <= now => {
                if self.has_room() {
                    self.under_way = self.under_way.saturating_add(1);
                    return Some(kept);
                }
                self.waiting.push(until, Arc::clone(&claim));
                Moment::NEVER
            }
            Some(renewal) if now < renewal.stop_at => renewal.at.min(renewal.stop_at),
            _ => Moment::NEVER,
        };
        // There is one entry for each lock, also where it was filed while it
        // was renewed.
        self.forget(&claim);
        let due = self.locks.push(next.min(until), kept);
        claim.keeping(|keeping| keeping.due = Some(due));
        None
    }

    /// A lock that has waited for its renewal, if there is room for one now: that
    /// is counted as under way.
    pub(super) fn next_waiting(&mut self, now: Moment) -> Option<Kept> {
        while self.has_room()
            && let Some(claim) = self.waiting.pop_due(Moment::NEVER)
        {
            let is_due = |keeping: &mut Keeping| {
                let renewal = keeping.renewal();
                renewal.is_some_and(|renewal| renewal.at <= now && now < renewal.stop_at)
            };
            if !claim.has_ended() && claim.keeping(is_due) {
                self.forget(&claim);
                self.under_way = self.under_way.saturating_add(1);
                return Some(Kept::new(claim));
            }
        }
        None
    }

    /// Goes on after a renewal, whatever came of it. Gives the lock back where it
    /// is to be renewed at once.
    pub(super) fn renewed(
        &mut self,
        kept: Kept,
        outcome: Result<(), Error>,
        rng: &mut StdRng,
        now: Moment,
    ) -> Option<Kept> {
        let claim = Arc::clone(kept.claim()?);
        let Err(error) = outcome else {
            if claim.warning().is_some() {
                tracing::info!(key = %claim.key, "renewed again");
            }
            claim.warn(None);
            plan(&claim, Duration::MAX, rng, now);
            return self.look_after(kept, now);
        };
        let lost = error.kind() == ErrorKind::Lost;
        // Near the end it is tried every few milliseconds, which is no news.
        if lost || claim.warning().is_none() {
            tracing::warn!(key = %claim.key, lost, %error, "renewal failed");
        } else {
            tracing::debug!(key = %claim.key, %error, "renewal failed again");
        }
        // First what happened, then that it is over: whoever hears of the end
        // asks for the reason.
        claim.warn(Some(error));
        if lost {
            return None;
        }
        plan(&claim, claim.until().since(now) / RENEW_SHARE, rng, now);
        self.look_after(kept, now)
    }

    /// Notes that a renewal is over. Room grows while it is wanted and all goes
    /// well, and shrinks where answers are late.
    pub(super) fn note(&mut self, well: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        if !well {
            self.window = (self.window / 2).max(*RENEW_WINDOWS.start());
        } else if self.waiting.peek().is_some() {
            self.window = self.window.saturating_add(1).min(*RENEW_WINDOWS.end());
        }
    }

    fn has_room(&self) -> bool {
        self.under_way < self.window
    }
}

/// Plans when to extend next, if all is well: at the lock's interval, or sooner
/// where less than two of them are left. `most` is the most to wait. It comes up
/// to a quarter sooner by chance: locks that were taken in a burst are not
/// renewed in one for ever.
fn plan(claim: &Claim, most: Duration, rng: &mut StdRng, now: Moment) {
    let half = claim.until().since(now) / 2;
    let draw = rng.random_range(0..=RENEW_SPREAD);
    claim.keeping(|keeping: &mut Keeping| {
        if let Some(renewal) = keeping.renewal() {
            let renewal: &mut Renewal = renewal;
            let pause = renewal.interval().min(half).min(most);
            let pause = pause.saturating_sub(pause / 4 * draw / RENEW_SPREAD);
            renewal.at = now.after(pause.max(SHORTEST_RENEW_PAUSE));
        }
    });
}
