//! What grants and releases do to a line: those of this client, which it knows of,
//! and those of others, as far as they are heard of. It asks no node.

use std::{sync::Arc, time::Duration};

use super::{
    Timer, Turn, Turns,
    line::Line,
    waiting::{At, Waiting},
};
use crate::{
    claim::Claim,
    engine::{
        pacing::{LINGER, LONGEST_ROW, MOST_FOR_OTHERS, OTHERS_FIRST, OTHERS_SHARE, POLLERS_SHARE},
        waiter::Slot,
    },
    exchange::{Heard, News},
    key::Key,
    mutant::{self, Mutant},
    protocol::{Moment, NodeId},
};

impl Turns {
    /// Notes that this client holds the lock of `claim` now. A single attempt,
    /// which stands in no line, leaves a round that runs beside it to find out.
    pub(in crate::engine) fn note_held(
        &mut self,
        slot: Slot,
        claim: &Arc<Claim>,
        once: bool,
        now: Moment,
    ) -> Turn {
        if !self.lines.hold(slot, claim, once) {
            return None;
        }
        self.tidy(&claim.key);
        self.look_at(&claim.key, now)
    }

    /// The guard of `claim` has let go of it without a release: others may
    /// acquire it when its key is gone.
    pub(in crate::engine) fn leave(&mut self, claim: &Arc<Claim>, now: Moment) -> Turn {
        if !self.lines.get(&claim.key)?.holds(claim) {
            return None;
        }
        self.lines.vacate(&claim.key);
        self.look_at(&claim.key, now)
    }

    /// Takes the lock of `claim` out of its line, if nobody waits for it. Says
    /// whether that was so.
    pub(in crate::engine) fn vacate_quietly(&mut self, claim: &Arc<Claim>) -> bool {
        self.lines.vacate_quietly(claim)
    }

    /// The next holder of the lock that the guard of `claim` lets go of, if it
    /// may be handed on: the line is being tried for from now on. A lock that came
    /// from elsewhere is not: somebody there may still have its token.
    pub(in crate::engine) fn successor(&mut self, claim: &Arc<Claim>, now: Moment) -> Turn {
        // A hand-over takes a round, and gets this long.
        let takes = self.config.node_timeout(claim.ttl()) / 2;
        let may = !claim.is_adopted() && !self.is_others_turn(claim, now);
        if !may || claim.remaining(now) <= takes || self.lines.get(&claim.key)?.is_trying() {
            return None;
        }
        let waiter = self.next_in_line(&claim.key, now)?;
        // The key is never made to live shorter: then it would outlive the next
        // holder. And its value says whose it is.
        let is_grace_forgotten = mutant::is(Mutant::HandsOnMoreGrace);
        let grace = claim.ttl().grace_duration();
        let grace = if is_grace_forgotten { Duration::ZERO } else { grace };
        let left = claim.remaining(now).saturating_add(grace);
        let is_too_long = left > waiter.request.ttl.key_duration();
        if is_too_long || !claim.token.has_label(waiter.request.owner.as_ref()) {
            self.put_back(waiter);
            return None;
        }
        self.lines.begin_trying(waiter.slot, claim);
        Some(waiter)
    }

    /// Whether the lock of `claim` was handed over so often, or for so long, that others
    /// come first now.
    fn is_others_turn(&self, claim: &Claim, now: Moment) -> bool {
        claim.handed() >= self.config.hand_overs || handed_for(claim, now) >= LONGEST_ROW
    }

    /// The guard of `claim` is released: the next in line may try for the lock.
    pub(in crate::engine) fn note_released(&mut self, claim: &Arc<Claim>, now: Moment) -> Turn {
        let key = &claim.key;
        let line = self.lines.get(key)?;
        if line.is_trying() {
            self.lines.waiting(key).news = true;
            return None;
        }
        let waits = match line.holds(claim) {
            true => self.lines.vacate(key),
            false => line.waiting().is_some(),
        };
        if !waits {
            return None;
        }
        if !self.is_others_turn(claim, now) {
            return self.look_at(key, now);
        }
        let not_before = now.after(self.others_first(claim, now));
        self.lines.waiting(key).not_before = not_before;
        self.listen(key, now);
        self.wake(key, not_before);
        None
    }

