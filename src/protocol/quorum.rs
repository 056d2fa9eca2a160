//! Majority arithmetic: which nodes, and how many of them are enough.
//!
//! Any two sets of `N/2 + 1` out of N nodes share at least one node, and a node grants
//! a key to one client at a time, so two clients never both have a quorum. A larger
//! quorum keeps that and survives nodes that forget. A smaller one breaks it, so
//! [`Quorum::new`] refuses it.

use std::fmt;

use crate::mutant::{self, Mutant};

/// The most nodes that a client may have: a [`NodeSet`] is one machine word. Real
/// deployments have 3, 5 or 7.
pub(crate) const MAX_NODES: usize = 64;

/// One node, named by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u8);

impl NodeId {
    /// All nodes of a configuration that has `nodes` of them, in order.
    pub(crate) fn all(nodes: usize) -> impl Iterator<Item = Self> {
        (0..u8::try_from(nodes.min(MAX_NODES)).unwrap_or(0)).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn bit(self) -> u64 {
        // It is less than MAX_NODES, so nothing is shifted out.
        1u64.wrapping_shl(u32::from(self.0))
    }
}

/// A set of nodes, as one word.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NodeSet(u64);

impl NodeSet {
    pub(crate) const EMPTY: Self = Self(0);

    /// The first `nodes` nodes.
    pub(crate) const fn first(nodes: usize) -> Self {
        // A shift by the whole word would overflow.
        if nodes >= MAX_NODES { Self(u64::MAX) } else { Self((1 << nodes) - 1) }
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[must_use]
    pub(crate) fn with(self, node: NodeId) -> Self {
        Self(self.0 | node.bit())
    }

    #[must_use]
    pub(crate) fn without(self, node: NodeId) -> Self {
        Self(self.0 & !node.bit())
    }

    pub(crate) fn insert(&mut self, node: NodeId) {
        *self = self.with(node);
    }

    pub(crate) fn remove(&mut self, node: NodeId) {
        *self = self.without(node);
    }

    pub(crate) fn contains(self, node: NodeId) -> bool {
        self.0 & node.bit() != 0
    }

    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub(crate) const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, in the order of the configuration.
    pub(crate) fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            // At most 64, so it fits a `u8`.
            let first = NodeId(u8::try_from(left.trailing_zeros()).unwrap_or(u8::MAX));
            (left != 0).then(|| {
                left &= left.wrapping_sub(1);
                first
            })
        })
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(NodeId::index)).finish()
    }
}

/// How many nodes there are, and how many of them must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorum {
    nodes: usize,
    votes: usize,
}

impl Quorum {
    /// The smallest safe quorum of `nodes`: more than half.
    pub(crate) const fn majority(nodes: usize) -> usize {
        nodes / 2 + 1
    }

    /// A quorum of `votes` out of `nodes`; `None` where two quorums could be
    /// disjoint (fewer than a majority), or where it could never be reached.
    pub(crate) fn new(nodes: usize, votes: usize) -> Option<Self> {
        let possible = (1..=MAX_NODES).contains(&nodes);
        let safe = (Self::majority(nodes)..=nodes).contains(&votes);
        (possible && safe).then_some(Self { nodes, votes })
    }

    pub(crate) const fn nodes(self) -> usize {
        self.nodes
    }

    /// How many nodes must agree.
    pub(crate) fn votes(self) -> usize {
        if mutant::is(Mutant::QuorumMinusOne) {
            return self.votes.saturating_sub(1).max(1);
        }
        self.votes
    }

    /// How many nodes may fail to grant while a quorum is still possible.
    pub(crate) fn spare(self) -> usize {
        self.nodes.saturating_sub(self.votes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_two_quorums_share_a_node() {
        for nodes in 1..=7 {
            let quorum = Quorum::new(nodes, Quorum::majority(nodes)).unwrap();
            let sets: Vec<u64> =
                (0u64..1 << nodes).filter(|s| s.count_ones() as usize >= quorum.votes()).collect();
            for a in &sets {
                for b in &sets {
                    assert_ne!(a & b, 0, "{nodes} nodes: {a:b} and {b:b} are disjoint");
                }
            }
        }
    }

    #[test]
    fn a_quorum_below_a_majority_or_above_all_is_refused() {
        for nodes in 1..=MAX_NODES {
            for votes in 0..=nodes + 1 {
                let safe = votes * 2 > nodes && votes <= nodes;
                assert_eq!(Quorum::new(nodes, votes).is_some(), safe, "{votes} of {nodes}");
            }
        }
        assert_eq!(Quorum::new(0, 1), None);
        assert_eq!(Quorum::new(MAX_NODES + 1, MAX_NODES), None);
    }

    #[test]
    fn a_set_holds_every_node_there_can_be() {
        let mut set = NodeSet::EMPTY;
        for node in NodeId::all(MAX_NODES) {
            assert!(!set.contains(node));
            set.insert(node);
            assert!(set.contains(node));
        }
        assert_eq!(set.len(), MAX_NODES);
        assert!(set.iter().eq(NodeId::all(MAX_NODES)));
        assert_eq!(set, NodeSet::first(MAX_NODES));
        assert!(NodeSet::first(3).minus(NodeSet::first(5)).is_empty());
    }
}
