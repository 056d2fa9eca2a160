//! After a split vote: who keeps the votes it has and asks for the rest.
//!
//! The rule is `protocol::home`'s. It applies to those who wait: an attempt
//! that is made once stays one round. Votes are kept for a few tries only, since
//! what looks like a split vote may be another's lock.

use std::time::Duration;

use super::{
    Patience,
    op::{Acquiring, Job, Op},
    run::{Driver, Timer},
};
use crate::{
    config::Config,
    mutant::{self, Mutant},
    protocol::{Moment, NodeId, Verdict, home},
};

/// How long the first answers took, within bounds: at least what a timer can
/// tell, and not so long that votes block a lock for nobody.
const ROUND_TRIP: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(40));

/// Pauses before the nodes that refused are asked again, in quarters of a round
/// trip: what the others take to hear that they have lost, and to give their
/// votes back.
const PAUSES: [u32; 4] = [1, 2, 3, 5];

/// Where a lost round stands that may go on.
#[derive(Default)]
pub(super) struct Insisting {
    tries: usize,
    /// It asks again, at its time.
    is_filed: bool,
    home_by: Option<Moment>,
    /// How long the verdict took.
    took: Option<Duration>,
}

impl Insisting {
    /// Whether votes were kept.
    pub(super) fn has_kept(&self) -> bool {
        self.tries > 0
    }
}

/// What becomes of a lost round.
enum Next {
    Wait(Moment),
    AskAgain(Moment),
    Over,
}

impl Driver {
    /// Whether the lost round `id` goes on, or may; sees to it that it does.
    pub(super) fn insists(&mut self, id: usize, now: Moment) -> bool {
        if self.closed {
            return false;
        }
        let Some(op) = self.ops.get_mut(id) else { return false };
        let took = now.since(op.started_at);
        if let Job::Acquire(Acquiring { insisting, .. }) = &mut op.job {
            insisting.took.get_or_insert(took);
        }
        let next = op.after_split(&self.config, now);
        let number = op.number;
        let Job::Acquire(Acquiring { insisting, .. }) = &mut op.job else { return false };
        match next {
            _ if insisting.is_filed => true,
            Next::Wait(by) => {
                if insisting.home_by.replace(by).is_none() {
                    self.timers.push(by, Timer::Op { id, number });
                }
                true
            }
            Next::AskAgain(at) => {
                insisting.tries = insisting.tries.saturating_add(1);
                insisting.is_filed = true;
                self.timers.push(at, Timer::Insist { id, number });
                true
            }
            Next::Over => false,
        }
    }

    /// Asks the nodes that refused once more, for the same lease.
    pub(super) fn insist(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let ttl = op.ttl;
        let Job::Acquire(acquiring) = &mut op.job else { return };
        let Acquiring { round, lease, session, insisting } = acquiring;
        insisting.is_filed = false;
        let wanted = session.as_ref().is_some_and(|session| session.is_wanted());
        if !wanted || self.closed || round.verdict() == Some(Verdict::Held) {
            return self.settle(id, now);
        }
        let refused = round.refused();
        let whole = now.after(self.config.node_timeout(ttl));
        let give_up_at = session.as_ref().map_or(whole, |session| session.give_up_at(whole, now));
        if mutant::is(Mutant::InsistingRestartsTheLease) {
            *lease = self.config.lease(now, ttl);
        }
        *round = round.again(lease.until, give_up_at);
        (op.give_up_at, op.cut_short) = (give_up_at, give_up_at < whole);
        op.claim.may_live_until(self.config.lease(now, ttl).gone_by);
        if !mutant::is(Mutant::InsistingForgotten) {
            refused.iter().for_each(|node| op.claim.note_suspect(node));
        }
        let due = self.timers.push(give_up_at, Timer::Op { id, number: op.number });
        if let Some(before) = op.due.replace(due) {
            self.timers.cancel(before);
        }
        self.ask(id, refused, now);
        self.settle(id, now);
    }
}

impl Op {
    fn after_split(&self, config: &Config, now: Moment) -> Next {
        let Job::Acquire(Acquiring { round, lease, session, insisting }) = &self.job else {
            return Next::Over;
        };
        let Some(session) = session.as_ref().filter(|session| session.is_wanted()) else {
            return Next::Over;
        };
        let limit = match session.request.patience {
            Patience::Once => return Next::Over,
            Patience::Until(limit) => limit.min(lease.until),
            Patience::Forever => lease.until,
        };
        let awaited = round.outstanding().and(self.awaited);
        let among = round.granted().union(round.refused()).union(awaited);
        let names = config.endpoints.iter().map(|endpoint| &**endpoint.label());
        let names = NodeId::all(config.endpoints.len()).zip(names);
        let (least, most) = ROUND_TRIP;
        let round_trip = insisting.took.unwrap_or(least).clamp(least, most);
        let Some(home) = home(self.claim.key.as_bytes(), names, among) else { return Next::Over };
        if awaited.contains(home) {
            let by =
                insisting.home_by.unwrap_or_else(|| now.after(round_trip)).min(self.give_up_at);
            return if now < by { Next::Wait(by) } else { Next::Over };
        }
        let again =
            PAUSES.get(insisting.tries).map(|quarters| now.after(round_trip / 4 * *quarters));
        match again {
            Some(at) if round.granted().contains(home) && at < limit => Next::AskAgain(at),
            _ => Next::Over,
        }
    }
}
