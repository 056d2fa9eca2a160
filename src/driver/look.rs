//! Looking at all nodes: what each says, as far as it says it in time. Nothing
//! is changed, and nothing concluded.

use std::{sync::Arc, time::Duration};

use super::{
    op::{Job, Op},
    request::{LookRequest, Reply},
    run::Driver,
};
use crate::{
    claim::Claim,
    exchange::{Answer, Ask, Outcome, Seen, SeenAt},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, NodeSet},
    token::Token,
};

/// A look under way.
pub(super) struct Looking {
    pub(super) ask: Ask,
    /// Of each node, once it is known.
    seen: Vec<Option<SeenAt>>,
    pub(super) reply: Option<Reply<Seen>>,
}

impl Driver {
    pub(super) fn begin_look(&mut self, request: LookRequest, now: Moment) {
        let LookRequest { ask, key, reply } = request;
        let (ttl, nodes) = (self.config.ttl, self.nodes.len());
        // Of nobody: it only says which key.
        let claim = Claim::new(key, Token::NONE, ttl, self.config.lease(now, ttl), nodes);
        let seen = std::iter::repeat_with(|| None).take(nodes).collect();
        let job = Job::Look(Looking { ask, seen, reply: Some(reply) });
        let give_up_at = now.after(self.config.node_timeout(ttl));
        self.undecided = self.undecided.saturating_add(1);
        let op = Op::new(Arc::new(claim), ttl, job, now, give_up_at);
        self.start(op, NodeSet::first(nodes), now);
    }

    pub(super) fn count_look(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
    ) {
        let Some(Op { job: Job::Look(looking), .. }) = self.ops.get_mut(id) else { return };
        let Some(seen) = looking.seen.get_mut(node.index()) else { return };
        *seen = Some(match outcome {
            Outcome::Answered(Answer::Failed(error))
            | Outcome::NotSent(error)
            | Outcome::Lost(error) => Err(error),
            Outcome::Answered(answer) => Ok((answer, latency)),
            Outcome::Withdrawn => return,
        });
    }

    /// Tells what was seen once all have answered, or it is time.
    pub(super) fn conclude_look(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Look(Looking { seen, reply, .. }) = &mut op.job else { return };
        if !op.awaited.is_empty() && now < op.give_up_at {
            return;
        }
        let Some(reply) = reply.take() else { return };
        let waited = now.since(op.started_at);
        let silent = || Err(NodeError::waited(NodeErrorKind::Timeout, waited));
        let seen = seen.drain(..).map(|seen| seen.unwrap_or_else(silent)).collect();
        self.undecided = self.undecided.saturating_sub(1);
        // A caller that is gone needs no answer.
        let _ = reply.send(Ok(seen));
    }
}
