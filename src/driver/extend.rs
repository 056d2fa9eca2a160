//! Extend: a round that can only add. Whatever becomes of it, the validity
//! that the holder had before runs on.

use std::{sync::Arc, time::Duration};

use super::{
    ExtendRequest,
    dispatch::vote,
    op::{Asker, Job, Op},
    run::{Driver, Timer},
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    exchange::{Answer, Outcome},
    protocol::{Moment, NodeId, NodeSet, Round, Ttl, Vote},
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
        let until = claim.until();
        self.extend(claim, ttl, Asker::Caller(reply), until, now);
    }

    /// Asks all nodes that may have the key. The round ends by the present
    /// deadline `until`, unless that is moved: after it, nothing could be extended.
    pub(super) fn extend(
        &mut self,
        claim: Arc<Claim>,
        ttl: Ttl,
        asker: Asker,
        until: Moment,
        now: Moment,
    ) {
        let lease = self.config.lease(self.config.world.now(), ttl);
        let timeout = self.config.node_timeout(ttl);
        let whole = match &asker {
            // Who lets go of it waits: the rest of the time is for a release.
            Asker::Next(hand_over) => hand_over.give_up_at(now.after(timeout / 2)),
            _ => now.after(timeout),
        };
        let give_up_at = whole.min(until);
        let mut round = Round::new(self.config.quorum, until.min(lease.until), give_up_at);
        let suspects = claim.suspects();
        for node in NodeId::all(self.config.quorum.nodes()) {
            if !suspects.contains(node) {
                round.handle_vote(node, Vote::Refused, now);
            }
        }
        claim.may_live_until(lease.gone_by);
        let job = Job::Extend { round, lease, whole, asker: Some(asker), won: false };
        let mut op = Op::new(claim, ttl, job, now, give_up_at);
        op.cut_short = give_up_at < whole;
        self.start(op, suspects, now);
    }

    /// Where the deadline that ends a round has been moved by another extension,
    /// the round has until then: for what was sent. Says whether it has.
    pub(super) fn put_off(&mut self, id: usize, now: Moment) -> bool {
        let Some(op) = self.ops.get_mut(id) else { return false };
        let Job::Extend { round, lease, whole, .. } = &mut op.job else { return false };
        if round.verdict().is_some() || op.claim.has_ended() {
            return false;
        }
        let until = op.claim.until();
        let give_up_at = until.min(*whole);
        (op.give_up_at, op.cut_short) = (give_up_at, give_up_at < *whole);
        if give_up_at <= now {
            return false;
        }
        round.put_off(until.min(lease.until), give_up_at);
        op.due = Some(self.timers.push(give_up_at, Timer::Op { id, number: op.number }));
        true
    }

    pub(super) fn count_extend(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        now: Moment,
    ) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Extend { round, won, .. } = &mut op.job else { return };
        let (vote, error) = vote(outcome);
        let is_missing = matches!(vote, Vote::Refused) && error.is_none();
        let heals = *won && is_missing;
        match vote {
            Vote::Granted => op.claim.note_grant(node, now.since(offered_at)),
            Vote::Refused => op.claim.note_gone(node),
            Vote::Failed | Vote::Unknown => {}
        }
        if let Some(error) = error {
            op.notes.fail(node, error);
        }
        round.handle_vote(node, vote, now);
        if heals {
            self.heal(id, NodeSet::EMPTY.with(node), now);
        }
    }

    /// Acts on the verdict, once.
    pub(super) fn conclude_extend(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Extend { round, lease, asker, .. } = &mut op.job else { return };
        if round.verdict().is_none() {
            return;
        }
        let asker = match asker.take() {
            None => return,
            Some(Asker::Next(hand_over)) => {
                let (lease, granted) = (*lease, round.granted());
                return self.conclude_hand_over(id, *hand_over, lease, granted, now);
            }
            Some(asker) => asker,
        };
        let keeps = matches!(asker, Asker::Keeper(_));
        if op.claim.has_ended() && keeps {
            // Released, or let go of, meanwhile: nobody holds it.
            return self.pace.note(true);
        }
        // By the deadline that holds now: another extension may have moved it.
        let enough = round.granted().len() >= self.config.quorum.votes();
        let outcome = if enough && op.claim.prolong(*lease, now) {
            Ok(())
        } else {
            Err(op.explain_extension(&self.config, now))
        };
        // That its key is gone is no sign of load.
        let is_gone = matches!(&op.job, Job::Extend { round, .. }
            if round.refused().len() > self.config.quorum.spare());
        let claim = Arc::clone(&op.claim);
        let well = outcome.is_ok();
        let lost = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost);
        if let Job::Extend { won, .. } = &mut op.job {
            *won = well;
        }
        if well {
            self.heal(id, NodeSet::first(self.config.quorum.nodes()), now);
        }
        match asker {
            Asker::Caller(reply) => {
                self.undecided = self.undecided.saturating_sub(1);
                if lost {
                    claim.end();
                }
                let _ = reply.send(outcome);
            }
            Asker::Keeper(tending) => self.renewed(tending, outcome, now),
            Asker::Next(_) => {} // taken care of above
        }
        if lost {
            self.leave(&claim, now);
        }
        if keeps {
            self.pace.note(well || is_gone);
        }
    }

    /// After an extension that a quorum has agreed to: sets the key again on
    /// the nodes that surely do not have it. That the lock is ours has just been
    /// proven without them, so this is no vote for it: from the next time on.
    fn heal(&mut self, id: usize, among: NodeSet, now: Moment) {
        let Some(op) = self.ops.get(id) else { return };
        let (claim, ttl) = (Arc::clone(&op.claim), op.ttl);
        let missing = among.minus(claim.suspects()).minus(op.awaited);
        if missing.is_empty() || claim.remaining(now).is_zero() {
            return;
        }
        missing.iter().for_each(|node| claim.note_healing(node));
        claim.may_live_until(self.config.lease(now, ttl).gone_by);
        let give_up_at = now.after(self.config.node_timeout(ttl));
        self.start(Op::new(claim, ttl, Job::Heal, now, give_up_at), missing, now);
    }

    pub(super) fn count_heal(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
    ) {
        let Some(op) = self.ops.get(id) else { return };
        if matches!(outcome, Outcome::Answered(Answer::NoScript)) {
            return op.claim.note_unhealed(node);
        }
        match vote(outcome).0 {
            Vote::Granted => {
                tracing::info!(key = %op.claim.key, "a node that did not have the key has it again");
                op.claim.note_grant(node, latency);
            }
            Vote::Refused | Vote::Failed => op.claim.note_unhealed(node),
            // It may still come: after what is sent on the next connection.
            Vote::Unknown => op.claim.note_adrift(node),
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
            let stays = match claim.until() {
                Moment::NEVER => "as it was".to_owned(), // by its token, of unknown age
                until => format!("held for {:?}", until.since(now)),
            };
            let message = format!(
                "lock {key} was not extended: {granted} of {} nodes did, {} are needed; it stays \
                 {stays}",
                quorum.nodes(),
                quorum.votes()
            );
            (ErrorKind::NoQuorum, message)
        };
        Error::new(kind, message).with_nodes(self.reports(config, now))
    }
}
