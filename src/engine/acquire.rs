//! How an acquire becomes attempts, and what comes after each of them. `turn` decides
//! whose turn it is, `again` when to try again.

use std::sync::Arc;

use super::{
    Engine, Time,
    again::Next,
    look::carrier,
    op::{Attempt, Behind, Head, Kind},
    stand::Found,
    turn::Turn,
    waiter::Waiter,
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeSet, home},
};

impl Engine {
    pub(super) fn begin_acquire(&mut self, waiter: Box<Waiter>, time: Time) {
        if self.takes_no_acquires() {
            return waiter.refuse(Error::closed());
        }
        let turn = self.turns.come(waiter, time.now);
        self.take_turn(turn, time);
    }

    /// Whether the client was shut down.
    pub(super) fn takes_no_acquires(&self) -> bool {
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

    pub(super) fn begin_attempt(&mut self, mut waiter: Box<Waiter>, time: Time) {
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
        let nodes = config.quorum.nodes();
        let age = self.turns.begin_trying(&mut waiter, now);
        // Where we may not publish, others may not either, as a rule: nobody will tell.
        waiter.subscribed = waiter.subscribed.minus(self.no_publish);
        let number = if waiter.request.fenced { self.numbers.propose(0, now) } else { None };
        if waiter.request.fenced && number.is_none() {
            if !once {
                self.turns.step_back(&key, None, now);
            }
            return waiter.refuse(no_numbers());
        }
        let token = self.chance.token(waiter.request.owner.as_ref());
        let claim = Arc::new(Claim::new(key, token, ttl, lease, nodes));
        claim.note_age(age);
        if !once {
            self.turns.note_trying(waiter.slot, &claim);
        }
        let first = first_asked(&waiter, &claim, self.able(), &config);
        if let Some(number) = number {
            claim.note_sent(number);
        }
        let mut head = Head::new(claim, ttl, now, lease.until).with_number(number);
        let attempt = Attempt::new(&mut head, waiter, first, lease, time, &config);
        self.start(head, Kind::Attempt(attempt), first, time);
    }

    /// The nodes that answered when they were last asked.
    fn able(&self) -> NodeSet {
        NodeSet::first(self.config.quorum.nodes()).minus(self.silent)
    }

    /// The nodes that are worth a look behind an attempt of `waiter`. The first look of a
    /// single attempt has no time for nodes that are silent; others have, and find by it that
    /// one answers again.
    pub(super) fn worth_a_look(&self, waiter: &Waiter) -> NodeSet {
        if waiter.is_once() {
            return self.able();
        }
        NodeSet::first(self.config.quorum.nodes())
    }

    /// A single attempt looks again whether the others have settled who has the lock.
    pub(super) fn look_again(&mut self, waiter: Box<Waiter>, now: Moment) {
        if self.takes_no_acquires() {
            return waiter.refuse(Error::closed());
        }
        if !waiter.is_wanted() {
            return;
        }
        let (config, key) = (Arc::clone(&self.config), waiter.request.key.clone());
        let able = self.able();
        let claim = carrier(key, waiter.request.ttl, &config, now);
        let (head, behind) = Behind::again(claim, waiter, able, &config, now);
        let time = Time { clock: now, now };
        self.start(head, Kind::Behind(behind), NodeSet::EMPTY, time);
    }

    pub(super) fn after_grant(
        &mut self,
        id: usize,
        waiter: Box<Waiter>,
        lease: Lease,
        votes: usize,
        time: Time,
    ) {
        let Some(head) = self.ops.get(id).map(|op| &op.head) else { return };
        let claim = Arc::clone(&head.claim);
        if let Some(number) = head.number {
            claim.set_fence(number);
        }
        tracing::debug!(key = %claim.key, votes, "lock acquired");
        self.give(waiter, claim, lease.until, time);
    }

    /// Gives the lock of `claim` to its waiter, held `until` then.
    pub(super) fn give(
        &mut self,
        waiter: Box<Waiter>,
        claim: Arc<Claim>,
        until: Moment,
        time: Time,
    ) {
        claim.grant(until);
        let once = waiter.is_once();
        let turn = self.turns.note_held(waiter.slot, &claim, once, time.now);
        if let Some(renew) = waiter.request.renew {
            self.begin_renewing(&claim, renew, time);
        }
        waiter.accept(claim);
        self.take_turn(turn, time);
    }

    pub(super) fn after_loss(&mut self, mut waiter: Box<Waiter>, found: Found, time: Time) {
        let draw = self.chance.draw();
        let now = time.now;
        self.turns.note_hearing(&mut waiter);
        match waiter.after_loss(found, self.closed, draw, &self.config, now) {
            Next::Look(at) => self.turns.retry_once(waiter, true, at),
            Next::Retry(at) if waiter.is_once() => self.turns.retry_once(waiter, false, at),
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
}

/// The nodes that an attempt asks first: all of them, so that nothing uncontended and no
/// hand-off takes a second round trip. Whoever tries again though it is not its turn, or
/// comes while a crowd passes the lock on, asks the home node alone, and the others with
/// its vote: so of many that try at the same time, most cost one command and get in
/// nobody's way.
fn first_asked(waiter: &Waiter, claim: &Claim, able: NodeSet, config: &Config) -> NodeSet {
    if mutant::is(Mutant::AllAskAll) {
        return NodeSet::first(config.quorum.nodes());
    }
    let names = config.node_names().map(|(node, name): (_, &Arc<str>)| (node, &**name));
    let home = (!waiter.asks_all())
        .then(|| home(claim.key.as_bytes(), names, waiter.homes(able)))
        .flatten();
    match home {
        Some(home) => NodeSet::EMPTY.with(home),
        None => NodeSet::first(config.quorum.nodes()),
    }
}

/// The clock of this host is where fencing numbers end.
fn no_numbers() -> Error {
    let message =
        "this host's clock is in the year 2255 or later, where fencing numbers end: set it";
    Error::new(ErrorKind::InvalidConfig, message)
}
