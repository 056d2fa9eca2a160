//! What goes wrong with the slower level's links.

use std::time::Duration;

use super::{Run, name};
use crate::plan::Fault;

impl Run<'_> {
    pub(super) fn cut(&self, client: String, node: String, (up, down): (bool, bool), begins: bool) {
        match (up && down, begins) {
            (true, true) => self.sim.hold(client, node),
            (true, false) => self.sim.release(client, node),
            (false, true) if up => self.sim.partition_oneway(client, node),
            (false, true) => self.sim.partition_oneway(node, client),
            (false, false) if up => self.sim.repair_oneway(client, node),
            (false, false) => self.sim.repair_oneway(node, client),
        }
    }

    /// Sets the latency and the loss of a node's links to the sum of what is wrong.
    pub(super) fn degrade(&mut self, node: usize) {
        let (mut late, mut lost) = (0, 0);
        for fault in &self.active {
            let (whose, more) = degrades(*fault);
            if whose == Some(node) {
                (late, lost) = (late + more.0, lost + more.1);
            }
        }
        let (clients, usual) = {
            let truth = self.stage.truth();
            (truth.clients.len(), truth.plan.latency.1)
        };
        for client in (0..clients).map(|client| name("c", client)) {
            let rate = f64::from(lost) / 4000.0;
            self.sim.set_link_fail_rate(client.clone(), name("n", node), rate);
            self.sim.set_link_latency(client, name("n", node), Duration::from_nanos(usual + late));
        }
    }
}

/// The node whose links a fault makes slower or lossy, by how many nanoseconds,
/// and by how many packets in 1000.
fn degrades(fault: Fault) -> (Option<usize>, (u64, u32)) {
    match fault {
        Fault::Slow { node, by } => (Some(node), (by, 0)),
        Fault::Loss { node, per_mille } => (Some(node), (0, per_mille)),
        Fault::Cut { .. }
        | Fault::Break { .. }
        | Fault::Hang { .. }
        | Fault::Crash { .. }
        | Fault::Refuse { .. }
        | Fault::ForgetScripts { .. }
        | Fault::Failover { .. }
        | Fault::CutLogin { .. }
        | Fault::Flush { .. }
        | Fault::Swap { .. }
        | Fault::Evict { .. }
        | Fault::Follow { .. }
        | Fault::Step { .. }
        | Fault::SetWall { .. }
        | Fault::Pause { .. }
        | Fault::Kill { .. }
        | Fault::EndRuntime { .. } => (None, (0, 0)),
    }
}

/// Whether a fault may lose segments for good, so that a connection is dead and
/// neither side is told.
pub(super) fn loses_segments(fault: Fault) -> bool {
    match fault {
        Fault::Cut { .. } | Fault::Loss { .. } => true,
        Fault::Break { .. }
        | Fault::Slow { .. }
        | Fault::Hang { .. }
        | Fault::Crash { .. }
        | Fault::Refuse { .. }
        | Fault::ForgetScripts { .. }
        | Fault::Failover { .. }
        | Fault::CutLogin { .. }
        | Fault::Flush { .. }
        | Fault::Swap { .. }
        | Fault::Evict { .. }
        | Fault::Follow { .. }
        | Fault::Step { .. }
        | Fault::SetWall { .. }
        | Fault::Pause { .. }
        | Fault::Kill { .. }
        | Fault::EndRuntime { .. } => false,
    }
}
