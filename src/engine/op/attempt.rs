//! One attempt to acquire: a round, and what it came to. Whether there is
//! another is for the waiter to say.

use std::time::Duration;

use super::{Ended, Head, KeptVotes, Setting, notes::Tally, vote::vote};
use crate::{
    claim::Claim,
    config::Config,
    engine::{
        Time,
        waiter::{Found, LastAttempt, Waiter},
    },
    exchange::{Ask, Outcome},
    mutant::{self, Mutant},
    protocol::{Lease, Loss, Moment, NodeId, NodeSet, Round, Ttl, Verdict, Vote},
};

/// One attempt to acquire.
#[derive(Debug)]
pub(in crate::engine) struct Attempt {
    pub(super) round: Round,
    pub(super) lease: Lease,
    /// Whose attempt it is; taken out at the verdict.
    pub(super) waiter: Option<Box<Waiter>>,
    /// What becomes of its votes after a split, once there is one.
    pub(super) kept: Option<Box<KeptVotes>>,
}

impl Attempt {
    pub(in crate::engine) fn new(
        head: &mut Head,
        waiter: Box<Waiter>,
        lease: Lease,
        time: Time,
        config: &Config,
    ) -> Self {
        let give_up_at = head.give_nodes_time(&waiter, config, time.now);
        let round = Round::new(config.quorum, lease.until, give_up_at);
        Self { round, lease, waiter: Some(waiter), kept: None }
    }

    pub(super) fn ask(&self) -> Ask {
        Ask::Set
    }

    pub(super) fn handle_grant(
        &mut self,
        head: &Head,
        node: NodeId,
        latency: Duration,
        now: Moment,
    ) {
        head.claim.note_grant(node, latency);
        self.round.handle_vote(node, Vote::Granted, now);
    }

    /// Counts anything but a plain grant.
    pub(super) fn handle_outcome(
        &mut self,
        head: &mut Head,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        now: Moment,
    ) {
        if matches!(outcome, Outcome::Lost(_)) {
            head.claim.note_adrift(node);
        }
        let (vote, error) = vote(outcome);
        match vote {
            Vote::Granted => head.claim.note_grant(node, latency),
            Vote::Refused | Vote::Failed => head.claim.note_innocent(node),
            Vote::Unknown => {}
        }
        if let Some(error) = error {
            head.notes.fail(node, error);
        }
        self.round.handle_vote(node, vote, now);
    }

    pub(super) fn handle_timeout(
        &mut self,
        head: &mut Head,
        due: Moment,
        setting: &mut Setting<'_>,
    ) {
        if self.kept.as_mut().is_some_and(|kept| kept.is_due(due)) {
            self.go_on(head, self.round.refused(), setting);
        } else {
            self.round.handle_timeout(setting.now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.waiter.as_ref()?;
        let for_nodes = (!self.round.outstanding().is_empty()).then(|| self.round.give_up_at());
        let for_votes = self.kept.as_ref().and_then(|kept| kept.poll_timeout());
        for_nodes.into_iter().chain(for_votes).min()
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.waiter.is_some()
    }

    pub(super) fn is_ripe(&self) -> bool {
        self.round.verdict().is_some() && self.waiter.is_some()
    }

    /// The verdict, once; unless the votes are kept and more are asked for.
    pub(super) fn end(&mut self, head: &mut Head, setting: &mut Setting<'_>) -> Option<Ended> {
        let verdict = self.round.verdict()?;
        self.waiter.as_ref()?;
        if verdict == Verdict::Lost(Loss::Contended) && self.keeps_votes(head, setting) {
            return None;
        }
        let waiter = self.waiter.take()?;
        let loss = match verdict {
            Verdict::Held => {
                let (lease, votes) = (self.held_for(head, setting), self.round.granted().len());
                return Some(Ended::Held { waiter, lease, votes });
            }
            Verdict::Lost(loss) => loss,
        };
        let rolls_back = self.rolls_back();
        if loss == Loss::Contended && waiter.wants_lifetimes() {
            let round = Box::new(self.round.clone());
            return Some(Ended::Refused { waiter, round, rolls_back });
        }
        let found = Box::new(head.found(loss, &self.round, None, setting));
        Some(Ended::Lost { waiter, found, rolls_back })
    }

    /// Asks `nodes` once more, for the same lease; the votes of the others stand.
    fn go_on(&mut self, head: &mut Head, nodes: NodeSet, setting: &Setting<'_>) {
        let (config, now, ttl) = (setting.config, setting.now, head.ttl);
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.is_wanted()) else { return };
        if setting.closed || self.round.verdict() == Some(Verdict::Held) {
            return;
        }
        let give_up_at = head.give_nodes_time(waiter, config, now);
        self.lease = same_lease(self.lease, config, now, ttl);
        self.round = self.round.again(self.lease.until, give_up_at);
        head.claim.may_live_until(config.lease(now, ttl).gone_by);
        suspect(&head.claim, nodes);
        head.again = head.again.union(nodes);
    }

    /// The lease of a round that was won: from before the first byte was sent.
    fn held_for(&self, head: &Head, setting: &Setting<'_>) -> Lease {
        if mutant::is(Mutant::ValidityFromTheEnd) {
            return setting.config.lease(setting.now, head.ttl);
        }
        self.lease
    }

    /// Whether what it may have set is taken back: always.
    fn rolls_back(&self) -> bool {
        if mutant::is(Mutant::KeptVotesStay) {
            return !self.kept.as_ref().is_some_and(|kept| kept.were_kept());
        }
        true
    }
}

impl Head {
    /// Gives the nodes that are asked `now` as long as the waiter's patience allows, and
    /// says until when that is.
    fn give_nodes_time(&mut self, waiter: &Waiter, config: &Config, now: Moment) -> Moment {
        let whole = now.after(config.node_timeout(self.ttl));
        self.give_up_at = waiter.give_up_at(whole, now);
        self.cut_short = self.give_up_at < whole;
        self.give_up_at
    }

    /// What is known of an attempt that was lost.
    pub(super) fn found(
        &self,
        loss: Loss,
        round: &Round,
        free_in: Option<Duration>,
        setting: &Setting<'_>,
    ) -> Found {
        let (config, now) = (setting.config, setting.now);
        let silent = self.late(round.suspects(), now);
        let tally = Tally { granted: round.granted(), refused: round.refused(), silent };
        let reports = self.reports(tally, config, now);
        Found {
            attempt: LastAttempt { began_at: self.started_at, loss, reports },
            granted: self.claim.granted().len(),
            cut_short: self.cut_short,
            // A foreign key is no holder that will be done some time: it is a failure.
            is_hopeless: self.notes.permanent() > config.quorum.spare(),
            free_in,
        }
    }
}

/// The lease of a round that goes on is the one that it began with.
fn same_lease(lease: Lease, config: &Config, now: Moment, ttl: Ttl) -> Lease {
    if mutant::is(Mutant::InsistingRestartsTheLease) {
        return config.lease(now, ttl);
    }
    lease
}

/// Notes that nodes that are asked again may set the key now.
fn suspect(claim: &Claim, nodes: NodeSet) {
    if mutant::is(Mutant::InsistingForgotten) {
        return;
    }
    nodes.iter().for_each(|node| claim.note_suspect(node));
}
