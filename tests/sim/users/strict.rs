//! What users of strict nodes do besides: they bring about moments that chance meets too seldom. They
//! draw nothing where nodes are not strict.

use std::time::Duration;

use rand::RngExt as _;

use super::User;
use crate::{draw::chance, forget::Strict, holding::Holding, plan::Fault};

/// Nobody waits for longer until a node forgets.
const PATIENCE: Duration = Duration::from_secs(1);

impl User {
    /// Waits until a node is about to forget, now and then, so that what is asked next meets a
    /// connection that is being made anew. Says whether it has.
    pub(super) async fn lies_in_wait(&mut self) -> bool {
        let (strict, next) = {
            let truth = self.stage.truth();
            (truth.plan.strict, truth.plan.next_to_forget(truth.now))
        };
        if strict.is_none() || !chance(&mut self.rng, 300) {
            return false;
        }
        let Some(next) = next.filter(|next| *next < PATIENCE) else { return false };
        let more = Duration::from_micros(self.rng.random_range(0..4_000));
        self.world.sleep(next + more).await;
        true
    }

    /// Sees all nodes flushed right after its lock was extended, now and then, and holds it to the
    /// deadline: that is the longest that a quarantine must last for.
    pub(super) async fn sees_all_flushed(&mut self, holding: &Holding) {
        let strict = self.stage.truth().plan.strict;
        let Some(Strict { flushed, stepped, .. }) = strict.filter(|strict| strict.flushed > 0)
        else {
            return;
        };
        if !chance(&mut self.rng, flushed) {
            return;
        }
        self.befall(|node| Fault::Flush { node });
        // Clocks are set once, or it would be more than the grace in sum.
        if stepped > 0 && chance(&mut self.rng, 700) {
            self.world.sleep(self.left(holding) / 2).await;
            let millis = {
                let plan = &mut self.stage.truth().plan;
                plan.strict.as_mut().map_or(0, |strict| std::mem::take(&mut strict.stepped))
            };
            let millis = millis as i64;
            self.befall(|node| Fault::Step { node, millis });
        }
        self.world.sleep(self.left(holding)).await;
    }

    /// How long its lock is still held.
    fn left(&self, holding: &Holding) -> Duration {
        let now = self.stage.truth().clock(self.client);
        Duration::from_nanos(holding.peek.until().saturating_sub(now))
    }

    /// A fault of a moment befalls all nodes.
    fn befall(&self, fault: impl Fn(usize) -> Fault) {
        let mut truth = self.stage.truth();
        for node in 0..truth.nodes.len() {
            truth.fault(fault(node), true);
            truth.fault(fault(node), false);
        }
    }
}
