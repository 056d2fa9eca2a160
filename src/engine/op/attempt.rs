//! One attempt to acquire: one round, or several after a split vote, and what it came to.
//! `again` decides on a further attempt.

use std::time::Duration;

use super::{Ended, Head, KeptVotes, Setting, fencing::Fencing, split::round_trip, vote::vote};
use crate::{
    claim::Claim,
    config::Config,
    engine::{Time, pacing::LATE, waiter::Waiter},
    exchange::{Answer, Ask, Outcome},
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
    /// The numbers of a fenced attempt.
    pub(super) fencing: Option<Box<Fencing>>,
    /// The nodes that are asked when the home node has granted, or is silent.
    pub(super) unasked: NodeSet,
    /// Nodes that have not answered by then are not waited for: the home node, or
    /// those that alone could still decide between votes that are split.
    pub(super) silent_by: Option<Moment>,
    /// Whether that was put off already, since this client came late itself.
    was_late: bool,
}

impl Attempt {
    /// Begins with `first`, and goes on with the other nodes when those have granted.
    pub(in crate::engine) fn new(
        head: &mut Head,
        waiter: Box<Waiter>,
        first: NodeSet,
        lease: Lease,
        time: Time,
        config: &Config,
    ) -> Self {
        let give_up_at = head.give_nodes_time(&waiter, config, time.now);
        let round = Round::new(config.quorum, lease.until, give_up_at);
        let unasked = NodeSet::first(config.quorum.nodes()).minus(first);
        let mut silent_by = None;
        if !unasked.is_empty() {
            unasked.iter().for_each(|node| head.claim.note_innocent(node));
            // The others must have time to answer, too.
            let most = give_up_at.since(time.now) / 3;
            silent_by = Some(time.now.after(waiter.silence().min(most)));
        }
        let fencing = head.number.map(|_| Box::default());
        let (kept, was_late) = (None, false);
        Self { round, lease, waiter: Some(waiter), kept, fencing, unasked, silent_by, was_late }
    }

    pub(super) fn ask(&self) -> Ask {
        if self.fencing.is_some() { Ask::SetFenced } else { Ask::Set }
    }

    pub(super) fn handle_grant(
        &mut self,
        head: &mut Head,
        node: NodeId,
        latency: Duration,
        now: Moment,
    ) {
        head.claim.note_grant(node, latency);
        self.round.handle_vote(node, Vote::Granted, now);
        if !self.unasked.is_empty() {
            self.ask_the_rest(head);
        } else if !self.round.refused().is_empty() {
            self.mind_the_silent(head, now);
        }
    }

    /// Counts anything but a plain grant.
    pub(super) fn handle_outcome(
        &mut self,
        head: &mut Head,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        setting: &mut Setting<'_>,
    ) {
        let now = setting.now;
        if matches!(outcome, Outcome::Lost(_)) {
            head.claim.note_adrift(node, head.number);
        }
        let weighed = self.weigh(node, &outcome, setting);
        let is_stale = matches!(outcome, Outcome::Answered(Answer::Stale(_)));
        let (vote, error) = match weighed {
            Some((vote, error)) => (vote, Some(error)),
            None => vote(outcome),
        };
        match vote {
            Vote::Granted => head.claim.note_grant(node, latency),
            Vote::Refused | Vote::Failed if !self.may_have(node) => head.claim.note_innocent(node),
            Vote::Refused | Vote::Failed | Vote::Unknown => {}
        }
        self.note_may_have(node, vote);
        if let Some(error) = error {
            head.notes.fail(node, error);
        }
        self.round.handle_vote(node, vote, now);
        if self.unasked.is_empty() {
            self.mind_the_silent(head, now);
        } else if is_stale && self.raise(head, setting) {
            // The home node's fence is known now, and all are asked with a number above it.
        } else if vote == Vote::Refused {
            self.round.concede(self.unasked);
        } else {
            self.ask_the_rest(head);
        }
    }

    /// The home node has granted, or can't answer: all others are asked, with the lease
    /// that began with the first byte.
    fn ask_the_rest(&mut self, head: &mut Head) {
        let rest = std::mem::take(&mut self.unasked);
        self.silent_by = None;
        suspect(&head.claim, rest);
        head.again = head.again.union(rest);
    }

