//! The end of a client: no more acquires, and an answer when nothing is left to
//! release. It ends nothing that is held.

use super::{Engine, Reply};
use crate::{
    error::Error,
    mutant::{self, Mutant},
    protocol::Moment,
};

/// A caller that waits for the last release.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) deadline: Moment,
    reply: Reply<usize>,
}

impl Engine {
    pub(super) fn begin_shutdown(&mut self, deadline: Moment, reply: Reply<usize>) {
        self.closed = true;
        for waiter in self.turns.drain() {
            waiter.refuse(Error::closed());
        }
        self.closings.push(Closing { deadline, reply });
    }

    /// Answers the callers of a shutdown, if all is done or their patience is at
    /// its end.
    pub(crate) fn answer_closings(&mut self, now: Moment) {
        let left = self.left_to_do();
        for closing in std::mem::take(&mut self.closings) {
            if left == 0 || closing.deadline <= now {
                // Nobody may listen any more: then nobody needs to know.
                let _ = closing.reply.send(Ok(left));
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
}
