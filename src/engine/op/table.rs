//! The operations under way, each by its number, and when each is due.

use slab::Slab;

use super::{Kind, Op};
use crate::{
    mutant::{self, Mutant},
    protocol::{Due, Moment, Schedule},
};

/// Above this much room for operations, it is given back when there are none.
const KEEP: usize = 1024;

/// All operations of one client.
#[derive(Debug)]
pub(in crate::engine) struct Ops {
    slab: Slab<Filed>,
    timers: Schedule<usize>,
}

#[derive(Debug)]
struct Filed {
    op: Op,
    /// Where its next timeout is filed.
    due: Option<Due>,
}

impl Ops {
    pub(in crate::engine) fn new() -> Self {
        Self { slab: Slab::new(), timers: Schedule::new() }
    }

    pub(in crate::engine) fn insert(&mut self, op: Op) -> usize {
        self.slab.insert(Filed { op, due: None })
    }

    pub(in crate::engine) fn get(&self, id: usize) -> Option<&Op> {
        self.slab.get(id).map(|filed| &filed.op)
    }

    pub(in crate::engine) fn get_mut(&mut self, id: usize) -> Option<&mut Op> {
        self.slab.get_mut(id).map(|filed| &mut filed.op)
    }

    /// Sees to it that operation `id` comes when it is due now.
    pub(in crate::engine) fn refile(&mut self, id: usize) {
        let Some(Filed { op, due }) = self.slab.get_mut(id) else { return };
        let at = op.poll_timeout();
        if due.map(|due| due.at()) == at {
            return;
        }
        if let Some(before) = due.take() {
            self.timers.cancel(before);
        }
        *due = at.map(|at| self.timers.push(at, id));
    }

    /// Takes the first operation that is due.
    pub(in crate::engine) fn pop_due(&mut self, due: Moment) -> Option<usize> {
        let id = self.timers.pop_due(due)?;
        if let Some(filed) = self.slab.get_mut(id) {
            filed.due = None;
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
        if let Some(Filed { due, .. }) = self.slab.try_remove(id) {
            due.and_then(|due| self.timers.cancel(due));
        }
        if self.slab.is_empty() && self.slab.capacity() > KEEP {
            self.slab = Slab::with_capacity(KEEP);
        }
    }

    /// Whether anything may have to be released yet.
    pub(in crate::engine) fn has_releases(&self) -> bool {
        self.slab.iter().any(|(_, filed)| matches!(filed.op.kind, Kind::Releasing(_)))
    }

    /// The tokens of all operations, in a fixed order.
    #[cfg(all(test, redlock_sim))]
    pub(in crate::engine) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        self.slab.iter().map(|(_, filed)| filed.op.head.claim.token.as_bytes())
    }

    #[cfg(redlock_sim)]
    pub(in crate::engine) fn len(&self) -> usize {
        self.slab.len()
    }
}
