//! Extend: a round that can only add. Whatever becomes of it, the validity
//! that the holder had before runs on.

use std::{sync::Arc, time::Duration};

use super::{
    ExtendRequest,
    dispatch::vote,
    op::{Asker, Job, Op},
    run::Driver,
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    node::Outcome,
    protocol::{Moment, NodeId, Round, Ttl, Vote},
};

impl Driver {
    pub(super) fn begin_extend(&mut self, request: ExtendRequest, now: Moment) {
        let ExtendRequest { claim, ttl, reply } = request;
        if claim.remaining(now).is_zero() {
            let message = format!("lock {} has expired: it can't be extended", claim.key);
            // A caller that is gone needs no error, here and below.
            let _ = reply.send(Err(Error::new(ErrorKind::Lost, message)));
            return;
        }
        self.undecided = self.undecided.saturating_add(1);
        self.extend(claim, ttl, Asker::Caller(reply), now);
    }

    /// Asks all nodes that may have the key. The round ends by the present
    /// deadline: after it, nothing could be extended.
    pub(super) fn extend(&mut self, claim: Arc<Claim>, ttl: Ttl, asker: Asker, now: Moment) {
        let until = claim.until();
        let lease = self.config.lease(self.config.world.now(), ttl);
        let whole = now.after(self.config.node_timeout(ttl));
        let give_up_at = whole.min(until);
        let mut round = Round::new(self.config.quorum, until.min(lease.until), give_up_at);
        let suspects = claim.suspects();
        for node in NodeId::all(self.config.quorum.nodes()) {
            if !suspects.contains(node) {
                round.handle_vote(node, Vote::Refused, now);
            }
        }
        claim.may_live_until(lease.gone_by);
        let job = Job::Extend { round, lease, asker: Some(asker) };
        let mut op = Op::new(claim, ttl, job, now, give_up_at);
        op.cut_short = give_up_at < whole;
        self.start(op, suspects, now);
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
        let Job::Extend { round, lease, asker } = &mut op.job else { return };
        if round.verdict().is_none() {
            return;
        }
        let Some(asker) = asker.take() else { return };
        if op.claim.has_ended() && matches!(asker, Asker::Keeper(_)) {
            return; // released, or let go of, meanwhile: nobody holds it
        }
        // By the deadline that holds now: another extension may have moved it.
        let enough = round.granted().len() >= self.config.quorum.votes();
        let outcome = if enough && op.claim.prolong(*lease, now) {
            Ok(())
        } else {
            Err(op.explain_extension(&self.config, now))
        };
        match asker {
            Asker::Caller(reply) => {
                self.undecided = self.undecided.saturating_sub(1);
                if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost) {
                    op.claim.end();
                }
                let _ = reply.send(outcome);
            }
            Asker::Keeper(tending) => self.renewed(tending, outcome, now),
        }
    }
}

impl Op {
    /// Why a lock was not extended, and whether that shows that it is lost.
    fn explain_extension(&self, config: &Config, now: Moment) -> Error {
        let (claim, quorum) = (&self.claim, config.quorum);
        let (granted, refused) = match &self.job {
            Job::Extend { round, .. } => (round.granted().len(), round.refused().len()),
            _ => (0, 0),
        };
        let key = &claim.key;
        let (kind, message) = if refused > quorum.spare() {
            (ErrorKind::Lost, format!("lock {key} is lost: its key is gone from too many nodes"))
        } else if now >= claim.until() {
            (ErrorKind::Lost, format!("lock {key} is lost: it expired before it was extended"))
        } else {
            let left = claim.until().since(now);
            let message = format!(
                "lock {key} was not extended: {granted} of {} nodes did, {} are needed; it stays \
                 held for {left:?}",
                quorum.nodes(),
                quorum.votes()
            );
            (ErrorKind::NoQuorum, message)
        };
        Error::new(kind, message).with_nodes(self.reports(config, now))
    }
}
