//! After a split vote: which attempt keeps the votes it has and asks for the
//! rest.
//!
//! Whoever has the home node's vote keeps its votes and looks at the nodes that refused.
//! If they show no holder, it asks them again, at most `MOST_TRIES` times. The home node is
//! chosen by the nodes' configured names, so hosts that name them differently may choose
//! different ones, and two insist. Each then sees from one look to the next that the
//! other's value stays: the one with more votes goes on, or at a tie the larger value.

use std::{sync::Arc, time::Duration};

use super::{Attempt, Ended, Head, Setting, rivals::Rivals};
use crate::{
    engine::{
        pacing::{KEEP_PAUSES, LATE, MOST_TRIES, ROUND_TRIP},
        waiter::Waiter,
    },
    exchange::Outcome,
    mutant::{self, Mutant},
    protocol::{Moment, NodeId, NodeSet, Round, Verdict, home},
};

/// The state of a round that was lost to a split and may still be won.
#[derive(Debug)]
pub(super) struct KeptVotes {
    tries: usize,
    /// How many of the last tries have met just what the one before had met.
    stuck: usize,
    /// How long the first verdict took.
    pub(super) took: Duration,
    next: Next,
    /// What the nodes that refused have, by this look and by the one before.
    rivals: Rivals,
    before: Option<Rivals>,
    /// The nodes that have yet to say what they have.
    looked_at: NodeSet,
    /// Whether this client has come late itself when the home node was to have answered.
    was_late: bool,
    /// The nodes that had refused and have the key after all: they are not asked again, since
    /// they would say no again.
    mine: NodeSet,
    /// Whether one was found that a release has not been sent to, or will not be.
    must_take_back: bool,
}

/// What a lost round does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing is planned.
    Decide,
    /// The home node's answer is waited for until then: it decides.
    AwaitHome(Moment),
    /// The nodes that refused are looked at then.
    LookAt(Moment),
    /// They are being looked at, and have until then to answer.
    Looking(Moment),
    /// They have been looked at.
    Judge,
}

impl KeptVotes {
    /// A split that was found `took` after the start. As yet no votes are kept.
    fn after(took: Duration) -> Self {
        Self {
            tries: 0,
            stuck: 0,
            took: round_trip(took),
            next: Next::Decide,
            rivals: Rivals::default(),
            before: None,
            looked_at: NodeSet::EMPTY,
            was_late: false,
            mine: NodeSet::EMPTY,
            must_take_back: false,
        }
    }

    pub(super) fn were_kept(&self) -> bool {
        self.tries > 0
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match self.next {
            Next::AwaitHome(by) | Next::LookAt(by) | Next::Looking(by) => Some(by),
            Next::Decide | Next::Judge => None,
        }
    }

    /// Does what was due by `due`.
    pub(super) fn handle_timeout(
        &mut self,
        head: &mut Head,
        round: &Round,
        due: Moment,
        now: Moment,
    ) {
        match self.next {
            Next::AwaitHome(by) if by <= due => {
                let is_late = now.since(by) > LATE && !mutant::is(Mutant::LateIsSilent);
                // The home node is then another; or it is given another round trip, once.
                if (!is_late || self.was_late) && head.had_time(by) {
                    head.silent = round.outstanding().and(head.awaited);
                }
                self.was_late |= is_late;
                self.next = Next::Decide;
            }
            Next::LookAt(at) if at <= due => self.look(head, round.refused(), due),
            Next::Looking(by) if by <= due => self.next = Next::Judge,
            _ => {}
        }
    }

    fn look(&mut self, head: &mut Head, refused: NodeSet, now: Moment) {
        let targets = refused.minus(head.awaited);
        (self.looked_at, head.values) = (targets, targets);
        self.before = Some(std::mem::take(&mut self.rivals)).filter(|_| self.tries > 1);
        self.next = match targets.is_empty() {
            true => Next::Judge,
            false => Next::Looking(now.after(self.took * 2).min(head.give_up_at)),
        };
    }

    /// All that has been seen.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn seen(&self) -> impl Iterator<Item = &Rivals> {
        self.before.iter().chain([&self.rivals])
    }

    fn handle_look(&mut self, head: &Head, node: NodeId, outcome: Outcome) {
        // What does not answer is no rival: it is asked again, and says so.
        let _error = self.rivals.note(node, outcome);
        if self.rivals.forget_mine(node, &head.claim.token) {
            self.mine.insert(node);
            self.must_take_back |= head.note_found(node);
        }
        self.looked_at.remove(node);
        if self.looked_at.is_empty() && matches!(self.next, Next::Looking(_)) {
            self.next = Next::Judge;
        }
    }
}

impl Attempt {
    /// Counts what `node` has at the key.
    pub(super) fn handle_look(&mut self, head: &mut Head, node: NodeId, outcome: Outcome) {
        self.takes_look(head, node);
        if let Some(kept) = &mut self.kept {
            kept.handle_look(head, node, outcome);
        }
    }

