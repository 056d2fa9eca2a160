//! Keeps what is held: renews it in time, and says when it has ended.
//!
//! One entry in the schedule per lock that is watched or renewed, and no task.
//! It renews nothing that nobody holds: a release, a lost key or a passed
//! deadline ends the claim, and an ended claim is dropped here at its next turn.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;

use super::{op::Asker, run::Driver, schedule::Schedule};
use crate::{
    claim::Claim,
    error::{Error, ErrorKind},
    protocol::Moment,
    watch::Keeping,
};

/// After a failed renewal the pause is this share of what is left: often
/// enough to use any chance, and never a tight loop.
const SHARE: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// How many renewals are under way at once: at first, at least, and at most.
/// More only wait in the servers' queues and are late for it; how many a
/// network holds shows by whether they are answered in time.
const WINDOW: usize = if cfg!(redlock_sim) { 2 } else { 256 };
const WINDOWS: std::ops::RangeInclusive<usize> = if cfg!(redlock_sim) { 1..=4 } else { 64..=8192 };

/// Into how many steps the quarter is cut.
const SPREAD: u32 = 1 << 10;

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

/// How many renewals there may be, and which wait for a place.
pub(super) struct Pace {
    under_way: usize,
    window: usize,
    /// By when they end.
    waiting: Schedule<Arc<Claim>>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { under_way: 0, window: WINDOW, waiting: Schedule::new() }
    }

    /// One has ended. Room grows while it is wanted and all goes well, and
    /// shrinks where answers are late.
    pub(super) fn note(&mut self, well: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        if !well {
            self.window = (self.window / 2).max(*WINDOWS.start());
        } else if self.waiting.peek().is_some() {
            self.window = self.window.saturating_add(1).min(*WINDOWS.end());
        }
    }
}

impl Driver {
    pub(super) fn begin_tending(&mut self, tending: Tending, now: Moment) {
        if let Some(claim) = &tending.0 {
            self.plan(claim, Duration::MAX, now);
        }
        self.tend(tending, now);
    }

    /// When to extend next, if all is well: at its interval, or sooner where
    /// less than two of them are left. `most` is the most to wait. Up to a
    /// quarter sooner by chance: locks that were taken in a burst are not
    /// renewed in one for ever.
    fn plan(&mut self, claim: &Claim, most: Duration, now: Moment) {
        let half = claim.until().since(now) / 2;
        let draw = self.rng.random_range(0..=SPREAD);
        claim.keeping(|keeping| {
            if let Some(renewal) = keeping.renewal() {
                let pause = renewal.interval().min(half).min(most);
                let pause = pause.saturating_sub(pause / 4 * draw / SPREAD);
                renewal.at = now.after(pause.max(SHORTEST_PAUSE));
            }
        });
    }

    /// Takes a claim out of the schedule, if it is there.
    pub(super) fn forget_tending(&mut self, claim: &Claim) {
        let due = claim.take_due();
        if let Some(tending) = due.and_then(|due| self.tended.cancel(due)) {
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
        let next = match claim.keeping(|keeping| keeping.renewal().copied()) {
            Some(renewal) if now < renewal.stop_at => {
                if renewal.at <= now && self.pace.under_way < self.pace.window {
                    return self.renew(tending, claim, now);
                }
                if renewal.at <= now {
                    self.pace.waiting.push(until, Arc::clone(&claim));
                    Moment::NEVER
                } else {
                    renewal.at.min(renewal.stop_at)
                }
            }
            _ => Moment::NEVER,
        };
        // One entry for each, also where it was filed while it was renewed.
        self.forget_tending(&claim);
        let due = self.tended.push(next.min(until), tending);
        claim.keeping(|keeping| keeping.due = Some(due));
    }

    fn renew(&mut self, tending: Tending, claim: Arc<Claim>, now: Moment) {
        self.pace.under_way = self.pace.under_way.saturating_add(1);
        let (ttl, until) = (claim.ttl, claim.until());
        self.extend(claim, ttl, Asker::Keeper(tending), until, now);
    }

    /// Renews what waits for a place, as far as there is room.
    pub(super) fn renew_waiting(&mut self, now: Moment) {
        while self.pace.under_way < self.pace.window
            && let Some(claim) = self.pace.waiting.pop_due(Moment::NEVER)
        {
            let is_due = |keeping: &mut Keeping| {
                let renewal = keeping.renewal();
                renewal.is_some_and(|renewal| renewal.at <= now && now < renewal.stop_at)
            };
            if !claim.has_ended() && claim.keeping(is_due) {
                self.forget_tending(&claim);
                self.renew(Tending::new(Arc::clone(&claim)), claim, now);
            }
        }
    }

    /// Goes on after a renewal, whatever came of it.
    pub(super) fn renewed(&mut self, tending: Tending, outcome: Result<(), Error>, now: Moment) {
        let Some(claim) = tending.0.clone() else { return };
        let Err(error) = outcome else {
            claim.warn(None);
            self.plan(&claim, Duration::MAX, now);
            return self.tend(tending, now);
        };
        let lost = error.kind() == ErrorKind::Lost;
        tracing::warn!(key = %claim.key, lost, %error, "renewal failed");
        // First what happened, then that it is over: who hears of the end asks.
        claim.warn(Some(error));
        if !lost {
            self.plan(&claim, claim.until().since(now) / SHARE, now);
            self.tend(tending, now);
        }
    }
}
