//! The numbers of one fenced attempt: what nodes have told of their fences, and when it goes on
//! with a higher number.
//!
//! All votes that are counted are for one number. So with a higher one, all nodes are asked anew;
//! one that still owes the answer to an earlier number is asked when it has answered. Where votes are
//! kept, only those who refused are asked again, with the number that they have not noted.

use std::time::Duration;

use super::{
    Attempt, Head, Setting,
    attempt::{same_lease, suspect},
};
use crate::{
    exchange::{Answer, Outcome},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Loss, Moment, NodeId, NodeSet, Number, Quorum, Round, Vote},
};

/// So many times an attempt goes on with a higher number since its own was too low. By then others
/// are raising the fence, and it counts as refused by those.
const MOST_RAISES: u8 = 2;

/// What is known of the fences, and of what the attempt's numbers may have set.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    /// The highest fence that each node has told of.
    fences: Vec<Told>,
    /// The nodes that refuse the present number, and not for another's value.
    stale: NodeSet,
    /// The nodes that will answer to an earlier number.
    owes: NodeSet,
    /// The nodes that may have the key by an earlier number.
    may_have: NodeSet,
    raises: u8,
    /// When nodes were last asked with a higher number.
    raised_at: Option<Moment>,
}

/// A fence that a node has told of.
#[derive(Clone, Copy, Debug)]
struct Told {
    node: NodeId,
    fence: u64,
    /// Whether it is over an hour ahead of our clock, or the last that there can be: that is
    /// believed only where a quorum of nodes says so.
    is_ahead: bool,
}

impl Fencing {
    /// Notes which fence the node tells of, if it does.
    fn note(&mut self, node: NodeId, outcome: &Outcome, setting: &mut Setting<'_>) {
        let fence = match outcome {
            Outcome::Answered(Answer::Stale(fence)) => *fence,
            Outcome::Answered(Answer::Locked(fence)) => {
                self.may_have.remove(node);
                *fence
            }
            _ => return,
        };
        let is_ahead = fence >= Number::LAST || setting.numbers.is_ahead(fence, setting.now);
        self.fences.retain(|told| told.node != node);
        self.fences.push(Told { node, fence, is_ahead });
        if let Some(by) = setting.numbers.is_off_by(fence, setting.now) {
            tracing::warn!(
                ?by,
                "this host's clock is behind a fencing number that a node has seen: set the clocks, \
                 until then an acquire may take a round trip more"
            );
        }
    }

    /// Whether one of these nodes has told of a fence that is not below `number`.
    fn is_reached(&self, number: Option<Number>, nodes: NodeSet) -> bool {
        let number = number.map_or(0, Number::get);
        self.fences.iter().any(|told| nodes.contains(told.node) && told.fence >= number)
    }

    /// The nodes whose fence is not believed.
    fn doubted(&self, quorum: Quorum) -> NodeSet {
        let ahead = self.fences.iter().filter(|told| told.is_ahead);
        let ahead = ahead.fold(NodeSet::EMPTY, |nodes, told| nodes.with(told.node));
        if ahead.len() >= quorum.votes() { NodeSet::EMPTY } else { ahead }
    }

    /// The highest fence that is believed.
    fn highest(&self, quorum: Quorum) -> u64 {
        let doubted = self.doubted(quorum);
        let believed = self.fences.iter().filter(|told| !doubted.contains(told.node));
        believed.map(|told| told.fence).max().unwrap_or(0)
    }
}

impl Attempt {
    /// Counts what a node has answered to a number.
    pub(super) fn handle_fenced(
        &mut self,
        head: &mut Head,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        setting: &mut Setting<'_>,
    ) {
        if self.takes_owed(head, node, &outcome, setting) {
            return;
        }
        if outcome.is_grant() {
            self.note_may_have(node, Vote::Granted);
            return self.handle_grant(head, node, latency, setting.now);
        }
        self.handle_outcome(head, node, outcome, latency, setting);
    }

    /// Takes the answer of a node to an earlier number, if it is one. That is no vote for the
    /// present one: the node is asked again, whatever the count has come to so far.
    fn takes_owed(
        &mut self,
        head: &mut Head,
        node: NodeId,
        outcome: &Outcome,
        setting: &mut Setting<'_>,
    ) -> bool {
        let Some(fencing) = &mut self.fencing else { return false };
        fencing.note(node, outcome, setting);
        if !fencing.owes.contains(node) {
            return false;
        }
        fencing.owes.remove(node);
        match outcome {
            Outcome::Answered(Answer::Granted) if mutant::is(Mutant::OwedIsCounted) => {
                return false;
            }
            Outcome::Answered(Answer::Granted) if mutant::is(Mutant::EarlierVotesStay) => {
                head.claim.note_innocent(node);
            }
            Outcome::Answered(Answer::Granted) => fencing.may_have.insert(node),
            Outcome::Answered(answer) if answer.is_refusal() => {}
            _ => return false,
        }
        if self.waiter.is_some() {
            head.again.insert(node);
        }
        true
    }

    /// Asks a node with the present number that was asked what it has when that was chosen.
    pub(super) fn takes_look(&mut self, head: &mut Head, node: NodeId) {
        let is_on = self.waiter.is_some();
        if let Some(fencing) = &mut self.fencing
            && fencing.owes.contains(node)
        {
            fencing.owes.remove(node);
            if is_on {
                head.again.insert(node);
            }
        }
    }