    /// Whether a node was found to have the key when the attempt was lost, and taken back
    /// without it. What was won is released by its holder, or is another's by now.
    pub(super) fn must_take_back(&self) -> bool {
        let is_lost = matches!(self.round.verdict(), Some(Verdict::Lost(_)));
        (is_lost || mutant::is(Mutant::WonIsTakenBack))
            && self.waiter.is_none()
            && self.kept.as_ref().is_some_and(|it| it.must_take_back)
    }

    /// Takes back what was found like that.
    pub(super) fn take_found_back(&mut self) -> Option<Ended> {
        let must = self.must_take_back();
        if let Some(kept) = &mut self.kept {
            kept.must_take_back = false;
        }
        must.then_some(Ended::TakenBack)
    }

    /// Whether the lost round goes on, or may; plans what it does next. Out of the way of those
    /// that win.
    #[inline(never)]
    pub(super) fn keeps_votes(&mut self, head: &mut Head, setting: &mut Setting<'_>) -> bool {
        if setting.closed || self.round.granted().is_empty() && self.kept.is_none() {
            return false;
        }
        let (now, took) = (setting.now, setting.now.since(head.started_at));
        if self.round.granted().len() >= self.round.votes() {
            // A node that was passed over has granted it after all.
            self.round = self.round.again(NodeSet::EMPTY, self.lease.until, head.give_up_at);
            self.round.pass_over(now);
            return false;
        }
        let mut kept = self.kept.take().unwrap_or_else(|| Box::new(KeptVotes::after(took)));
        let mut goes_on = match kept.next {
            Next::LookAt(_) | Next::Looking(_) => true,
            Next::AwaitHome(_) | Next::Decide => self.decide(&mut kept, head, setting),
            Next::Judge => self.judge(&mut kept, head, setting),
        };
        if goes_on && matches!(kept.next, Next::LookAt(at) if at <= now) {
            kept.look(head, self.round.refused(), now);
            // Where all of them owe an answer, there is nothing to wait for.
            if kept.next == Next::Judge {
                goes_on = self.judge(&mut kept, head, setting);
            }
        }
        self.kept = Some(kept);
        goes_on
    }

    /// Who has the home node's vote looks who else there is. Says whether it does, or
    /// the home node is waited for.
    fn decide(&self, kept: &mut KeptVotes, head: &Head, setting: &Setting<'_>) -> bool {
        let (config, now) = (setting.config, setting.now);
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.is_wanted()) else {
            return false;
        };
        let awaited = self.round.outstanding().and(head.awaited).minus(setting.silent);
        let among = self.round.granted().union(self.round.refused()).union(awaited);
        let names = config.node_names().map(|(node, name): (_, &Arc<str>)| (node, &**name));
        let home = home(head.claim.key.as_bytes(), names, among.minus(waiter.stale));
        let Some(home) = home else { return false };
        if awaited.contains(home) {
            let by = now.after(kept.took).min(head.give_up_at);
            if let Next::AwaitHome(_) = kept.next {
                return true;
            }
            kept.next = Next::AwaitHome(by);
            return now < by;
        }
        let Some(quarters) = KEEP_PAUSES.get(kept.stuck).filter(|_| kept.tries < MOST_TRIES) else {
            return false;
        };
        let at = now.after(kept.took / 4 * *quarters);
        if !self.round.granted().contains(home) || at >= self.limit(waiter) {
            return false;
        }
        kept.tries += 1;
        kept.next = Next::LookAt(at);
        true
    }

    /// Until when it may insist.
    fn limit(&self, waiter: &Waiter) -> Moment {
        waiter.insists_until().min(self.lease.until)
    }

    /// Asks the nodes that refused once more, unless a holder has them, or another
    /// contender that does not give way. Says whether it does.
    fn judge(&mut self, kept: &mut KeptVotes, head: &mut Head, setting: &mut Setting<'_>) -> bool {
        kept.next = Next::Decide;
        let Some(waiter) = &self.waiter else { return false };
        let mine = (self.round.granted().len(), &head.claim.token);
        let (rivals, quorum) = (&kept.rivals, setting.config.quorum);
        // What was stale then is, if it still is there.
        let stale = waiter.rivals.as_ref().map(|then| rivals.unchanged_since(then, quorum));
        let stale = stale.unwrap_or_default().and(waiter.stale);
        let gives_way = rivals.holder(quorum).is_some()
            || rivals.is_blocked(quorum)
            || rivals.outbids(mine, kept.before.as_ref(), stale);
        // A node that owes the answer to a look is not asked twice at once.
        let refused = self.round.refused().minus(kept.mine);
        let asked = refused.minus(head.awaited);
        if gives_way || asked.is_empty() || !waiter.is_wanted() {
            return false;
        }
        let is_stuck = kept
            .before
            .as_ref()
            .is_some_and(|before| kept.rivals.unchanged_since(before, quorum) == refused);
        kept.stuck = if is_stuck { kept.stuck + 1 } else { 0 };
        self.go_on(head, asked, setting);
        self.round.verdict().is_none()
    }
}

/// What a round trip seems to take, by how long the first answers `took`.
pub(in crate::engine) fn round_trip(took: Duration) -> Duration {
    let (least, most) = ROUND_TRIP;
    took.clamp(least, most)
}
