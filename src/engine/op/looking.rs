//! A look at all nodes: what each says, as far as it says it in time. Nothing is
//! changed, and nothing concluded.

use super::{Ended, Head};
use crate::{
    engine::request::Reply,
    exchange::{Ask, Outcome, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId},
};

/// A look under way.
#[derive(Debug)]
pub(in crate::engine) struct Looking {
    pub(super) ask: Ask,
    /// What each node said, once it is known.
    seen: Vec<Option<SeenAt>>,
    reply: Option<Reply<Seen>>,
}

impl Looking {
    pub(in crate::engine) fn new(ask: Ask, nodes: usize, reply: Reply<Seen>) -> Self {
        let seen = std::iter::repeat_with(|| None).take(nodes).collect();
        Self { ask, seen, reply: Some(reply) }
    }

    pub(super) fn handle_outcome(
        &mut self,
        node: NodeId,
        outcome: Outcome,
        latency: std::time::Duration,
    ) {
        let Some(seen) = self.seen.get_mut(node.index()) else { return };
        *seen = match outcome {
            Outcome::Answered(crate::exchange::Answer::Failed(error))
            | Outcome::NotSent(error)
            | Outcome::Lost(error) => Some(Err(error)),
            Outcome::Answered(answer) => Some(Ok((answer, latency))),
            Outcome::Withdrawn => None,
        };
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.reply.is_some()
    }

    /// Tells what was seen once all have answered, or it is time.
    pub(super) fn end(&mut self, head: &Head, now: Moment) -> Option<Ended> {
        if !head.awaited.is_empty() && now < head.give_up_at {
            return None;
        }
        let reply = self.reply.take()?;
        let waited = now.since(head.started_at);
        let silent = || Err(NodeError::waited(NodeErrorKind::Timeout, waited));
        let seen = self.seen.drain(..).map(|seen| seen.unwrap_or_else(silent)).collect();
        Some(Ended::Seen { reply, seen })
    }
}
