//! What follows from what: how requests become operations, and what comes after
//! an operation has ended. [`Engine::after`] is the only place where one operation
//! starts another.

use std::sync::Arc;

use super::{
    Engine, ExtendRequest, Kept, Renew, Reply, Time,
    op::{
        Asker, Attempt, Ended, Ending, Extension, HandOver, Head, Healing, Kind, Lifetimes,
        Releasing, suspects_to_release,
    },
    turn::Turn,
    waiter::{Found, Next, Waiter},
};
use crate::{
    claim::{Claim, Released, Renewal},
    error::{Error, ErrorKind},
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeSet, Ttl},
};

impl Engine {
    /// Decides what follows from what operation `id` came to.
    pub(super) fn after(&mut self, id: usize, ended: Ended, time: Time) {
        match ended {
            Ended::Held { waiter, lease, votes } => {
                self.note_decided();
                self.after_grant(id, waiter, lease, votes, time);
            }
            Ended::Refused { waiter, round, rolls_back } => {
                self.note_decided();
                let Some(op) = self.ops.get(id) else { return };
                let (head, lifetimes, asked) = Lifetimes::after(&op.head, round, waiter);
                let claim = Arc::clone(&op.head.claim);
                if rolls_back {
                    self.release(claim, Ending::default(), time);
                }
                self.start(head, Kind::Lifetimes(lifetimes), asked, time);
            }
            Ended::Lost { waiter, found, rolls_back } => {
                self.note_decided();
                let claim = self.ops.get(id).map(|op| Arc::clone(&op.head.claim));
                if let Some(claim) = claim.filter(|_| rolls_back) {
                    self.release(claim, Ending::default(), time);
                }
                self.after_loss(waiter, found, time);
            }
            Ended::Extended { reply, outcome } => {
                self.note_decided();
                self.after_extension(id, &outcome, true, time);
                // A caller that is gone needs no answer, here and below.
                let _ = reply.send(outcome);
            }
            Ended::Renewed { kept, outcome, key_is_gone } => {
                self.after_renewal(id, kept, outcome, key_is_gone, time);
            }
            Ended::Abandoned(_kept) => self.keep.note(true),
            Ended::HandedOver { hand_over, lease, granted } => {
                self.note_decided();
                self.after_hand_over(id, *hand_over, lease, granted, time);
            }
            Ended::Released { reply, outcome } => drop(reply.send(outcome)),
            Ended::Seen { reply, seen } => {
                self.note_decided();
                let _ = reply.send(Ok(seen));
            }
        }
    }

