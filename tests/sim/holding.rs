//! A lock in a user's hand, of which the oracle knows.

use std::sync::Arc;

use redlock_quorum::{LockGuard, sim::Peek};

use crate::stage::Shared;

/// A lock in hand. The oracle knows of it for as long as this lives.
pub struct Holding {
    pub guard: Option<LockGuard>,
    pub peek: Peek,
    pub key: Vec<u8>,
    id: u64,
    stage: Shared,
}

impl Holding {
    pub fn new(stage: &Shared, client: usize, guard: LockGuard, key: &[u8]) -> Self {
        let peek = Peek::at(&guard);
        let id = stage.truth().believe(client, key, peek.clone(), false);
        let stage = Arc::clone(stage);
        Self { guard: Some(guard), peek, key: key.to_vec(), id, stage }
    }

    /// The lock that work runs under. Its guard is the library's.
    pub fn of_work(stage: Shared, client: usize, peek: Peek, key: &[u8]) -> Self {
        let id = stage.truth().believe(client, key, peek.clone(), true);
        Self { guard: None, peek, key: key.to_vec(), id, stage }
    }

    /// Tells the oracle that the user lets go of the lock, and returns the guard.
    pub fn end(&mut self) -> LockGuard {
        self.stage.truth().let_go(self.id);
        self.guard.take().expect("it is let go of once")
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.stage.truth().let_go(self.id);
    }
}
