//! One vote count: from "all nodes were asked" to a verdict that never changes.
//!
//! The same count serves acquire, extend and release. It decides as soon as the
//! answers that are still missing cannot change the outcome: held at the
//! quorum-th grant, lost when too few can still grant. It never sends anything
//! and never waits; a verdict is not the end of the caller's duties, since
//! [`Round::suspects`] may hold the key after a loss and must be released.

use super::{Moment, NodeId, NodeSet, Quorum};
use crate::mutant::{self, Mutant};

/// One node's answer, or the lack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    /// The node did what was asked.
    Granted,
    /// The node said no: another's value is at the key, or ours is not.
    Refused,
    /// The node surely did not do it, and not because of another client: it answered
    /// an error, or the request was never sent.
    Failed,
    /// The node may have done it: it timed out, or the connection broke. This is
    /// never a "no".
    Unknown,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A quorum granted in time.
    Held,
    /// No quorum granted, or it did so too late.
    Lost(Loss),
}

/// Why a round was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Without the refusals, the round could have been won.
    Contended,
    /// The failures alone made a quorum impossible.
    NoQuorum,
    /// A quorum granted when no validity was left.
    Expired,
}

/// One vote count over the nodes of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    quorum: Quorum,
    valid_until: Moment,
    give_up_at: Moment,
    granted: NodeSet,
    refused: NodeSet,
    failed: NodeSet,
    unknown: NodeSet,
    verdict: Option<Verdict>,
}

impl Round {
    /// A round that must reach its quorum before `valid_until`, and waits for
    /// answers until `give_up_at`.
    pub(crate) const fn new(quorum: Quorum, valid_until: Moment, give_up_at: Moment) -> Self {
        Self {
            quorum,
            valid_until,
            give_up_at,
            granted: NodeSet::EMPTY,
            refused: NodeSet::EMPTY,
            failed: NodeSet::EMPTY,
            unknown: NodeSet::EMPTY,
            verdict: None,
        }
    }

    /// The same count once more, for `nodes` that refused; the votes of the others stand.
    /// It waits for answers until `give_up_at`.
    pub(crate) fn again(&self, nodes: NodeSet, valid_until: Moment, give_up_at: Moment) -> Self {
        let refused = self.refused.minus(nodes);
        Self { valid_until, give_up_at, refused, verdict: None, ..self.clone() }
    }

    /// Gives the round another deadline, and another time to give up.
    pub(crate) fn put_off(&mut self, valid_until: Moment, give_up_at: Moment) {
        (self.valid_until, self.give_up_at) = (valid_until, give_up_at);
    }

    /// Counts `vote`. A node's first definite answer stands: it may only settle an
    /// earlier [`Vote::Unknown`]. After the verdict a vote still says which nodes are
    /// suspects, and changes nothing more.
    pub(crate) fn handle_vote(&mut self, node: NodeId, vote: Vote, now: Moment) {
        let definite = self.granted.union(self.refused).union(self.failed);
        if node.index() >= self.quorum.nodes() || definite.contains(node) {
            return;
        }
        self.unknown.remove(node);
        match vote {
            Vote::Granted => self.granted.insert(node),
            Vote::Refused => self.refused.insert(node),
            Vote::Failed => self.failed.insert(node),
            Vote::Unknown => self.unknown.insert(node),
        }
        self.decide(now);
    }

    /// Ends the wait for answers when `now` is past the round's timeout.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        if now < self.give_up_at {
            return;
        }
        self.unknown = self.unknown.union(self.outstanding());
        self.decide(now);
    }

    /// Ends the wait for nodes that have not answered, where others have split their votes.
    pub(crate) fn pass_over(&mut self, now: Moment) {
        self.unknown = self.unknown.union(self.outstanding());
        self.decide(now);
    }

    /// Gives the round up after a refusal, where the nodes in `unasked` were not asked.
    pub(crate) fn concede(&mut self, unasked: NodeSet) {
        self.failed = self.failed.union(unasked);
        self.verdict.get_or_insert(Verdict::Lost(Loss::Contended));
    }

    /// How many nodes must grant.
    pub(crate) fn votes(&self) -> usize {
        self.quorum.votes()
    }

    /// Until when it waits for answers.
    pub(crate) const fn give_up_at(&self) -> Moment {
        self.give_up_at
    }

    /// When to call [`Self::handle_timeout`]; `None` once nothing is awaited.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        (self.verdict.is_none() && !self.outstanding().is_empty()).then_some(self.give_up_at)
    }

    /// The outcome. Once there is one, it never changes.
    #[must_use]
    pub(crate) const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// The nodes that may have done what was asked: all but those that said no and
    /// those that surely failed. After a loss, the key must be released on each.
    #[must_use]
    pub(crate) fn suspects(&self) -> NodeSet {
        NodeSet::first(self.quorum.nodes()).minus(self.refused).minus(self.failed)
    }

    pub(crate) const fn granted(&self) -> NodeSet {
        self.granted
    }

    pub(crate) const fn refused(&self) -> NodeSet {
        self.refused
    }

    /// The nodes that have neither answered nor been given up.
    pub(crate) fn outstanding(&self) -> NodeSet {
        self.suspects().minus(self.granted).minus(self.unknown)
    }

    fn decide(&mut self, now: Moment) {
        if self.verdict.is_some() {
            return;
        }
        let needed = self.votes_needed();
        if self.granted.len() >= needed {
            self.verdict = Some(self.won(now));
        } else if self.granted.union(self.outstanding()).len() < needed {
            self.verdict = Some(Verdict::Lost(self.loss()));
        }
    }

    /// How many nodes must grant.
    fn votes_needed(&self) -> usize {
        if mutant::is(Mutant::QuorumOfTheReachable) {
            return Quorum::majority(self.quorum.nodes().saturating_sub(self.failures()));
        }
        self.quorum.votes()
    }

    /// How many nodes surely failed or gave no answer.
    fn failures(&self) -> usize {
        self.failed.union(self.unknown).len()
    }

    /// The verdict on a quorum that is complete `now`.
    fn won(&self, now: Moment) -> Verdict {
        if now < self.valid_until { Verdict::Held } else { Verdict::Lost(Loss::Expired) }
    }

    /// Why a quorum is out of reach.
    fn loss(&self) -> Loss {
        if mutant::is(Mutant::SilenceIsContention) {
            return Loss::Contended;
        }
        if self.failures() > self.quorum.spare() { Loss::NoQuorum } else { Loss::Contended }
    }
}
