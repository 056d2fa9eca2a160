//! What grants and releases do to a line: those of this client, which it knows of,
//! and those of others, as far as they are heard of. It asks no node.

use std::{sync::Arc, time::Duration};

use super::{
    Timer, Turn, Turns,
    line::{At, Line},
};
use crate::{
    claim::Claim,
    engine::{
        pacing::{LINGER, MOST_FOR_OTHERS, OTHERS_FIRST},
        waiter::Slot,
    },
    exchange::{Heard, News},
    key::Key,
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
        let takes = self.config.node_timeout(claim.ttl) / 2;
        let may = !claim.is_adopted() && claim.handed() < self.config.hand_overs;
        if !may || claim.remaining(now) <= takes || self.lines.get(&claim.key)?.is_trying() {
            return None;
        }
        let waiter = self.next_in_line(&claim.key, now)?;
        // The key is never made to live shorter: then it would outlive the next
        // holder.
        if claim.remaining(now) > waiter.request.ttl.as_duration() {
            self.put_back(waiter);
            return None;
        }
        self.lines.begin_trying(waiter.slot, claim);
        Some(waiter)
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
        if claim.handed() < self.config.hand_overs {
            return self.look_at(key, now);
        }
        let not_before = now.after(self.others_first(claim));
        self.lines.waiting(key).not_before = not_before;
        self.listen(key, now);
        self.wake(key, not_before);
        None
    }

    /// How long other clients may be first: what a notification takes, and an
    /// attempt to arrive, as far as we can tell from here.
    fn others_first(&self, claim: &Claim) -> Duration {
        let round_trip = claim.round_trip(self.config.quorum.votes()).unwrap_or_default();
        OTHERS_FIRST.max(round_trip.saturating_mul(2).min(MOST_FOR_OTHERS))
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
        now: Moment,
    ) -> Turn {
        match heard {
            Heard::Released(key, news) => self.count_release(node, &key, news, now),
            Heard::Subscribed(key) => {
                self.channels.note_subscribed(node, &key);
                None
            }
            Heard::Deaf => {
                self.channels.note_deaf(node);
                None
            }
        }
    }

    fn count_release(&mut self, node: NodeId, key: &Key, news: News, now: Moment) -> Turn {
        let is_quorum = self.channels.count(node, key, news, self.config.quorum.votes());
        if is_quorum { self.hear_release(key, now) } else { None }
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
        first.notified = true;
        let pause = self.channels.pause_for(key, age);
        let at = now.after(pause).min(poll_by).max(not_before);
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
