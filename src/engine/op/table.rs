//! The operations under way, each by its number, and when each is due.

use slab::Slab;

use super::{Kind, Op};
use crate::{
    mutant::{self, Mutant},
    protocol::{Moment, Schedule},
};

/// Above this much room for operations, it is given back when there are none.
const KEEP: usize = 1024;

/// All operations of one client.
#[derive(Debug)]
pub(in crate::engine) struct Ops {
    slab: Slab<Op>,
    timers: Schedule<usize>,
}

impl Ops {
    pub(in crate::engine) fn new() -> Self {
        Self { slab: Slab::new(), timers: Schedule::new() }
    }

    pub(in crate::engine) fn insert(&mut self, op: Op) -> usize {
        self.slab.insert(op)
    }

    pub(in crate::engine) fn get(&self, id: usize) -> Option<&Op> {
        self.slab.get(id)
    }

    pub(in crate::engine) fn get_mut(&mut self, id: usize) -> Option<&mut Op> {
        self.slab.get_mut(id)
    }

    /// Sees to it that operation `id` comes when it is due now.
    pub(in crate::engine) fn refile(&mut self, id: usize) {
        let Some(op) = self.slab.get_mut(id) else { return };
        let at = op.poll_timeout();
        if op.head.due.map(|due| due.at()) == at {
            return;
        }
        if let Some(before) = op.head.due.take() {
            self.timers.cancel(before);
        }
        op.head.due = at.map(|at| self.timers.push(at, id));
    }

    /// Takes the first operation that is due.
    pub(in crate::engine) fn pop_due(&mut self, due: Moment) -> Option<usize> {
        let id = self.timers.pop_due(due)?;
        if let Some(op) = self.slab.get_mut(id) {
            op.head.due = None;
        }
        Some(id)
    }

    /// When the first operation is due.
    pub(in crate::engine) fn poll_timeout(&self) -> Option<Moment> {
        self.timers.peek()
    }

    pub(in crate::engine) fn remove(&mut self, id: usize) {
        if mutant::is(Mutant::OperationsPileUp) {
            return;
        }
        if let Some(op) = self.slab.try_remove(id) {
            op.head.due.and_then(|due| self.timers.cancel(due));
        }
        if self.slab.is_empty() && self.slab.capacity() > KEEP {
            self.slab = Slab::with_capacity(KEEP);
        }
    }

    /// Whether anything may have to be released yet.
    pub(in crate::engine) fn has_releases(&self) -> bool {
        self.slab.iter().any(|(_, op)| matches!(op.kind, Kind::Releasing(_)))
    }

    /// All operations, in a fixed order.
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &Op> {
        self.slab.iter().map(|(_, op)| op)
    }

    #[cfg(redlock_sim)]
    pub(in crate::engine) fn len(&self) -> usize {
        self.slab.len()
    }
}