    /// How long other clients may be first: what a notification takes, and an attempt to
    /// arrive, as far as we can tell from here; and such a share of the time in which the
    /// lock was handed over that those who poll find it free now and then.
    fn others_first(&self, claim: &Claim, now: Moment) -> Duration {
        let round_trip = claim.round_trip(self.config.quorum.votes()).unwrap_or_default();
        let least = OTHERS_FIRST.max(round_trip.saturating_mul(2).min(MOST_FOR_OTHERS));
        let share = if self.config.share_with_pollers { POLLERS_SHARE } else { OTHERS_SHARE };
        let row = handed_for(claim, now);
        least.max((row.saturating_mul(share) / 100).min(MOST_FOR_OTHERS))
    }

    pub(super) fn listen(&mut self, key: &Key, now: Moment) {
        if self.channels.listen(key, now) {
            self.timers.push(now.after(LINGER), Timer::Idle);
        }
    }

    /// What came on the connection of `node` that listens.
    pub(in crate::engine) fn handle_heard(
        &mut self,
        node: NodeId,
        heard: Heard,
        draw: u64,
        now: Moment,
    ) -> Turn {
        match heard {
            Heard::Released(key, news) => self.count_release(node, &key, news, draw, now),
            Heard::Subscribed(key) => {
                self.channels.note_subscribed(node, &key);
                None
            }
            Heard::Deaf => {
                for key in self.channels.note_deaf(node) {
                    self.lose_teller(node, &key, draw, now);
                }
                None
            }
        }
    }

    /// `node` will not tell of releases of `key`: where too few are left that will, the
    /// first in line asks as soon as one that does not hear of them.
    fn lose_teller(&mut self, node: NodeId, key: &Key, draw: u64, now: Moment) {
        if mutant::is(Mutant::DeafStillTrusts) {
            return;
        }
        let votes = self.config.quorum.votes();
        let first = self.lines.get(key).and_then(Line::waiting).and_then(Waiting::first_mut);
        if first.is_some_and(|first| first.lose_teller(node, votes)) {
            self.poll_soon(key, draw, now);
        }
    }

    /// The first in line, which waits to be told, asks soon all the same.
    fn poll_soon(&mut self, key: &Key, draw: u64, now: Moment) {
        let by = now.after(self.config.retry.longest_delay(draw));
        let Some(waiting) = self.lines.get(key).and_then(Line::waiting) else { return };
        let by = by.max(waiting.not_before);
        let Some(first) = waiting.first_mut().filter(|first| by < first.poll_by) else { return };
        first.poll_by = by;
        self.wake(key, by);
    }

    /// What less than a quorum tells is no release to go by, but where nodes are down it
    /// may be all that will be told.
    fn count_release(
        &mut self,
        node: NodeId,
        key: &Key,
        news: News,
        draw: u64,
        now: Moment,
    ) -> Turn {
        if self.channels.count(node, key, news, self.config.quorum.votes(), now) {
            return self.hear_release(key, now);
        }
        if mutant::is(Mutant::FewTellNothing) {
            return None;
        }
        let first = self.lines.get(key)?.waiting()?.first_mut()?;
        if first.holder.take().is_some() {
            self.poll_soon(key, draw, now);
        }
        None
    }

    /// A quorum of nodes has published a release of `key`: the first in line
    /// tries, after those of other clients that have waited longer.
    pub(super) fn hear_release(&mut self, key: &Key, now: Moment) -> Turn {
        let heard = self.channels.releases_heard(key);
        let line = self.lines.get(key)?;
        if line.is_trying() {
            self.lines.waiting(key).news = true;
            return None;
        }
        let Line::Busy(waiting) = line else { return None };
        if matches!(waiting.at, At::Held(_)) {
            return None;
        }
        let not_before = waiting.not_before;
        let first = waiting.first_mut()?;
        let (age, poll_by) = (first.age(heard), first.poll_by);
        let turn = self.channels.turn_of(key, age, first.is_far());
        (first.notified, first.is_next) = (true, turn.is_sure);
        let at = now.after(turn.after).min(poll_by).max(not_before);
        if at <= now {
            return self.look_at(key, now);
        }
        self.wake(key, at);
        None
    }

    /// Stops listening to what nobody has waited for lately.
    pub(super) fn unsubscribe_idle(&mut self, now: Moment) {
        let lines = &self.lines;
        if self.channels.unsubscribe_idle(|key| lines.waits_for_others(key), now) {
            self.timers.push(now.after(LINGER), Timer::Idle);
        }
    }
}

/// For how long the lock of `claim` was handed over from one to the next.
fn handed_for(claim: &Claim, now: Moment) -> Duration {
    if claim.handed() == 0 { Duration::ZERO } else { now.since(claim.row_began()) }
}
