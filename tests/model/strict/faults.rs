//! How a node forgets.

use super::{
    model::Strict,
    rules::Mutant,
    seen::Event,
    world::{Data, Epoch, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another server process, without anything.
    RestartsEmpty,
    /// Another one, with what is on the disk. It is saved at any moment.
    RestartsStale,
    /// `FLUSHALL`.
    Flushes,
    /// `REPLICAOF` another node and back, on the same connection: it has the other's data.
    Replicates,
    /// The epoch is evicted, and nothing else.
    EvictsEpoch,
    /// The epoch and the lock's key are, and the fence is not.
    EvictsBoth,
}

impl Fault {
    fn is_restart(self) -> bool {
        matches!(self, Self::RestartsEmpty | Self::RestartsStale)
    }
}

impl Strict {
    /// What the node has after the fault; None if it cannot happen, or changes nothing.
    /// `from` is the node that it replicates.
    pub fn after(&self, world: &World, node: usize, fault: Fault, from: usize) -> Option<Data> {
        let here = &world.nodes[node];
        let after = match fault {
            Fault::RestartsEmpty | Fault::Flushes => Data::default(),
            Fault::RestartsStale => here.saved.elsewhere(),
            Fault::Replicates => {
                let other = &world.nodes[from];
                // Its own record, back by way of another: a limit that the docs state.
                if from == node || other.data.epoch == Epoch::Other {
                    return None;
                }
                let mut data = other.data.elsewhere();
                if data.lock != 0 {
                    data.left = (data.left + other.ahead).saturating_sub(here.ahead);
                    data.pass(0);
                }
                data
            }
            Fault::EvictsEpoch => Data { epoch: Epoch::None, ..here.data },
            Fault::EvictsBoth => Data { fence: here.data.fence, ..Data::default() },
        };
        let forgets = after.fence < here.data.fence && !here.forgot;
        let one_more = usize::from(self.rules.broken(Mutant::ForgetsOneMore));
        let forgot = world.nodes.iter().filter(|node| node.forgot).count();
        let may = !forgets || forgot < self.run.forgets + one_more;
        // A restart is noticed even where nothing is lost: the connection breaks.
        (may && (after != here.data || fault.is_restart())).then_some(after)
    }

    pub fn fail(&self, world: &mut World, node: usize, fault: Fault, from: usize) {
        let Some(after) = self.after(world, node, fault, from) else { return };
        let here = &mut world.nodes[node];
        if after.fence < here.data.fence {
            here.forgot = true;
            self.seen.note(Event::ForgotFence);
        }
        here.data = after;
        if fault.is_restart() {
            for at in &mut here.at {
                // What was under way to the old process never arrives, and a run id that it
                // told was of that connection. What it did is done.
                at.retain(|message| message.outlives_the_connection());
                at.knows = self.run.greets;
            }
        }
    }
}

impl Data {
    /// The same, at a server with another run id.
    fn elsewhere(self) -> Self {
        let epoch = match self.epoch {
            Epoch::None => Epoch::None,
            Epoch::Own | Epoch::Quarantine(_) | Epoch::Other => Epoch::Other,
        };
        Self { epoch, ..self }
    }
}
