//! Extend: a round that can only add. Whatever becomes of it, the validity
//! that the holder had before runs on.

use std::time::Duration;

use super::{
    ExtendRequest,
    dispatch::vote,
    op::{Job, Op},
    run::Driver,
};
use crate::{
    clock,
    error::{Error, ErrorKind},
    node::Outcome,
    protocol::{Moment, NodeId, Round, Vote},
};

impl Driver {
    pub(super) fn begin_extend(&mut self, request: ExtendRequest, now: Moment) {
        let ExtendRequest { claim, ttl, reply } = request;
        let until = claim.until();
        if now >= until {
            let message = format!("lock {} has expired: it can't be extended", claim.key);
            // A caller that is gone needs no error, here and below.
            let _ = reply.send(Err(Error::new(ErrorKind::Lost, message)));
            return;
        }
        let lease = self.config.lease(clock::now(), ttl);
        let give_up_at = now.after(self.config.node_timeout(ttl));
        let mut round = Round::new(self.config.quorum, until.min(lease.until), give_up_at);
        let suspects = claim.suspects();
        for node in NodeId::all(self.config.quorum.nodes()) {
            if !suspects.contains(node) {
                round.handle_vote(node, Vote::Refused, now);
            }
        }
        claim.may_live_until(lease.gone_by);
        let job = Job::Extend { round, lease, reply: Some(reply) };
        self.undecided = self.undecided.saturating_add(1);
        self.start(Op::new(claim, ttl, job, now, give_up_at), suspects, now);
    }

    pub(super) fn count_extend(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        now: Moment,
    ) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Extend { round, .. } = &mut op.job else { return };
        let (vote, error) = vote(outcome);
        match vote {
            Vote::Granted => op.claim.note_grant(node, latency),
            Vote::Refused => op.claim.note_gone(node),
            Vote::Failed | Vote::Unknown => {}
        }
        if let Some(error) = error {
            op.notes.fail(node, error);
        }
        round.handle_vote(node, vote, now);
    }

    /// Acts on the verdict, once.
    pub(super) fn conclude_extend(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Extend { round, lease, reply } = &mut op.job else { return };
        if round.verdict().is_none() {
            return;
        }
        let Some(reply) = reply.take() else { return };
        self.undecided = self.undecided.saturating_sub(1);

        let (claim, quorum) = (&op.claim, self.config.quorum);
        let could_be_ours = quorum.nodes().saturating_sub(round.refused().len());
        // By the deadline that holds now: another extension may have moved it.
        if round.granted().len() >= quorum.votes() && claim.prolong(*lease, now) {
            let _ = reply.send(Ok(()));
            return;
        }
        let key = &claim.key;
        let (kind, message) = if could_be_ours < quorum.votes() {
            claim.lose();
            (ErrorKind::Lost, format!("lock {key} is lost: its key is gone from too many nodes"))
        } else if claim.remaining(now).is_zero() {
            (ErrorKind::Lost, format!("lock {key} is lost: it expired before it was extended"))
        } else {
            let left = claim.remaining(now);
            let message = format!(
                "lock {key} was not extended: {} of {} nodes did, {} are needed; it stays held \
                 for {left:?}",
                round.granted().len(),
                quorum.nodes(),
                quorum.votes()
            );
            (ErrorKind::NoQuorum, message)
        };
        let error = Error::new(kind, message).with_nodes(op.reports(&self.config, now));
        let _ = reply.send(Err(error));
    }
}
