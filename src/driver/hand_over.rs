//! Handing a lock on to the next task of this client that waits for it: one
//! extension in place of a release and an acquire.
//!
//! The key and its token stay; who had the lock has it no more before the first
//! byte is sent, and who gets it has it when a quorum has agreed before the old
//! deadline. Where that fails, the lock is released and asked for as ever.

use std::sync::Arc;

use rand::Rng as _;

use super::{
    Patience,
    line::At,
    op::{Asker, Ending},
    request::Reply,
    run::Driver,
    session::Session,
};
use crate::{
    claim::{Claim, State},
    exchange::News,
    guard::Released,
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeSet},
};

/// A lock on its way from one task to the next.
pub(super) struct HandOver {
    session: Box<Session>,
    /// Of who had it.
    reply: Option<Reply<Released>>,
    /// By when to answer, whatever becomes of it.
    answer_by: Moment,
    /// Until when it was held.
    until: Moment,
}

impl HandOver {
    /// By when it must be done, for both of them.
    pub(super) fn give_up_at(&self, at: Moment) -> Moment {
        match self.session.request.patience {
            Patience::Until(limit) => at.min(limit),
            _ => at,
        }
    }
}

impl Driver {
    /// A guard lets go of its lock: to the next in line, or to all.
    pub(super) fn let_go(
        &mut self,
        claim: Arc<Claim>,
        reply: Option<Reply<Released>>,
        now: Moment,
    ) {
        self.forget_tending(&claim);
        let quiet = self.lines.vacate_quietly(&claim);
        if !quiet && let Some(session) = self.successor(&claim, now) {
            let (until, ttl) = (claim.until(), session.request.ttl);
            let answer_by = now.after(self.patience_to_release(&claim));
            // From here on, it is nobody's.
            claim.end();
            self.undecided = self.undecided.saturating_add(1);
            let hand_over = Box::new(HandOver { session, reply, answer_by, until });
            return self.extend(claim, ttl, Asker::Next(hand_over), until, now);
        }
        let expired = claim.remaining(now).is_zero();
        let news = Some(self.news(&claim));
        let ending = Ending { reply, answer_by: None, expired, news };
        self.begin_release(Arc::clone(&claim), ending, now);
        if !quiet {
            self.note_released(&claim, now);
        }
    }

    fn news(&mut self, claim: &Claim) -> News {
        News { number: self.rng.next_u64(), age: claim.age() }
    }

    /// Who gets the lock next, if it may be handed on. Not one that came from
    /// elsewhere: there someone may still have its token.
    fn successor(&mut self, claim: &Arc<Claim>, now: Moment) -> Option<Box<Session>> {
        let may = !self.closed && !claim.is_adopted() && claim.handed() < self.config.hand_overs;
        // It takes a round, and so much is given to it.
        let takes = self.config.node_timeout(claim.ttl) / 2;
        if !may || claim.remaining(now) <= takes {
            return None;
        }
        let line = self.lines.get(&claim.key)?;
        if matches!(line.at(), At::Trying) {
            return None;
        }
        let session = self.next_in_line(&claim.key, now)?;
        // The key is never made to live shorter: then it would outlive the
        // next holder.
        if claim.remaining(now) > session.request.ttl.as_duration() {
            self.put_back(session);
            return None;
        }
        claim.note(State::Tried, true);
        self.lines.put(claim);
        Some(session)
    }

    /// The extension for the next holder is decided.
    pub(super) fn conclude_hand_over(
        &mut self,
        id: usize,
        hand_over: HandOver,
        lease: Lease,
        granted: NodeSet,
        now: Moment,
    ) {
        let HandOver { session, reply, answer_by, until } = hand_over;
        self.undecided = self.undecided.saturating_sub(1);
        let Some(op) = self.ops.get_mut(id) else { return };
        let in_time = now < until.min(lease.until);
        let enough = granted.len() >= self.config.quorum.votes() && in_time;
        if enough || mutant::is(Mutant::HandsOnTheLost) {
            let heir = op.claim.hand_on(session.request.ttl, lease, granted, self.nodes.len());
            // What the other nodes answer is about the heir.
            op.claim = Arc::clone(&heir);
            heir.grant(lease.until);
            self.note_held(&heir, false, now);
            if let Some(reply) = reply {
                // A caller that is gone needs no answer.
                let _ = reply.send(Ok(Released::Released));
            }
            return session.hand_over(heir);
        }
        let claim = Arc::clone(&op.claim);
        let (answer_by, news) = (Some(answer_by), Some(self.news(&claim)));
        // It was let go of in time: whether it had ended, the nodes say.
        let ending = Ending { reply, answer_by, expired: false, news };
        self.begin_release(claim, ending, now);
        if session.is_over(now) {
            let key = session.request.key.clone();
            self.refuse_waiting(session, now);
            self.step_back(&key, None, now);
        } else {
            self.begin_attempt(session, now);
        }
    }
}
