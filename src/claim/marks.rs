//! What is known of one claim's key at each node. That is one small word per node,
//! since there may be very many locks. This module keeps what it is told, and never
//! decides what follows from it.

use std::{
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

use super::{Claim, watch::Watch};
use crate::{
    mutant::{self, Mutant},
    protocol::{NodeId, NodeSet, Number},
};

/// A fact about a claim's key at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Mark {
    /// The node has granted it.
    Granted = 1,
    /// The node was given the key again, or is about to be.
    Healed = 2,
    /// The node may hold the key.
    Suspect = 4,
    /// A request that sets the key was sent to the node on another connection than the
    /// present one, and its answer is not known: the request may arrive after anything
    /// that is sent later.
    Adrift = 8,
}

/// One node's marks, and how long the node took to grant. Once a claim is shared, only
/// the driver writes its marks, so a read and a write need not be one step.
#[derive(Debug, Default)]
pub(crate) struct Marks(AtomicU16);

const MARK_BITS: u32 = 4;
const FRACTION_BITS: u32 = 8;
/// The leading bit of a long latency's fraction. It is always set, so it is not stored.
const FIRST: u64 = 1 << FRACTION_BITS;
const LARGEST: u16 = u16::MAX >> MARK_BITS;

impl Marks {
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.0.load(Relaxed) & mark as u16 != 0
    }

    pub(crate) fn set(&self, mark: Mark) {
        self.0.store(self.0.load(Relaxed) | mark as u16, Relaxed);
    }

    pub(crate) fn clear(&self, mark: Mark) {
        self.0.store(self.0.load(Relaxed) & !(mark as u16), Relaxed);
    }

    /// Notes how long the node took, in microseconds, up to 8 s and to half a percent.
    pub(crate) fn note_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bits = u64::BITS - micros.leading_zeros();
        // This is a floating-point number: before the fraction stands by how much it
        // was shifted, counted from one. Zero stands for a latency that needs no shift.
        let code = match bits.checked_sub(FRACTION_BITS + 1) {
            None => micros,
            Some(shift) => (u64::from(shift) + 1) * FIRST + (micros >> shift) % FIRST,
        };
        let code = u16::try_from(code).unwrap_or(LARGEST).min(LARGEST);
        let marks = self.0.load(Relaxed) & ((1 << MARK_BITS) - 1);
        self.0.store(code << MARK_BITS | marks, Relaxed);
    }

    pub(crate) fn latency(&self) -> Duration {
        let code = u64::from(self.0.load(Relaxed) >> MARK_BITS);
        let fraction = code % FIRST;
        Duration::from_micros(match (code / FIRST).checked_sub(1) {
            None => fraction,
            Some(shift) => (FIRST + fraction) << shift,
        })
    }
}

/// How many nodes have their marks in the claim itself: most users have no more nodes.
pub(crate) const IN_PLACE: usize = 5;

/// The marks of the nodes beyond the first [`IN_PLACE`].
pub(crate) type More = Box<[Marks]>;

/// Makes the marks of the nodes beyond the first [`IN_PLACE`], of `nodes` in all.
pub(crate) fn more(nodes: usize) -> More {
    (IN_PLACE..nodes).map(|_| Marks::default()).collect()
}

/// Finds the marks of `node` among those in place and those in `more`.
pub(crate) fn of<'a>(
    node: NodeId,
    in_place: &'a [Marks; IN_PLACE],
    more: impl FnOnce() -> Option<&'a More>,
) -> Option<&'a Marks> {
    in_place.get(node.index()).or_else(|| more()?.get(node.index().checked_sub(IN_PLACE)?))
}

impl Claim {
    fn marks(&self, node: NodeId) -> Option<&Marks> {
        of(node, &self.marks, || self.watched()?.marks())
    }

    pub(super) fn mark(&self, node: NodeId, mark: Mark) {
        self.marks(node).into_iter().for_each(|marks| marks.set(mark));
    }

    fn unmark(&self, node: NodeId, mark: Mark) {
        self.marks(node).into_iter().for_each(|marks| marks.clear(mark));
    }

    fn has(&self, node: NodeId, mark: Mark) -> bool {
        self.marks(node).is_some_and(|marks| marks.has(mark))
    }

    fn all_with(&self, mark: Mark) -> NodeSet {
        let bits = |marks: &[Marks]| {
            marks.iter().rev().fold(0, |bits, marks| bits << 1 | u64::from(marks.has(mark)))
        };
        let more = self.watched().and_then(Watch::marks);
        let more = more.map_or(0, |more| bits(more) << IN_PLACE);
        NodeSet::from_bits(bits(&self.marks) | more)
    }

    pub(crate) fn note_grant(&self, node: NodeId, latency: Duration) {
        if let Some(marks) = self.marks(node) {
            marks.set(Mark::Granted);
            marks.note_latency(latency);
        }
    }