    /// What a vote comes to where numbers are compared, and which error it is then.
    pub(super) fn weigh(
        &mut self,
        node: NodeId,
        outcome: &Outcome,
        setting: &mut Setting<'_>,
    ) -> Option<(Vote, NodeError)> {
        let fencing = self.fencing.as_mut()?;
        match outcome {
            Outcome::Answered(Answer::Stale(fence)) => {
                fencing.stale.insert(node);
                if !fencing.fences.iter().any(|told| told.node == node && told.is_ahead) {
                    return None;
                }
                let is_last = *fence >= Number::LAST;
                let kind =
                    if is_last { NodeErrorKind::NumbersUsedUp } else { NodeErrorKind::ClockAhead };
                Some((Vote::Failed, NodeError::new(kind)))
            }
            Outcome::Answered(Answer::Failed(error))
                if error.kind() == NodeErrorKind::ClockAhead =>
            {
                setting.numbers.forget_last();
                None
            }
            _ => None,
        }
    }

    /// Notes whether the node may have the key now, whatever it answers to a later number.
    pub(super) fn note_may_have(&mut self, node: NodeId, vote: Vote) {
        if mutant::is(Mutant::EarlierVotesStay) {
            return;
        }
        if let Some(fencing) = &mut self.fencing
            && matches!(vote, Vote::Granted | Vote::Unknown)
        {
            fencing.may_have.insert(node);
        }
    }

    /// Whether an earlier number may have set the key at `node`.
    pub(super) fn may_have(&self, node: NodeId) -> bool {
        self.fencing.as_ref().is_some_and(|fencing| fencing.may_have.contains(node))
    }

    /// These nodes are asked with the present number, and owe no earlier one's answer.
    pub(super) fn note_put(&mut self, nodes: NodeSet) {
        if let Some(fencing) = &mut self.fencing {
            fencing.owes = fencing.owes.minus(nodes);
        }
    }

    /// Whether one of these nodes has told of a fence that the present number does not pass.
    pub(super) fn is_passed_by(&self, head: &Head, nodes: NodeSet) -> bool {
        self.fencing.as_ref().is_some_and(|fencing| fencing.is_reached(head.number, nodes))
    }

    /// Goes on with a higher number where a quorum of nodes would grant it, and has not granted
    /// the present one. Says whether it does.
    pub(super) fn goes_higher(
        &mut self,
        loss: Loss,
        head: &mut Head,
        setting: &mut Setting<'_>,
    ) -> bool {
        let quorum = setting.config.quorum;
        let Some(fencing) = &mut self.fencing else { return false };
        let granted = self.round.granted();
        let stale = fencing.stale.minus(fencing.doubted(quorum));
        let mut would = granted.union(stale);
        // With an even number of nodes, fewer than a quorum decide that it is lost.
        if self.round.refused().minus(stale).is_empty() {
            would = would.union(self.round.outstanding());
        }
        if mutant::is(Mutant::NoHigherNumber)
            || loss == Loss::Expired
            || granted.len() >= quorum.votes()
            || would.len() < quorum.votes()
            || fencing.raises >= MOST_RAISES
            || setting.now >= head.give_up_at
        {
            return false;
        }
        fencing.raises = fencing.raises.saturating_add(1);
        self.raise(head, setting)
    }

    /// Whether nodes had half a node timeout to answer to a higher number: then who has not is
    /// silent, whoever else wanted the lock.
    pub(super) fn had_time_for_the_next(&self, head: &Head, setting: &Setting<'_>) -> bool {
        let half = setting.config.node_timeout(head.ttl) / 2;
        let raised_at = self.fencing.as_ref().and_then(|fencing| fencing.raised_at);
        raised_at.is_some_and(|at| setting.now.since(at) >= half)
    }

    /// Asks all nodes with a number above all that were told of, for the same lease. Says whether
    /// there is anything to wait for.
    pub(super) fn raise(&mut self, head: &mut Head, setting: &mut Setting<'_>) -> bool {
        let (config, now, ttl) = (setting.config, setting.now, head.ttl);
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.is_wanted()) else {
            return false;
        };
        let Some(fencing) = &mut self.fencing else { return false };
        let seen = fencing.highest(config.quorum).max(head.number.map_or(0, Number::get));
        // What may still arrive over a dead connection must not be followed by more.
        let lost = head.claim.adrift();
        let asked = NodeSet::first(config.quorum.nodes()).minus(lost);
        if setting.closed || asked.len() < config.quorum.votes() {
            return false;
        }
        let Some(number) = setting.numbers.propose(seen, now) else { return false };
        head.claim.note_sent(number);
        head.number = Some(number);
        fencing.raised_at = Some(now);
        fencing.stale.union(self.round.refused()).iter().for_each(|node| head.notes.refuse(node));
        fencing.stale = NodeSet::EMPTY;
        fencing.owes = asked.and(head.awaited);
        let give_up_at = head.give_nodes_time(waiter, config, now);
        self.lease = same_lease(self.lease, config, now, ttl);
        self.round = self.round_for_the_next(give_up_at, asked, config.quorum);
        lost.iter().for_each(|node| self.round.handle_vote(node, Vote::Unknown, now));
        (self.unasked, self.silent_by) = (NodeSet::EMPTY, None);
        head.claim.may_live_until(config.lease(now, ttl).gone_by);
        head.claim.forget_votes(NodeSet::first(config.quorum.nodes()));
        suspect(&head.claim, asked);
        head.again = head.again.union(asked.minus(head.awaited));
        self.round.verdict().is_none()
    }

    /// The count of votes for a higher number: none stands.
    fn round_for_the_next(&self, give_up_at: Moment, asked: NodeSet, quorum: Quorum) -> Round {
        if mutant::is(Mutant::NumbersAreMixed) {
            return self.round.again(asked, self.lease.until, give_up_at);
        }
        Round::new(quorum, self.lease.until, give_up_at)
    }
}
