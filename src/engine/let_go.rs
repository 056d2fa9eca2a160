//! How a lock is let go of: handed on to the next in line, or released. It decides
//! what is asked of nodes, and never whether a lock is held.

use std::sync::Arc;

use super::{
    Engine, Reply, Time,
    op::{Asker, Ending, HandOver, Head, Kind, Releasing, suspects_to_release},
    waiter::Waiter,
};
use crate::{
    claim::{Claim, Released},
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeSet, Number},
};

impl Engine {
    /// A guard lets go of its lock: to the next in line, or to all.
    pub(super) fn let_go(&mut self, claim: Arc<Claim>, reply: Option<Reply<Released>>, time: Time) {
        self.keep.forget(&claim);
        let now = time.now;
        let is_quiet = self.turns.vacate_quietly(&claim);
        if !is_quiet
            && !self.closed
            && let Some(waiter) = self.turns.successor(&claim, now)
        {
            return self.hand_over(claim, waiter, reply, time);
        }
        let mut reply = reply;
        if claim.remaining(now).is_zero()
            && let Some(reply) = reply.take()
        {
            let _ = reply.send(Ok(Released::AlreadyExpired));
        }
        let news = Some(self.chance.news(claim.age()));
        self.release(Arc::clone(&claim), Ending { reply, answer_by: None, news }, time);
        if !is_quiet {
            let turn = self.turns.note_released(&claim, now);
            self.take_turn(turn, time);
        }
    }

    /// Hands the lock on by an extension. The key and its token stay; the previous
    /// holder has lost the lock before the first byte is sent, and the next one
    /// has it when a quorum has agreed before the old deadline. Where that fails,
    /// the lock is released and asked for as ever.
    pub(super) fn hand_over(
        &mut self,
        claim: Arc<Claim>,
        waiter: Box<Waiter>,
        reply: Option<Reply<Released>>,
        time: Time,
    ) {
        let (until, ttl) = (claim.until(), waiter.request.ttl);
        let number = self.number_of_the_heir(&claim, &waiter, time.now);
        let answer_by = time.now.after(self.config.release_timeout(claim.ttl()));
        // Nobody holds the lock from here on.
        claim.end();
        if waiter.request.fenced && number.is_none() {
            let news = Some(self.chance.news(claim.age()));
            self.release(claim, Ending { reply, answer_by: Some(answer_by), news }, time);
            return self.begin_attempt(waiter, time);
        }
        let hand_over = Box::new(HandOver { waiter, reply, answer_by, until, number });
        self.extend(claim, ttl, Asker::Next(hand_over), until, time);
    }

    /// The number of a fenced heir: above all that were sent under this token.
    fn number_of_the_heir(
        &mut self,
        claim: &Claim,
        waiter: &Waiter,
        now: Moment,
    ) -> Option<Number> {
        if !waiter.request.fenced {
            return None;
        }
        if mutant::is(Mutant::HeirKeepsTheNumber) && claim.fence().is_some() {
            return claim.fence();
        }
        let sent = claim.sent().map_or(0, Number::get);
        let number = self.numbers.propose(sent, now)?;
        claim.note_sent(number);
        Some(number)
    }

    pub(super) fn after_hand_over(
        &mut self,
        id: usize,
        hand_over: HandOver,
        lease: Lease,
        granted: NodeSet,
        time: Time,
    ) {
        let HandOver { waiter, reply, answer_by, until, number } = hand_over;
        let (nodes, now) = (self.config.quorum.nodes(), time.now);
        let in_time = now < until.min(lease.until);
        let agreed = granted.len() >= self.config.quorum.votes() && in_time;
        let Some(op) = self.ops.get_mut(id) else { return };
        if hands_on(agreed) {
            let heir = op.head.claim.hand_on(waiter.request.ttl, lease, granted, nodes, now);
            if let Some(number) = number {
                heir.set_fence(number);
            }
            // What the other nodes answer is about the heir.
            op.head.claim = Arc::clone(&heir);
            if let Some(reply) = reply {
                let _ = reply.send(Ok(Released::Released));
            }
            return self.give(waiter, heir, lease.until, time);
        }
        let claim = Arc::clone(&op.head.claim);
        // It was let go of in time: whether it had ended, the nodes say.
        let news = Some(self.chance.news(claim.age()));
        self.release(claim, Ending { reply, answer_by: Some(answer_by), news }, time);
        if waiter.is_over(now) {
            let key = waiter.request.key.clone();
            self.turns.refuse_waiting(waiter, now);
            self.turns.step_back(&key, None, now);
        } else {
            self.begin_attempt(waiter, time);
        }
    }

    /// Deletes the key wherever it may be.
    pub(super) fn release(&mut self, claim: Arc<Claim>, ending: Ending, time: Time) {
        let asked = suspects_to_release(&claim);
        // Once a release is on its way, the lock is not held, whatever comes.
        claim.end();
        let (ttl, now) = (claim.ttl(), time.now);
        let whole = now.after(self.config.release_timeout(ttl));
        let give_up_at = ending.answer_by.unwrap_or(whole);
        let releasing = Releasing::new(&claim, asked, ending, give_up_at, &self.config);
        self.releasing = self.releasing.saturating_add(1);
        let head = Head::new(claim, ttl, now, give_up_at);
        self.start(head, Kind::Releasing(releasing), asked, time);
    }

    /// The guard of `claim` has let go of it without a release.
    pub(super) fn leave(&mut self, claim: &Arc<Claim>, time: Time) {
        self.keep.forget(claim);
        let turn = self.turns.leave(claim, time.now);
        self.take_turn(turn, time);
    }
}

/// Whether a lock is handed on: where a quorum has agreed.
fn hands_on(agreed: bool) -> bool {
    if mutant::is(Mutant::HandsOnTheLost) {
        return true;
    }
    agreed
}
