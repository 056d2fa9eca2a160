//! What nodes have at the key of an attempt that was refused: a holder's value, the
//! votes of others that ask at the same time, or something else. It asks nobody.

use crate::{
    exchange::{Answer, AtKey, Content, Life, Outcome},
    mutant::{self, Mutant},
    node_error::NodeError,
    protocol::{NodeId, NodeSet, Quorum},
    token::Token,
};

/// What each node has at one key, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Rivals {
    /// The nodes that have something there, and what.
    taken: Vec<(NodeId, AtKey)>,
    /// The nodes that were seen, whatever they have.
    pub(super) seen: NodeSet,
}

impl Rivals {
    /// Notes what `node` answered to a look; or gives the error back.
    pub(super) fn note(&mut self, node: NodeId, outcome: Outcome) -> Option<NodeError> {
        let found = match outcome {
            Outcome::Answered(Answer::Free) => None,
            Outcome::Answered(Answer::Taken(found)) => Some(*found),
            Outcome::Answered(Answer::Failed(error))
            | Outcome::NotSent(error)
            | Outcome::Lost(error) => return Some(error),
            // Not an answer to what was asked.
            Outcome::Answered(_) | Outcome::Withdrawn => return None,
        };
        self.seen.insert(node);
        self.taken.retain(|(other, _)| *other != node);
        self.taken.extend(found.map(|found| (node, found)));
        None
    }

    /// Leaves out what `node` has if it is `mine`. Says whether it is.
    pub(super) fn forget_mine(&mut self, node: NodeId, mine: &Token) -> bool {
        let before = self.taken.len();
        let is_mine = |found: &AtKey| matches!(&found.content, Content::Value(it) if it == mine);
        self.taken.retain(|(other, found)| *other != node || !is_mine(found));
        self.taken.len() < before
    }

    /// All values, each with the node that has it.
    fn values(&self) -> impl Iterator<Item = (NodeId, &Token)> {
        self.taken.iter().filter_map(|(node, found)| match &found.content {
            Content::Value(value) => Some((*node, value)),
            Content::Empty | Content::Long | Content::OtherType => None,
        })
    }

    /// All values.
    #[cfg(all(test, redlock_sim))]
    pub(in crate::engine) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.values().map(|(_, value)| value.as_bytes())
    }

    /// The nodes that have anything there.
    pub(in crate::engine) fn nodes(&self) -> NodeSet {
        self.taken.iter().fold(NodeSet::EMPTY, |nodes, (node, _)| nodes.with(*node))
    }

    /// The nodes that have `value`.
    pub(in crate::engine) fn with(&self, value: &Token) -> NodeSet {
        let same = self.values().filter(|(_, other)| *other == value);
        same.fold(NodeSet::EMPTY, |nodes, (node, _)| nodes.with(node))
    }

    /// The value that a quorum of nodes has: a holder's, or one's that is about to be
    /// the holder.
    pub(in crate::engine) fn holder(&self, quorum: Quorum) -> Option<&Token> {
        let needed = votes_of_a_holder(quorum);
        self.values().map(|(_, value)| value).find(|value| self.with(value).len() >= needed)
    }

    /// Whether what is no contender's vote keeps everyone from a quorum: a key of
    /// another type, say, or one that never expires.
    pub(super) fn is_blocked(&self, quorum: Quorum) -> bool {
        self.others() > quorum.spare()
    }

    /// Whether nodes that were not seen, or let nobody look, may `hide` that a quorum has one
    /// value.
    pub(super) fn may_have_holder(&self, hide: NodeSet, quorum: Quorum) -> bool {
        let most = self.values().map(|(_, value)| self.with(value).len()).max().unwrap_or(0);
        !hide.is_empty() && most.saturating_add(hide.len()) >= quorum.votes()
    }

    /// Whether a node has what is no contender's vote.
    pub(super) fn has_others(&self) -> bool {
        self.others() > 0
    }

    /// The nodes that have an empty value, as a key that came between the two commands of a
    /// look seems to be.
    pub(super) fn with_empty(&self) -> NodeSet {
        let empty = self.taken.iter().filter(|(_, found)| found.content == Content::Empty);
        empty.fold(NodeSet::EMPTY, |nodes, (node, _)| nodes.with(*node))
    }

    fn others(&self) -> usize {
        self.taken.iter().filter(|(_, found)| !found.is_vote()).count()
    }

    /// What stands at a node that can be no lock's token.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.taken.iter().find_map(|(_, found)| found.content.foreign())
    }

    /// How long a key lives, as told by the node that was asked for it: that of `holder`, if
    /// there is one, or else of what is no vote.
    pub(super) fn life(&self, holder: Option<&Token>) -> Option<Life> {
        let is_it = |found: &AtKey| match (holder, &found.content) {
            (Some(holder), Content::Value(value)) => value == holder,
            (Some(_), _) => false,
            (None, _) => !found.is_vote(),
        };
        let lives = self.taken.iter().filter(|(_, found)| is_it(found));
        let lives = lives.map(|(_, found)| found.life).filter(|life| *life != Life::Untold);
        // What never ends is in the way for longer than what does.
        if lives.clone().any(|life| life == Life::Endless) {
            return Some(Life::Endless);
        }
        // An extension may have come to some nodes only: the lock may be free when it ends at
        // the first.
        let left =
            lives.filter_map(|life| if let Life::Left(left) = life { Some(left) } else { None });
        left.min().map(Life::Left)
    }

    /// What `node` has at the key, if anything.
    pub(super) fn at(&self, node: NodeId) -> Option<&AtKey> {
        self.taken.iter().find(|(other, _)| *other == node).map(|(_, found)| found)
    }

    /// Forgets that these nodes were seen.
    pub(super) fn forget(&mut self, nodes: NodeSet) {
        self.seen = self.seen.minus(nodes);
        self.taken.retain(|(node, _)| !nodes.contains(*node));
    }

    /// The nodes that have what they had at the look `before`, where it is no holder's:
    /// perhaps a key that nobody will release.
    pub(super) fn unchanged_since(&self, before: &Self, quorum: Quorum) -> NodeSet {
        let is_same = |(node, found): &&(NodeId, AtKey)| {
            before.taken.iter().any(|(other, had)| other == node && had.content == found.content)
        };
        let same = self.taken.iter().filter(is_same);
        let same = same.fold(NodeSet::EMPTY, |nodes, (node, _)| nodes.with(*node));
        same.minus(self.holder(quorum).map_or(NodeSet::EMPTY, |holder| self.with(holder)))
    }

    /// Whether a node that was seen has something else than at the look `before`.
    pub(super) fn has_changed_since(&self, before: &Self) -> bool {
        let content = |rivals: &Self, node| rivals.at(node).map(|found| found.content.clone());
        let mut both = self.seen.and(before.seen).iter();
        both.any(|node| content(self, node) != content(before, node))
    }

    /// Whether somebody else, with more votes than `mine`, or as many and the larger
    /// value, has kept them since the look `before`; `stale` nodes don't count. All that
    /// insist agree on this, by whatever names they know the nodes.
    pub(super) fn outbids(
        &self,
        mine: (usize, &Token),
        before: Option<&Self>,
        stale: NodeSet,
    ) -> bool {
        let Some(before) = before.filter(|_| !mutant::is(Mutant::ValuesDecideNothing)) else {
            return false;
        };
        let mut values = self.values().map(|(_, value)| value);
        values.any(|value| {
            let kept = self.with(value).and(before.with(value)).minus(stale);
            (kept.len(), value.as_bytes()) > (mine.0, mine.1.as_bytes())
        })
    }
}

