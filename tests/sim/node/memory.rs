//! How a node loses what it knew while it goes on, and which process it is. It never comes back to
//! a process whose own epoch it has found without the grants in between: no epoch can tell that.

use redlock_quorum::sim::Store;

use super::{NOBODY, Node};
use crate::script::EPOCH;

/// The name of the node's process that had so many before it.
pub(super) fn run_id(node: usize, before: usize) -> String {
    format!("{node:08x}{before:032x}")
}

impl Node {
    /// `FLUSHALL`.
    pub fn flush(&mut self, now: u64) {
        if !self.is_down() {
            self.store.execute(NOBODY, self.clock(now), &[b"FLUSHALL"]);
        }
    }

    /// The node is another process, and nobody is told so.
    pub fn be_swapped(&mut self) {
        if !self.is_down() {
            self.store.forget_scripts();
            self.run_as(run_id(self.place, self.run_ids.len()));
        }
    }

    /// The epoch is evicted, and the keys of locks with it.
    pub fn evict(&mut self, now: u64) {
        if self.is_down() {
            return;
        }
        let keys: Vec<_> = self.living(now).map(|(key, _)| key.to_vec()).collect();
        for key in keys.iter().map(|key| &**key).chain([EPOCH]) {
            self.store.execute(NOBODY, self.clock(now), &[b"DEL", key]);
        }
    }

    /// What another node gets that follows this one. It gets nothing from one that is down.
    pub fn clone_data(&self) -> Option<Store> {
        (!self.is_down()).then(|| self.store.clone())
    }

    /// The node has followed another for a moment, and has the keys of that one. If it would have
    /// its own epoch back by way of that one, it has lost everything instead.
    pub fn follow(&mut self, other: Option<Store>) {
        let Some(other) = other.filter(|_| !self.is_down()) else { return };
        let is_own = self.run_ids.last().is_some_and(|own| names(&other, own));
        self.store.take_keys_of(if is_own { &self.empty } else { &other });
    }

    /// After a failover the node is the server again that it was before the last one, with what
    /// it has from that one, unless it would have its own epoch back.
    pub(super) fn come_back(&mut self) {
        let former = self.run_ids.iter().rev().nth(2).filter(|former| !names(&self.store, former));
        if let Some(former) = former.cloned() {
            self.run_as(former);
        }
    }
}

/// Whether an epoch there is that of the process `run_id`.
fn names(store: &Store, run_id: &str) -> bool {
    let epoch = store.value(std::time::Duration::ZERO, EPOCH).unwrap_or_default();
    String::from_utf8_lossy(epoch).contains(run_id)
}
