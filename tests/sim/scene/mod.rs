//! Scenes: runs that have stage directions, where the usual users live as they
//! like. A scene makes one moment that a claim is about, again and again.
//!
//! The directions are drawn in `draw`, each scene is played by its own module, and
//! what came of it is in [`Progress`]. A scene never asks the library for anything
//! that a user could not ask for.

mod draw;
mod failover;
mod rush;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use redlock_quorum::{Acquire, ErrorKind};

pub use self::{failover::Failover, rush::Rush, watch::Watch};
use crate::{holding::Holding, stage::Truth, users::User};

/// The directions of a run.
#[derive(Clone, Debug)]
pub enum Scene {
    Rush(Rush),
    Watch(Watch),
    Failover(Failover),
}

/// What has come of a scene so far.
#[derive(Debug, Default)]
pub struct Progress {
    /// By the number of the round: who has asked, and what came of it.
    rounds: BTreeMap<usize, rush::SoFar>,
    /// By client and quiet time: how many acquires it has sent to nodes.
    asks: BTreeMap<(usize, usize), u64>,
    /// By quiet time: how often one node, all by itself, gave those who wait a reason to ask.
    told: BTreeMap<usize, u64>,
    /// By client: how many it has sent while it had to poll.
    polls: BTreeMap<usize, u64>,
    /// The quiet times that the directions did not foresee.
    quiet: Vec<(u64, u64)>,
    /// How many of those who waited have got the lock.
    served: u64,
    /// How many have got it since all failovers were over.
    regained: u64,
    /// By key: when a value was last set that a quorum of nodes had then.
    ruled_at: BTreeMap<Vec<u8>, u64>,
}

impl Truth {
    /// A node has been asked by a client to set `token` at `key`.
    pub fn note_set(&mut self, client: usize, key: &[u8], token: &[u8]) {
        if self.plan.scene.is_none() {
            return;
        }
        if self.votes(key, token) >= self.plan.quorum() {
            self.progress.ruled_at.insert(key.to_vec(), self.now);
        }
        self.note_ask(client, key);
    }

    /// Whether a quorum of nodes has one value at `key`.
    pub fn is_ruled(&self, key: &[u8]) -> bool {
        let values = self.nodes.iter().filter_map(|node| node.value(self.now, key));
        values.into_iter().any(|value| self.votes(key, value) >= self.plan.quorum())
    }

    /// Whether a quorum of nodes got one value at `key` at `since` or later.
    pub fn was_ruled(&self, key: &[u8], since: u64) -> bool {
        self.progress.ruled_at.get(key).is_some_and(|at| *at >= since)
    }
}

impl User {
    /// Plays this user's part in the scene.
    pub async fn play(self, scene: Scene) {
        match scene {
            Scene::Rush(rush) => self.rush(rush).await,
            Scene::Watch(watch) => self.watch(watch).await,
            Scene::Failover(failover) => self.live_on(failover).await,
        }
    }

    /// Sleeps until `at` in true time.
    async fn until(&self, at: u64) {
        let left = at.saturating_sub(self.stage.truth().now);
        if left > 0 {
            self.world.sleep(Duration::from_nanos(left)).await;
        }
    }

    /// Asks for a lock, which the oracle judges as any other call. `wait` is how
    /// long to wait, or `None` for ever.
    async fn ask(&self, lock: Acquire, key: &[u8], wait: Option<Duration>) -> Option<Holding> {
        let (ttl, node_timeout) = self.ttl();
        let (what, lock, limit) = match wait {
            Some(Duration::ZERO) => ("try", lock.wait(Duration::ZERO), node_timeout),
            Some(wait) => ("wait", lock.wait(wait), wait.max(node_timeout)),
            None => ("lock", lock, Duration::MAX),
        };
        let call = self.stage.truth().begin_call(self.client, what, key);
        let outcome = lock.ttl(ttl).await;
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        if let (Some(wait), Err(error)) = (wait, &outcome)
            && error.kind() == ErrorKind::Timeout
        {
            truth.check_patience(&call, wait);
        }
        drop(truth);
        Some(Holding::new(&self.stage, self.client, outcome.ok()?, key))
    }
}
