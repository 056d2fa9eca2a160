//! The end of a client: no more acquires, and an answer when nothing is left to
//! release. It ends nothing that is held.

use super::{Engine, Reply, op::Kind};
use crate::{
    error::Error,
    key::Key,
    mutant::{self, Mutant},
    protocol::{Moment, NodeId},
};

/// What is left when a shutdown ends.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Callers that have no answer, and releases that too few nodes have confirmed for
    /// others to have the lock.
    pub(crate) undecided: usize,
    /// Where keys may be that their nodes have not been known to delete.
    pub(crate) keys: Vec<(Key, NodeId)>,
}

/// A caller that waits for the last release.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) deadline: Moment,
    reply: Reply<Left>,
}

impl Engine {
    pub(super) fn begin_shutdown(&mut self, deadline: Moment, reply: Reply<Left>) {
        self.closed = true;
        for waiter in self.turns.drain() {
            waiter.refuse(Error::closed());
        }
        self.closings.push(Closing { deadline, reply });
    }

    /// Answers the callers of a shutdown, if all is done or their patience is at
    /// its end.
    pub(crate) fn answer_closings(&mut self, now: Moment) {
        let is_done = self.left_to_do() == 0;
        for closing in std::mem::take(&mut self.closings) {
            if is_done || closing.deadline <= now {
                // Nobody may listen any more: then nobody needs to know.
                let _ = closing.reply.send(Ok(self.left()));
            } else {
                self.closings.push(closing);
            }
        }
    }

    /// What a shutdown waits for.
    fn left_to_do(&self) -> usize {
        if mutant::is(Mutant::ShutdownAtOnce) {
            return 0;
        }
        self.callers()
    }

    fn left(&self) -> Left {
        let mut left = Left { undecided: self.undecided, keys: Vec::new() };
        for op in self.ops.iter() {
            let Kind::Releasing(releasing) = &op.kind else { continue };
            let nodes = releasing.left();
            let key = &op.head.claim.key;
            left.undecided += usize::from(nodes.len() > self.config.quorum.spare());
            left.keys.extend(nodes.iter().map(|node| (key.clone(), node)));
        }
        left
    }
}
