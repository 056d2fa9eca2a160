//! The numbers of one fenced attempt: what nodes have told of their fences, and when it goes on
//! with a higher number.
//!
//! All votes that are counted are for one number. So with a higher one, all nodes are asked anew;
//! one that still owes the answer to an earlier number is asked when it has answered. No message
//! is sent twice with one number.

use std::time::Duration;

use super::{
    Attempt, Head, Setting,
    attempt::{same_lease, suspect},
};
use crate::{
    exchange::{Answer, Outcome},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, NodeSet, Number, Quorum, Round, Vote},
};

/// So many times an attempt goes on with a higher number since its own was too low. By then others
/// are raising the fence, and it counts as refused by those.
const MOST_RAISES: u8 = 2;

/// What is known of the fences, and of what the attempt's numbers may have set.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    /// The highest fence that each node has told of.
    fences: Vec<(NodeId, u64)>,
    /// The nodes that refuse the present number, and not for another's value.
    stale: NodeSet,
    /// The nodes whose fence is over an hour ahead of our clock.
    ahead: NodeSet,
    /// The nodes that will answer to an earlier number.
    owes: NodeSet,
    /// The nodes that may have the key by an earlier number.
    may_have: NodeSet,
    raises: u8,
}

impl Fencing {
    /// Notes which fence the node tells of, if it does.
    fn note(&mut self, node: NodeId, outcome: &Outcome) {
        let fence = match outcome {
            Outcome::Answered(Answer::Stale(fence)) => *fence,
            Outcome::Answered(Answer::Locked(fence)) => {
                self.may_have.remove(node);
                *fence
            }
            _ => return,
        };
        self.fences.retain(|(other, _)| *other != node);
        self.fences.push((node, fence));
    }

    /// Whether one of these nodes has told of a fence that is not below `number`.
    fn is_reached(&self, number: Option<Number>, nodes: NodeSet) -> bool {
        let number = number.map_or(0, Number::get);
        self.fences.iter().any(|(node, fence)| nodes.contains(*node) && *fence >= number)
    }

    /// The highest fence that is believed: one that is far ahead of our clock only where a quorum
    /// of nodes has such.
    fn highest(&self, quorum: Quorum) -> u64 {
        let is_believed = self.ahead.len() >= quorum.votes();
        let fences = self.fences.iter();
        let fences = fences.filter(|(node, _)| is_believed || !self.ahead.contains(*node));
        fences.map(|(_, fence)| *fence).max().unwrap_or(0)
    }

    /// The nodes that would grant a higher number.
    fn would_grant(&self, granted: NodeSet, quorum: Quorum) -> NodeSet {
        let is_believed = self.ahead.len() >= quorum.votes();
        let stale = if is_believed { self.stale.union(self.ahead) } else { self.stale };
        granted.union(stale)
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
        if self.takes_owed(head, node, &outcome) {
            return;
        }
        if outcome.is_grant() {
            self.note_may_have(node, Vote::Granted);
            return self.handle_grant(head, node, latency, setting.now);
        }
        self.handle_outcome(head, node, outcome, latency, setting);
    }

    /// Takes the answer of a node to an earlier number, if it is one: the node is asked again.
    fn takes_owed(&mut self, head: &mut Head, node: NodeId, outcome: &Outcome) -> bool {
        let Some(fencing) = &mut self.fencing else { return false };
        fencing.note(node, outcome);
        if !fencing.owes.contains(node) {
            return false;
        }
        fencing.owes.remove(node);
        let has_answered = match outcome {
            Outcome::Answered(Answer::Granted) => {
                fencing.may_have.insert(node);
                true
            }
            Outcome::Answered(answer) => answer.is_refusal(),
            _ => false,
        };
        let goes_on = has_answered && self.waiter.is_some() && self.round.verdict().is_none();
        if goes_on {
            head.again.insert(node);
        }
        goes_on
    }

    /// Asks a node with the present number that was asked what it has when that was chosen.
    pub(super) fn takes_look(&mut self, head: &mut Head, node: NodeId) {
        let is_on = self.waiter.is_some() && self.round.verdict().is_none();
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
            Outcome::Answered(Answer::Stale(Number::LAST..)) => {
                Some((Vote::Failed, NodeError::new(NodeErrorKind::NumbersUsedUp)))
            }
            Outcome::Answered(Answer::Stale(fence)) => {
                if setting.numbers.is_ahead(*fence, setting.now) {
                    fencing.ahead.insert(node);
                    return Some((Vote::Failed, NodeError::new(NodeErrorKind::ClockAhead)));
                }
                fencing.stale.insert(node);
                None
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

    /// Goes on with a higher number where a quorum of nodes would grant it. Says whether it does.
    pub(super) fn goes_higher(&mut self, head: &mut Head, setting: &mut Setting<'_>) -> bool {
        let quorum = setting.config.quorum;
        let Some(fencing) = &mut self.fencing else { return false };
        let would = fencing.would_grant(self.round.granted(), quorum).len();
        if would < quorum.votes() || fencing.raises >= MOST_RAISES || setting.now >= head.give_up_at
        {
            return false;
        }
        fencing.raises = fencing.raises.saturating_add(1);
        self.raise(head, setting)
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
        if setting.closed {
            return false;
        }
        let Some(number) = setting.numbers.propose(seen, now) else { return false };
        head.claim.note_sent(number);
        head.number = Some(number);
        // What may still arrive over a dead connection must not be followed by more.
        let lost = head.claim.adrift();
        let asked = NodeSet::first(config.quorum.nodes()).minus(lost);
        (fencing.stale, fencing.ahead) = Default::default();
        fencing.owes = asked.and(head.awaited);
        let give_up_at = head.give_nodes_time(waiter, config, now);
        self.lease = same_lease(self.lease, config, now, ttl);
        self.round = self.round_for_the_next(give_up_at, asked, config.quorum);
        lost.iter().for_each(|node| self.round.handle_vote(node, Vote::Unknown, now));
        (self.unasked, self.silent_by) = (NodeSet::EMPTY, None);
        head.claim.may_live_until(config.lease(now, ttl).gone_by);
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
