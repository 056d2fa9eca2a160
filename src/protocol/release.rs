//! Counts the answers to a release: what to tell the caller, and which nodes still owe
//! an answer.
//!
//! A release asks only nodes that may hold the key. The caller gets a verdict when the
//! outcome is certain, mostly after a majority of answers, or when all the answers
//! that can come have come. The caller does not wait for answers that are owed after
//! that.

use super::{NodeId, NodeSet, Quorum, Vote};
use crate::mutant::{self, Mutant};

/// How a release ended: what the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseVerdict {
    /// A majority of the nodes is known not to hold the key any more.
    Released,
    /// Fewer nodes than a quorum still had the key: the lock had ended before.
    AlreadyExpired,
    /// Too few nodes answered to know.
    Unconfirmed,
}

/// One release over the nodes of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    quorum: Quorum,
    asked: NodeSet,
    /// The nodes that are known to have had the key.
    had: NodeSet,
    deleted: NodeSet,
    absent: NodeSet,
    failed: NodeSet,
    /// The nodes that may have deleted the key without an answer reaching us.
    unheard: NodeSet,
    verdict: Option<ReleaseVerdict>,
}

impl Release {
    /// A release of a key that only the nodes in `asked` may hold. Those in `had` are
    /// known to have held it; `had` is empty if another client acquired the lock. If
    /// there is no node to ask, the release is decided at once.
    pub(crate) fn new(quorum: Quorum, asked: NodeSet, had: NodeSet) -> Self {
        let had = if had.is_empty() { asked } else { had };
        let empty = NodeSet::EMPTY;
        let mut release = Self {
            quorum,
            asked,
            had,
            deleted: empty,
            absent: empty,
            failed: empty,
            unheard: empty,
            verdict: None,
        };
        if asked.is_empty() {
            release.decide();
        }
        release
    }

    /// Counts a node's answer: [`Vote::Granted`] for "deleted",
    /// [`Vote::Refused`] for "not there". A node that failed may still answer
    /// later; a definite answer stands.
    pub(crate) fn handle_vote(&mut self, node: NodeId, vote: Vote) {
        if !self.unconfirmed().contains(node) {
            return;
        }
        match vote {
            Vote::Granted => self.deleted.insert(node),
            // The key is gone, and an earlier request of ours may be why.
            Vote::Refused if self.unheard.and(self.had).contains(node) => self.deleted.insert(node),
            Vote::Refused => self.absent.insert(node),
            Vote::Failed => self.failed.insert(node),
            Vote::Unknown => {
                self.failed.insert(node);
                self.unheard.insert(node);
            }
        }
        self.decide_if_certain();
    }

    /// Notes that a node may have deleted the key, and is asked again.
    pub(crate) fn note_unheard(&mut self, node: NodeId) {
        self.unheard.insert(node);
    }

    /// Takes a node out of the count: the acquire was never sent there, so the
    /// node has nothing of ours, and the release is not sent there either. A
    /// definite answer stands.
    pub(crate) fn handle_withdrawn(&mut self, node: NodeId) {
        if !self.unconfirmed().contains(node) {
            return;
        }
        self.asked.remove(node);
        self.had.remove(node);
        self.decide_if_certain();
    }

    /// Ends the caller's wait.
    pub(crate) fn handle_timeout(&mut self) {
        self.decide();
    }

    /// The outcome for the caller. Once there is one, it never changes.
    #[must_use]
    pub(crate) const fn verdict(&self) -> Option<ReleaseVerdict> {
        self.verdict
    }

    /// The nodes that may still hold the key.
    #[must_use]
    pub(crate) const fn unconfirmed(&self) -> NodeSet {
        self.asked.minus(self.deleted).minus(self.absent)
    }

    pub(crate) const fn deleted(&self) -> NodeSet {
        self.deleted
    }

    pub(crate) const fn absent(&self) -> NodeSet {
        self.absent
    }