    /// Where votes are split and a quorum has answered, the rest is not waited for as
    /// long as a node timeout: the others know as much, and settle it.
    fn mind_the_silent(&mut self, head: &Head, now: Moment) {
        let answered = self.round.granted().union(self.round.refused()).len();
        let is_split = !self.round.granted().is_empty() && !self.round.refused().is_empty();
        let may = self.silent_by.is_none() && self.round.verdict().is_none();
        if may && is_split && answered >= self.round.votes() {
            let took = self.kept.as_ref().map(|kept| kept.took);
            let took = took.unwrap_or_else(|| round_trip(now.since(head.started_at)));
            self.silent_by = Some(now.after(took).min(self.round.give_up_at()));
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        head: &mut Head,
        due: Moment,
        setting: &mut Setting<'_>,
    ) {
        if let Some(by) = self.silent_by.take_if(|by| *by <= due)
            && !self.is_late_itself(by, setting.now)
        {
            if head.had_time(by) {
                head.silent = self.round.outstanding().minus(self.unasked);
            }
            if self.unasked.is_empty() {
                return self.round.pass_over(setting.now);
            }
            self.ask_the_rest(head);
        }
        if let Some(kept) = &mut self.kept {
            kept.handle_timeout(head, &self.round, due, setting.now);
        }
        if setting.now >= self.round.give_up_at() && !head.cut_short {
            head.silent = self.round.outstanding().minus(self.unasked);
        }
        self.round.handle_timeout(setting.now);
    }

    /// Whether this client comes so late that it can't tell a node that is silent from one
    /// whose answer it has not read yet: it gives the node another round trip then, once.
    fn is_late_itself(&mut self, by: Moment, now: Moment) -> bool {
        let is_late = now.since(by) > LATE && now < self.round.give_up_at();
        if mutant::is(Mutant::LateIsSilent) || !is_late || self.was_late {
            return false;
        }
        self.was_late = true;
        self.silent_by = Some(now.after(round_trip(Duration::ZERO)).min(self.round.give_up_at()));
        true
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.waiter.as_ref()?;
        let for_nodes = (!self.round.outstanding().is_empty()).then(|| self.round.give_up_at());
        let for_votes = self.kept.as_ref().and_then(|kept| kept.poll_timeout());
        for_nodes.into_iter().chain(for_votes).chain(self.silent_by).min()
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.waiter.is_some()
    }

    /// Whether there may be a verdict to act on, or a time to be filed.
    pub(super) fn is_ripe(&self) -> bool {
        match self.waiter {
            Some(_) => self.round.verdict().is_some() || self.silent_by.is_some(),
            None => self.must_take_back(),
        }
    }

    /// The verdict, once; unless the votes are kept and more are asked for.
    pub(super) fn end(&mut self, head: &mut Head, setting: &mut Setting<'_>) -> Option<Ended> {
        let mut verdict = self.round.verdict()?;
        if self.waiter.is_none() {
            return self.take_found_back();
        }
        self.silent_by = None;
        if let Verdict::Lost(loss) = verdict
            && self.goes_higher(loss, head, setting)
        {
            return None;
        }
        if verdict == Verdict::Lost(Loss::Contended) {
            if self.keeps_votes(head, setting) {
                return None;
            }
            verdict = self.round.verdict()?;
        }
        let waiter = self.waiter.take()?;
        match verdict {
            Verdict::Held => {
                let (lease, votes) = (self.held_for(head, setting), self.round.granted().len());
                Some(Ended::Held { waiter, lease, votes })
            }
            Verdict::Lost(loss) => Some(self.lose(waiter, loss, head, setting)),
        }
    }

    /// Out of the way of those that win.
    #[inline(never)]
    fn lose(
        &self,
        mut waiter: Box<Waiter>,
        loss: Loss,
        head: &mut Head,
        setting: &Setting<'_>,
    ) -> Ended {
        if self.kept.is_none() && self.had_time_for_the_next(head, setting) {
            head.cut_short = false;
        }
        // Votes were split, or others had larger numbers. That a node had no time to say so again
        // is no news.
        let is_no_news = loss == Loss::NoQuorum
            && (self.kept.is_some() || head.notes.has_refusals())
            && head.cut_short
            && head.notes.errors() <= setting.config.quorum.spare();
        let loss = if is_no_news { Loss::Contended } else { loss };
        // What came after the first verdict are pauses, too.
        let took = self.kept.as_ref().map(|kept| kept.took);
        waiter.learn(&self.round, took.unwrap_or_else(|| setting.now.since(head.started_at)));
        waiter.heard_one = !self.unasked.is_empty();
        let rolls_back = self.rolls_back();
        if loss == Loss::Contended && waiter.wants_look() && setting.now < head.give_up_at {
            let round = Box::new(self.round.clone());
            return Ended::Refused { waiter, round, rolls_back };
        }
        let found = Box::new(head.found(loss, &self.round, None, setting));
        Ended::Lost { waiter, found, rolls_back }
    }

    /// Asks `nodes` once more, for the same lease; the votes of the others stand.
    pub(super) fn go_on(&mut self, head: &mut Head, nodes: NodeSet, setting: &mut Setting<'_>) {
        if self.is_passed_by(head, nodes) {
            self.raise(head, setting);
            return;
        }
        let (config, now, ttl) = (setting.config, setting.now, head.ttl);
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.is_wanted()) else { return };
        if setting.closed || self.round.verdict() == Some(Verdict::Held) {
            return;
        }
        let give_up_at = head.give_nodes_time(waiter, config, now);
        self.lease = same_lease(self.lease, config, now, ttl);
        self.round = self.round.again(nodes, self.lease.until, give_up_at);
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

/// The lease of a round that goes on is the one that it began with.
pub(super) fn same_lease(lease: Lease, config: &Config, now: Moment, ttl: Ttl) -> Lease {
    if mutant::is(Mutant::InsistingRestartsTheLease) {
        return config.lease(now, ttl);
    }
    lease
}

/// Notes that nodes that are asked again may set the key now.
pub(super) fn suspect(claim: &Claim, nodes: NodeSet) {
    if mutant::is(Mutant::InsistingForgotten) {
        return;
    }
    nodes.iter().for_each(|node| claim.note_suspect(node));
}
