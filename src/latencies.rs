//! How long each node took to grant a lock. It only keeps what it is told.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use crate::protocol::NodeId;

/// Per node, microseconds to its grant; in place for as many nodes as most
/// users have.
pub(crate) enum Latencies {
    Few([AtomicU32; 5]),
    Many(Box<[AtomicU32]>),
}

impl Latencies {
    pub(crate) fn new(nodes: usize) -> Self {
        let few = <[AtomicU32; 5]>::default();
        if nodes <= few.len() {
            return Self::Few(few);
        }
        Self::Many((0..nodes).map(|_| AtomicU32::new(0)).collect())
    }

    fn of(&self, node: NodeId) -> Option<&AtomicU32> {
        match self {
            Self::Few(cells) => cells.get(node.index()),
            Self::Many(cells) => cells.get(node.index()),
        }
    }

    pub(crate) fn note(&self, node: NodeId, latency: Duration) {
        if let Some(cell) = self.of(node) {
            cell.store(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX), Relaxed);
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<Duration> {
        Some(Duration::from_micros(self.of(node)?.load(Relaxed).into()))
    }
}