    fn decide_if_certain(&mut self) {
        if self.verdict.is_some() {
            return;
        }
        let votes = self.quorum.votes();
        let at_most = || self.deleted.union(self.unconfirmed()).len();
        let certain = self.deleted.len() >= votes || at_most() < votes;
        if certain || self.unconfirmed().minus(self.failed).is_empty() {
            self.decide();
        }
    }

    fn decide(&mut self) {
        if self.verdict.is_some() {
            return;
        }
        self.verdict = Some(if !self.was_held() {
            ReleaseVerdict::AlreadyExpired
        } else if self.is_free() {
            ReleaseVerdict::Released
        } else {
            ReleaseVerdict::Unconfirmed
        });
    }

    /// Whether a quorum still had the key when it was released.
    fn was_held(&self) -> bool {
        if mutant::is(Mutant::ExpiredIsReleased) {
            return true;
        }
        // A node that does not answer still had the key, if it ever did.
        let still_had_it = self.deleted.union(self.unconfirmed().and(self.had)).len();
        still_had_it >= self.quorum.votes()
    }

    /// Whether a quorum is known not to hold the key any more.
    fn is_free(&self) -> bool {
        if mutant::is(Mutant::UnconfirmedIsReleased) {
            return true;
        }
        let free = self.quorum.nodes().saturating_sub(self.unconfirmed().len());
        free >= self.quorum.votes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(nodes: usize, asked: usize, votes: &[Vote]) -> Release {
        let quorum = Quorum::new(nodes, Quorum::majority(nodes)).unwrap();
        let mut release = Release::new(quorum, NodeSet::first(asked), NodeSet::EMPTY);
        for (node, vote) in NodeId::all(nodes).zip(votes) {
            release.handle_vote(node, *vote);
        }
        release
    }

    #[test]
    fn it_is_decided_when_it_is_certain() {
        use ReleaseVerdict::{AlreadyExpired, Released};
        use Vote::{Granted as D, Refused as A};
        for (votes, verdict) in [
            (&[D, D][..], None),
            (&[D, D, D], Some(Released)),
            (&[D, A, D], None),
            (&[D, A, D, D], Some(Released)),
            (&[D, A, A], None),
            (&[D, A, A, D, D], Some(Released)),
            (&[D, A, A, A], Some(AlreadyExpired)),
            (&[A, A, A], Some(AlreadyExpired)),
        ] {
            assert_eq!(release(5, 5, votes).verdict(), verdict, "{votes:?}");
        }
    }

    #[test]
    fn what_a_verdict_says_is_true_whatever_the_nodes_answer() {
        for nodes in 1..=5usize {
            for asked in 1..=nodes {
                for mut code in 0..4u32.pow(u32::try_from(asked).unwrap()) {
                    let votes: Vec<_> = (0..asked)
                        .map(|_| {
                            let vote = [Vote::Granted, Vote::Refused, Vote::Failed, Vote::Unknown]
                                [code as usize % 4];
                            code /= 4;
                            vote
                        })
                        .collect();
                    let done = release(nodes, asked, &votes);
                    let count = |wanted| votes.iter().filter(|v| **v == wanted).count();
                    let majority = Quorum::majority(nodes);
                    let silent = asked - count(Vote::Granted) - count(Vote::Refused);
                    match done.verdict().unwrap() {
                        ReleaseVerdict::AlreadyExpired => {
                            assert!(count(Vote::Granted) + silent < majority, "{votes:?}");
                        }
                        ReleaseVerdict::Released => {
                            assert!(nodes - silent >= majority, "{votes:?}");
                        }
                        ReleaseVerdict::Unconfirmed => {
                            assert!(nodes - silent < majority, "{votes:?}");
                        }
                    }
                    assert_eq!(done.unconfirmed().len(), silent);
                }
            }
        }
    }

    #[test]
    fn a_node_that_never_granted_and_does_not_answer_did_not_have_it() {
        let quorum = Quorum::new(5, 3).unwrap();
        let ask = |had| {
            let mut release = Release::new(quorum, NodeSet::first(5), NodeSet::first(had));
            let votes = [Vote::Granted, Vote::Granted, Vote::Refused, Vote::Unknown, Vote::Refused];
            for (node, vote) in NodeId::all(5).zip(votes) {
                release.handle_vote(node, vote);
            }
            release.verdict()
        };
        assert_eq!(ask(3), Some(ReleaseVerdict::AlreadyExpired), "another may hold 3, 4 and 5");
        assert_eq!(ask(4), Some(ReleaseVerdict::Released));
    }

    #[test]
    fn a_node_that_failed_still_owes_and_may_answer_later() {
        let mut release = release(3, 3, &[Vote::Unknown, Vote::Unknown, Vote::Failed]);
        assert_eq!(release.verdict(), Some(ReleaseVerdict::Unconfirmed));
        for node in NodeId::all(3) {
            release.handle_vote(node, Vote::Granted);
        }
        assert!(release.unconfirmed().is_empty());
        assert_eq!(release.verdict(), Some(ReleaseVerdict::Unconfirmed), "and it stays so");
    }

    #[test]
    fn what_is_gone_after_a_request_without_an_answer_may_have_been_deleted_by_it() {
        let votes = |first| {
            let mut release = release(3, 3, &[first, Vote::Granted]);
            release.handle_vote(NodeId::all(3).next().unwrap(), Vote::Refused);
            release.handle_vote(NodeId::all(3).last().unwrap(), Vote::Refused);
            release.verdict()
        };
        assert_eq!(votes(Vote::Unknown), Some(ReleaseVerdict::Released));
        assert_eq!(votes(Vote::Failed), Some(ReleaseVerdict::AlreadyExpired));
    }

    #[test]
    fn a_node_whose_acquire_was_never_sent_counts_as_one_that_was_not_asked() {
        use Vote::{Failed, Granted, Refused, Unknown};
        let all: Vec<_> = NodeId::all(5).collect();
        let quorum = Quorum::new(5, 3).unwrap();
        for votes in [[Granted; 3], [Refused; 3], [Failed; 3], [Unknown, Granted, Granted]] {
            for had in 0..=5 {
                let had = NodeSet::first(had);
                let mut unasked = Release::new(quorum, NodeSet::first(3), had);
                let mut withdrawn = Release::new(quorum, NodeSet::first(5), had);
                withdrawn.handle_withdrawn(all[3]);
                assert_eq!(withdrawn.verdict(), None, "four of five may still have it");
                for (node, vote) in all.iter().zip(votes) {
                    unasked.handle_vote(*node, vote);
                    withdrawn.handle_vote(*node, vote);
                }
                withdrawn.handle_withdrawn(all[4]);
                assert_eq!(withdrawn.verdict(), unasked.verdict(), "{votes:?} {had:?}");
                assert_eq!(withdrawn.unconfirmed(), unasked.unconfirmed());
            }
        }
    }

    #[test]
    fn it_is_decided_when_too_few_nodes_are_left_that_may_have_it() {
        let all: Vec<_> = NodeId::all(3).collect();
        let mut release = release(3, 3, &[]);
        release.handle_withdrawn(all[0]);
        release.handle_withdrawn(all[0]);
        assert_eq!(release.verdict(), None);
        release.handle_withdrawn(all[1]);
        assert_eq!(release.verdict(), Some(ReleaseVerdict::AlreadyExpired));
        assert_eq!(
            release.unconfirmed(),
            NodeSet::EMPTY.with(all[2]),
            "and that one is still to delete it"
        );
        release.handle_vote(all[2], Vote::Granted);
        release.handle_withdrawn(all[2]);
        assert_eq!(release.deleted().len(), 1, "what was answered stands");
    }

    #[test]
    fn with_nobody_to_ask_it_is_over_at_once() {
        assert_eq!(release(3, 0, &[]).verdict(), Some(ReleaseVerdict::AlreadyExpired));
    }
}
