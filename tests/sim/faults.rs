//! What a fault does to the stage, at both levels alike. What it does to
//! connections is up to each level.

use crate::{
    plan::{Fault, Memory, Refusal},
    stage::Truth,
    trace::{Kind, Lane},
};

impl Truth {
    /// Takes note that a fault begins, or is over.
    pub fn fault(&mut self, fault: Fault, begins: bool) {
        if let Some((client, node)) = concerns(fault) {
            self.trouble(client, node, begins);
        }
        self.note_memory(fault);
        let kind = if begins { Kind::Fault } else { Kind::Healed };
        self.trace.note(self.now, Lane::World, kind, || format!("{fault:?}"));
        if begins {
            *self.counts.faults.entry(fault.name()).or_default() += 1;
        }
        match fault {
            Fault::Kill { client } if begins => {
                self.end_client(client);
                self.forget_client(client);
                self.resume(client);
            }
            Fault::EndRuntime { client } if begins => self.end_client(client),
            Fault::Pause { client } if begins => self.stall(client),
            Fault::Pause { client } => self.resume(client),
            Fault::Hang { node } if begins => self.nodes[node].hung += 1,
            Fault::Hang { node } => self.nodes[node].hung -= 1,
            Fault::Crash { node, memory, silent } if begins => {
                self.oracle.resurrected |= memory == Memory::Stale;
                if memory != Memory::Kept {
                    self.oracle.numbers.note_forgot(node);
                }
                self.nodes[node].crash(self.now, memory, silent);
            }
            Fault::Crash { node, .. } => self.nodes[node].restart(),
            Fault::Refuse { node, how, per_mille } if begins => {
                self.nodes[node].refuse(how, per_mille);
            }
            Fault::Refuse { node, how, .. } => self.nodes[node].stop_refusing(how),
            Fault::Failover { node, deposed, lags } if begins => {
                self.oracle.resurrected |= lags;
                if lags {
                    self.oracle.numbers.note_forgot(node);
                }
                self.nodes[node].fail_over(deposed, lags);
            }
            Fault::Failover { node, .. } => self.nodes[node].be_named(),
            Fault::CutLogin { node, per_mille } => self.nodes[node].cut_logins(per_mille, begins),
            Fault::ForgetScripts { node } if begins => self.nodes[node].forget_scripts(),
            Fault::Flush { node } if begins => self.flush(node),
            Fault::Swap { node } if begins => {
                self.flush(node);
                self.nodes[node].be_swapped();
            }
            Fault::Evict { node } if begins => self.nodes[node].evict(self.now),
            Fault::Follow { node, of } if begins => self.follow(node, of),
            Fault::Step { node, millis } if begins => {
                // A key that ended while its node was down lives again there.
                self.oracle.resurrected |= millis < 0 && self.plan.strict.is_some();
                self.nodes[node].step(millis);
                self.oracle.clock_set_at = Some(self.now);
            }
            Fault::SetWall { client, millis } if begins => self.set_wall(client, millis),
            // These are never taken back.
            Fault::Kill { .. }
            | Fault::EndRuntime { .. }
            | Fault::ForgetScripts { .. }
            | Fault::Flush { .. }
            | Fault::Swap { .. }
            | Fault::Evict { .. }
            | Fault::Follow { .. }
            | Fault::SetWall { .. }
            | Fault::Step { .. } => {}
            // These change connections alone, which belong to each level.
            Fault::Cut { .. } | Fault::Break { .. } | Fault::Loss { .. } | Fault::Slow { .. } => {}
        }
    }

    fn flush(&mut self, node: usize) {
        self.oracle.numbers.note_forgot(node);
        self.nodes[node].flush(self.now);
    }

    /// A node has followed another, and has what that one has: keys that were deleted here, too.
    fn follow(&mut self, node: usize, of: usize) {
        self.oracle.numbers.note_forgot(node);
        self.oracle.resurrected = true;
        let other = self.nodes[of].clone_data();
        self.nodes[node].follow(other);
    }

    fn end_client(&mut self, client: usize) {
        self.clients[client].closed = true;
        self.clients[client].abandoned = true;
    }
}

/// The client and the node that may say because of a fault that something fails.
/// `None` in place of one of them means all of them.
fn concerns(fault: Fault) -> Option<(Option<usize>, Option<usize>)> {
    Some(match fault {
        // No lock goes by a wall clock.
        Fault::SetWall { .. } => return None,
        // A lock works without publishing.
        Fault::Refuse { how: Refusal::NoPubSub, .. } => return None,
        Fault::Cut { client, node, .. } | Fault::Break { client, node, .. } => {
            (Some(client), Some(node))
        }
        Fault::Pause { client } | Fault::Kill { client } | Fault::EndRuntime { client } => {
            (Some(client), None)
        }
        Fault::Loss { node, .. }
        | Fault::Slow { node, .. }
        | Fault::Hang { node }
        | Fault::Crash { node, .. }
        | Fault::Refuse { node, .. }
        | Fault::ForgetScripts { node }
        | Fault::Failover { node, .. }
        | Fault::CutLogin { node, .. }
        | Fault::Flush { node }
        | Fault::Swap { node }
        | Fault::Evict { node }
        | Fault::Follow { node, .. }
        | Fault::Step { node, .. } => (None, Some(node)),
    })
}