    /// Notes that `node` is about to be given the key again. Until the node answers to
    /// that, what it says is about the time before.
    pub(crate) fn note_healing(&self, node: NodeId) {
        self.unmark(node, Mark::Granted);
        self.mark(node, Mark::Healed);
        self.note_healing_suspect(node);
    }

    /// Makes `node` a suspect: a key that was healed must be released like one that was
    /// granted.
    fn note_healing_suspect(&self, node: NodeId) {
        if mutant::is(Mutant::HealingForgotten) {
            return;
        }
        self.note_suspect(node);
    }

    /// Notes that `node` did not take the key when it was given it again.
    pub(crate) fn note_unhealed(&self, node: NodeId) {
        self.unmark(node, Mark::Healed);
        self.note_gone(node);
    }

    /// Notes that what these nodes have granted is no vote: all are asked anew. They may have the
    /// key.
    pub(crate) fn forget_votes(&self, nodes: NodeSet) {
        nodes.iter().for_each(|node| self.unmark(node, Mark::Granted));
    }

    /// Notes that `node` may get the key by what is about to be sent to it.
    pub(crate) fn note_suspect(&self, node: NodeId) {
        self.mark(node, Mark::Suspect);
    }

    /// Notes that `node` was found to have the key, though it had denied that. Whoever the lock was
    /// handed on to must release it there, too.
    pub(crate) fn note_found(&self, node: NodeId) {
        self.note_suspect(node);
        if let Some(heir) = self.watched().and_then(|watch| watch.heir()) {
            heir.note_found(node);
        }
    }

    pub(crate) fn note_innocent(&self, node: NodeId) {
        self.unmark(node, Mark::Suspect);
    }

    /// Notes that `node` does not hold the key. It stays a suspect if the acquire is
    /// adrift, since that may still set the key. An answer from before a healing changes
    /// nothing.
    pub(crate) fn note_gone(&self, node: NodeId) {
        let is_healing = self.has(node, Mark::Healed) && !self.has(node, Mark::Granted);
        if is_healing {
            return;
        }
        self.unmark(node, Mark::Granted);
        self.unmark(node, Mark::Healed);
        if !self.is_adrift(node) {
            self.note_innocent(node);
        }
    }

    /// Notes that a question that may set the key, `with` a fencing number or without, may arrive
    /// at `node` after anything that is sent later.
    pub(crate) fn note_adrift(&self, node: NodeId, with: Option<Number>) {
        if mutant::is(Mutant::LateAcquireForgotten) {
            return;
        }
        self.mark(node, Mark::Adrift);
        if with.is_none() && self.sent().is_some() {
            self.note_not_buried();
        }
        if let Some(heir) = self.watched().and_then(|watch| watch.heir()) {
            heir.note_adrift(node, with);
        }
    }

    pub(crate) fn granted(&self) -> NodeSet {
        self.all_with(Mark::Granted)
    }

    /// The nodes that were given the key again, or are about to be.
    pub(crate) fn healed(&self) -> NodeSet {
        self.all_with(Mark::Healed)
    }

    /// The nodes that may hold the key: all but those that surely do not.
    pub(crate) fn suspects(&self) -> NodeSet {
        self.all_with(Mark::Suspect)
    }

    pub(crate) fn is_adrift(&self, node: NodeId) -> bool {
        self.has(node, Mark::Adrift)
    }

    /// The nodes at which something of this claim may still arrive.
    pub(crate) fn adrift(&self) -> NodeSet {
        self.all_with(Mark::Adrift)
    }

    /// How long the slowest of the `votes` fastest nodes took to grant.
    pub(crate) fn round_trip(&self, votes: usize) -> Option<Duration> {
        let mut times: Vec<_> = self.granted().iter().filter_map(|n| self.latency(n)).collect();
        times.sort_unstable();
        votes.checked_sub(1).and_then(|last| times.get(last)).copied()
    }

    /// How long `node` took to grant.
    pub(crate) fn latency(&self, node: NodeId) -> Option<Duration> {
        self.marks(node).filter(|marks| marks.has(Mark::Granted)).map(Marks::latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_kept_to_half_a_percent_and_marks_beside_them() {
        let marks = Marks::default();
        marks.set(Mark::Suspect);
        marks.set(Mark::Adrift);
        for micros in (0..8_388_000).step_by(37).chain([0, 255, 256, 511, 512, 8_300_000]) {
            let latency = Duration::from_micros(micros);
            marks.note_latency(latency);
            let off = latency.saturating_sub(marks.latency());
            assert!(marks.latency() <= latency && off * 200 <= latency, "{latency:?}");
        }
        marks.note_latency(Duration::MAX);
        assert!(marks.latency() > Duration::from_secs(8));
        marks.clear(Mark::Adrift);
        assert!(marks.has(Mark::Suspect) && !marks.has(Mark::Adrift) && !marks.has(Mark::Granted));
    }
}