/// On how many nodes a value must be seen to be a holder's.
fn votes_of_a_holder(quorum: Quorum) -> usize {
    if mutant::is(Mutant::SplitIsAHolder) {
        return 1;
    }
    quorum.votes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum() -> Quorum {
        Quorum::new(5, 3).unwrap()
    }

    fn seen(values: [Option<&str>; 5]) -> Rivals {
        let mut rivals = Rivals::default();
        for (node, value) in NodeId::all(5).zip(values) {
            let content = |value| Content::Value(Token::from_bytes(value).unwrap());
            let answer = match value {
                None => Answer::Free,
                Some("") => taken(Content::OtherType),
                Some(value) => taken(content(value)),
            };
            assert!(rivals.note(node, Outcome::Answered(answer)).is_none());
        }
        rivals
    }

    fn taken(content: Content) -> Answer {
        Answer::Taken(Box::new(AtKey { content, life: Life::Untold }))
    }

    #[test]
    fn a_holder_is_who_has_a_quorum_and_no_less() {
        let holder = |values| seen(values).holder(quorum()).is_some();
        assert!(holder([Some("a"), Some("a"), None, None, Some("a")]));
        assert!(!holder([Some("a"), Some("a"), Some("b"), Some("b"), Some("c")]));
        assert!(!seen([Some(""), Some(""), Some("a"), None, None]).is_blocked(quorum()));
        assert!(seen([Some(""), Some(""), Some(""), None, None]).is_blocked(quorum()));
    }

    #[test]
    fn of_two_that_insist_one_gives_way() {
        let [a, b] = ["a", "b"].map(|value| Token::from_bytes(value).unwrap());
        let stand = seen([Some("a"), Some("b"), Some("a"), Some("b"), None]);
        assert!(
            stand.outbids((2, &a), Some(&stand), NodeSet::EMPTY)
                && !stand.outbids((2, &b), Some(&stand), NodeSet::EMPTY)
        );
        assert!(!stand.outbids((3, &a), Some(&stand), NodeSet::EMPTY), "more votes count first");
        let before = seen([None, None, Some("a"), None, Some("b")]);
        assert!(
            !stand.outbids((2, &a), Some(&before), NodeSet::EMPTY),
            "b came only now, and may be gone soon"
        );
        assert!(!stand.outbids((2, &a), None, NodeSet::EMPTY));
        let stale = stand.unchanged_since(&stand, quorum());
        assert_eq!(
            stale,
            stand.seen.minus(NodeId::all(5).skip(4).fold(NodeSet::EMPTY, NodeSet::with))
        );
        assert!(!stand.outbids((1, &a), Some(&stand), stale));
    }

    #[test]
    fn what_has_changed_is_seen_at_nodes_that_were_seen_twice() {
        let before = seen([Some("a"), None, None, None, None]);
        assert!(!before.has_changed_since(&before));
        assert!(seen([Some("b"), None, None, None, None]).has_changed_since(&before));
        assert!(seen([None; 5]).has_changed_since(&before), "it has gone");
        assert!(seen([Some("a"), Some("b"), None, None, None]).has_changed_since(&before));
        let mut partial = seen([None; 5]);
        partial.forget(NodeId::all(1).fold(NodeSet::EMPTY, NodeSet::with));
        assert!(!partial.has_changed_since(&before), "the first did not answer");
    }
}