    fn note_decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
    }

    // Acquire.

    pub(super) fn begin_acquire(&mut self, waiter: Box<Waiter>, time: Time) {
        if self.takes_no_acquires() {
            return waiter.refuse(Error::closed());
        }
        let turn = self.turns.come(waiter, time.now);
        self.take_turn(turn, time);
    }

    /// Whether the client was shut down.
    fn takes_no_acquires(&self) -> bool {
        if mutant::is(Mutant::ClosedStillAcquires) {
            return false;
        }
        self.closed
    }

    /// Begins the attempt of a waiter whose turn it is.
    pub(super) fn take_turn(&mut self, turn: Turn, time: Time) {
        if let Some(waiter) = turn {
            self.begin_attempt(waiter, time);
        }
    }

    fn begin_attempt(&mut self, mut waiter: Box<Waiter>, time: Time) {
        let (key, now) = (waiter.request.key.clone(), time.now);
        if self.takes_no_acquires() {
            self.turns.tidy(&key);
            return waiter.refuse(Error::closed());
        }
        let once = waiter.is_once();
        if !waiter.is_wanted() {
            if !once {
                self.turns.step_back(&key, None, now);
            }
            return;
        }
        let (config, ttl) = (Arc::clone(&self.config), waiter.request.ttl);
        let lease = config.lease(time.clock, ttl);
        let whole = now.after(config.node_timeout(ttl));
        let give_up_at = waiter.give_up_at(whole, now);
        let nodes = config.quorum.nodes();
        let age = self.turns.begin_trying(&mut waiter);
        let claim = Arc::new(Claim::new(key, self.chance.token(), ttl, lease, nodes));
        claim.note_age(age);
        if !once {
            self.turns.note_trying(waiter.slot, &claim);
        }
        let mut head = Head::new(claim, ttl, now, give_up_at);
        head.cut_short = give_up_at < whole;
        let attempt = Attempt::new(waiter, lease, give_up_at, &config);
        self.start(head, Kind::Attempt(attempt), NodeSet::first(nodes), time);
    }

    fn after_grant(
        &mut self,
        id: usize,
        waiter: Box<Waiter>,
        lease: Lease,
        votes: usize,
        time: Time,
    ) {
        let Some(claim) = self.ops.get(id).map(|op| Arc::clone(&op.head.claim)) else { return };
        tracing::debug!(key = %claim.key, votes, "lock acquired");
        self.give(waiter, claim, lease.until, time);
    }

    /// Gives the lock of `claim` to its waiter, held `until` then.
    fn give(&mut self, waiter: Box<Waiter>, claim: Arc<Claim>, until: Moment, time: Time) {
        claim.grant(until);
        let once = waiter.is_once();
        let turn = self.turns.note_held(waiter.slot, &claim, once, time.now);
        if let Some(renew) = waiter.request.renew {
            self.begin_renewing(&claim, renew, time);
        }
        waiter.hand_over(claim);
        self.take_turn(turn, time);
    }

    fn after_loss(&mut self, mut waiter: Box<Waiter>, found: Found, time: Time) {
        let draw = self.chance.draw();
        let now = time.now;
        match waiter.after_loss(found, self.closed, draw, &self.config, now) {
            Next::Retry(at) => {
                let turn = self.turns.wait_for_turn(waiter, at, now);
                self.take_turn(turn, time);
            }
            Next::GiveUp(error) => {
                if !waiter.is_once() {
                    self.turns.step_back(&waiter.request.key, waiter.failing_since, now);
                }
                waiter.refuse(error);
            }
        }
    }

    // Extend, and keep.

    pub(super) fn begin_extend(&mut self, request: ExtendRequest, time: Time) {
        let ExtendRequest { claim, ttl, reply } = request;
        if claim.remaining(time.now).is_zero() {
            let message = format!("lock {} has expired: it can't be extended", claim.key);
            let _ = reply.send(Err(Error::new(ErrorKind::Lost, message)));
            return;
        }
        let until = claim.until();
        self.extend(claim, ttl, Asker::Caller(reply), until, time);
    }

    fn extend(&mut self, claim: Arc<Claim>, ttl: Ttl, asker: Asker, until: Moment, time: Time) {
        let lease = self.config.lease(time.clock, ttl);
        let mut head = Head::new(claim, ttl, time.now, until);
        let (extension, suspects) = Extension::new(&mut head, lease, asker, until, &self.config);
        self.start(head, Kind::Extension(extension), suspects, time);
    }

    /// What follows from an extension of any kind: healing, or the end of a lock.
    /// `ends` says whether a lost lock ends here, and not with who keeps it.
    fn after_extension(&mut self, id: usize, outcome: &Result<(), Error>, ends: bool, time: Time) {
        let Some(claim) = self.ops.get(id).map(|op| Arc::clone(&op.head.claim)) else { return };
        match outcome {
            Ok(()) => self.heal(id, NodeSet::first(self.config.quorum.nodes()), time),
            Err(error) if error.kind() == ErrorKind::Lost && ends => {
                claim.end();
                self.leave(&claim, time);
            }
            Err(_) => {}
        }
    }

    pub(super) fn begin_keeping(&mut self, kept: Kept, time: Time) {
        let to_renew = self.keep.begin(kept, self.chance.rng(), time.now);
        self.renew(to_renew, time);
    }

    /// Renews a lock from its grant on.
    fn begin_renewing(&mut self, claim: &Arc<Claim>, renew: Renew, time: Time) {
        let stop_at = renew.limit.map_or(Moment::NEVER, |limit| time.now.after(limit));
        let renewal = Renewal::every(renew.every, stop_at);
        if claim.keeping(|keeping| keeping.keep(Some(renewal))) {
            self.begin_keeping(Kept::new(Arc::clone(claim)), time);
        }
    }

    pub(super) fn renew(&mut self, kept: Option<Kept>, time: Time) {
        let Some(kept) = kept else { return };
        let Some(claim) = kept.claim().map(Arc::clone) else { return };
        let (ttl, until) = (claim.ttl, claim.until());
        self.extend(claim, ttl, Asker::Keeper(kept), until, time);
    }

    fn after_renewal(
        &mut self,
        id: usize,
        kept: Kept,
        outcome: Result<(), Error>,
        key_is_gone: bool,
        time: Time,
    ) {
        let Some(claim) = kept.claim().map(Arc::clone) else { return };
        let well = outcome.is_ok();
        let lost = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost);
        self.after_extension(id, &outcome, false, time);
        let to_renew = self.keep.renewed(kept, outcome, self.chance.rng(), time.now);
        self.renew(to_renew, time);
        if lost {
            self.leave(&claim, time);
        }
        self.keep.note(well || key_is_gone);
    }

    /// After an extension that a quorum has agreed to: sets the key again on
    /// the nodes that surely do not have it. That the lock is ours has just been
    /// proven without them, so this is no vote for it: from the next time on.
    fn heal(&mut self, id: usize, among: NodeSet, time: Time) {
        let Some(op) = self.ops.get(id) else { return };
        let (claim, ttl, now) = (Arc::clone(&op.head.claim), op.head.ttl, time.now);
        let missing = among.minus(claim.suspects()).minus(op.head.awaited);
        if missing.is_empty() || claim.remaining(now).is_zero() {
            return;
        }
        missing.iter().for_each(|node| claim.note_healing(node));
        claim.may_live_until(self.config.lease(now, ttl).gone_by);
        let head = Head::new(claim, ttl, now, now.after(self.config.node_timeout(ttl)));
        self.start(head, Kind::Healing(Healing), missing, time);
    }

    /// Heals the nodes that were found without the key after the extension was
    /// won.
    pub(super) fn heal_missing(&mut self, id: usize, time: Time) {
        if let Some(op) = self.ops.get_mut(id)
            && let Kind::Extension(extension) = &mut op.kind
        {
            let missing = extension.take_missing();
            if !missing.is_empty() {
                self.heal(id, missing, time);
            }
        }
    }

    // Release, and hand over.

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
    fn hand_over(
        &mut self,
        claim: Arc<Claim>,
        waiter: Box<Waiter>,
        reply: Option<Reply<Released>>,
        time: Time,
    ) {
        let (until, ttl) = (claim.until(), waiter.request.ttl);
        let answer_by = time.now.after(self.config.release_timeout(claim.ttl));
        // From here on, it is nobody's.
        claim.end();
        let hand_over = Box::new(HandOver { waiter, reply, answer_by, until });
        self.extend(claim, ttl, Asker::Next(hand_over), until, time);
    }

    fn after_hand_over(
        &mut self,
        id: usize,
        hand_over: HandOver,
        lease: Lease,
        granted: NodeSet,
        time: Time,
    ) {
        let HandOver { waiter, reply, answer_by, until } = hand_over;
        let (nodes, now) = (self.config.quorum.nodes(), time.now);
        let in_time = now < until.min(lease.until);
        let agreed = granted.len() >= self.config.quorum.votes() && in_time;
        let Some(op) = self.ops.get_mut(id) else { return };
        if hands_on(agreed) {
            let heir = op.head.claim.hand_on(waiter.request.ttl, lease, granted, nodes);
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
    fn release(&mut self, claim: Arc<Claim>, ending: Ending, time: Time) {
        let asked = suspects_to_release(&claim);
        // Once a release is on its way, the lock is not held, whatever comes.
        claim.end();
        let (ttl, now) = (claim.ttl, time.now);
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
