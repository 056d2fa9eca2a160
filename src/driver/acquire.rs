//! Acquire: one attempt after the other, until there is an answer for the caller.

use std::{sync::Arc, time::Duration};

use rand::Rng as _;

use super::{
    Patience,
    dispatch::vote,
    op::{Acquiring, Job, Op},
    run::Driver,
    session::{Finding, Session},
    split::Insisting,
};
use crate::{
    claim::{Claim, State},
    error::Error,
    exchange::{Answer, Outcome},
    mutant::{self, Mutant},
    node_error::NodeErrorKind,
    protocol::{Loss, Moment, NodeId, NodeSet, Round, Verdict, Vote},
    token::Token,
};

impl Op {
    pub(super) fn count_acquire(
        &mut self,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        now: Moment,
    ) {
        let Job::Acquire(Acquiring { round, .. }) = &mut self.job else { return };
        if matches!(outcome, Outcome::Lost(_)) {
            self.claim.note_adrift(node);
        }
        let (vote, error) = vote(outcome);
        match vote {
            Vote::Granted => self.claim.note_grant(node, now.since(offered_at)),
            Vote::Refused | Vote::Failed => self.claim.note_innocent(node),
            Vote::Unknown => {}
        }
        if let Some(error) = error {
            self.notes.fail(node, error);
        }
        round.handle_vote(node, vote, now);
    }
}

impl Driver {
    /// One attempt, with a token of its own: the release of an earlier attempt
    /// may still be on its way and must not delete this one's key.
    pub(super) fn begin_attempt(&mut self, mut session: Box<Session>, now: Moment) {
        let key = session.request.key.clone();
        if self.closed && !mutant::is(Mutant::ClosedStillAcquires) {
            self.tidy(&key);
            return session.refuse(Error::closed());
        }
        let once = session.request.patience == Patience::Once;
        if !session.is_wanted() && once {
            return;
        }
        if !session.is_wanted() {
            return self.step_back(&key, None, now);
        }
        let spot = session.spot;
        session.listened = !once && self.hears(&key);
        session.attempts = session.attempts.saturating_add(1);
        let (config, ttl) = (Arc::clone(&self.config), session.request.ttl);
        let lease = config.lease(config.world.now(), ttl);
        let whole = now.after(config.node_timeout(ttl));
        let give_up_at = session.give_up_at(whole, now);
        let token = if mutant::is(Mutant::TokenReused) {
            Token::random(&mut config.world.rng())
        } else {
            Token::random(&mut self.rng)
        };
        let nodes = config.quorum.nodes();
        let age = session.age(self.releases_heard(&key));
        let claim = Arc::new(Claim::new(key, token, ttl, lease, nodes));
        claim.note_age(age);
        if !once {
            claim.note(State::Tried, true);
            if let Some(waiting) = self.lines.put_at(spot, &claim).waiting() {
                waiting.news = false;
            }
        }
        let round = Round::new(config.quorum, lease.until, give_up_at);
        let (session, insisting) = (Some(session), Insisting::default());
        let job = Job::Acquire(Acquiring { round, lease, session, insisting });
        self.undecided = self.undecided.saturating_add(1);
        let mut op = Op::new(claim, ttl, job, now, give_up_at);
        op.cut_short = give_up_at < whole;
        self.start(op, NodeSet::first(nodes), now);
    }

    /// Acts on the verdict, once.
    pub(super) fn conclude_acquire(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Acquire(Acquiring { round, session, .. }) = &mut op.job else { return };
        let (Some(verdict), true) = (round.verdict(), session.is_some()) else { return };
        if verdict == Verdict::Lost(Loss::Contended) && self.insists(id, now) {
            return;
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Acquire(acquiring) = &mut op.job else { return };
        let Acquiring { round, lease, session, insisting } = acquiring;
        let Some(session) = session.take() else { return };
        self.undecided = self.undecided.saturating_sub(1);
        let kept = insisting.has_kept() && mutant::is(Mutant::KeptVotesStay);
        let claim = Arc::clone(&op.claim);
        let loss = match verdict {
            Verdict::Held => {
                let key = &claim.key;
                tracing::debug!(%key, votes = round.granted().len(), "lock acquired");
                let mut until = lease.until;
                if mutant::is(Mutant::ValidityFromTheEnd) {
                    until = self.config.lease(now, claim.ttl).until;
                }
                claim.grant(until);
                self.note_held(&claim, session.request.patience == Patience::Once, now);
                return session.hand_over(claim);
            }
            Verdict::Lost(loss) => loss,
        };
        if loss == Loss::Contended && session.is_wanted() && session.wants_lifetimes() {
            let asked = round.refused().union(op.awaited);
            let round = round.clone();
            let inspection = op.inspection(round, session);
            self.roll_back(claim, now);
            self.undecided = self.undecided.saturating_add(1);
            self.start(inspection, asked, now);
        } else {
            if !kept {
                self.roll_back(claim, now);
            }
            self.after_loss(id, session, loss, None, now);
        }
    }

    pub(super) fn count_inspect(&mut self, id: usize, node: NodeId, outcome: Outcome) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Inspect { lifetimes, .. } = &mut op.job else { return };
        match outcome {
            Outcome::Answered(Answer::Remaining(left)) => {
                lifetimes.push(left);
                op.notes.live(node, left);
            }
            Outcome::Answered(Answer::Failed(error))
                if error.kind() == NodeErrorKind::ForeignKey =>
            {
                op.notes.fail(node, error);
            }
            // It refused, that is known; how long for is not.
            _ => {}
        }
    }

    /// Goes on once enough is known of how long the keys in the way live, or
    /// no more will be.
    pub(super) fn conclude_inspect(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Inspect { round, lifetimes, session } = &mut op.job else { return };
        let enough = lifetimes.len() >= round.missing();
        if !enough && !op.awaited.is_empty() && now < op.give_up_at {
            return;
        }
        let Some(session) = session.take() else { return };
        self.undecided = self.undecided.saturating_sub(1);
        // The lock can be had when as many of those keys are gone as votes
        // were missing.
        lifetimes.sort_unstable();
        let free_in = round.missing().checked_sub(1).and_then(|nth| lifetimes.get(nth)).copied();
        self.after_loss(id, session, Loss::Contended, free_in, now);
    }

    /// Tries again later, or tells the caller why not.
    fn after_loss(
        &mut self,
        id: usize,
        mut session: Box<Session>,
        loss: Loss,
        free_in: Option<Duration>,
        now: Moment,
    ) {
        let Some(op) = self.ops.get(id) else { return };
        // A foreign key is no holder who will be done: it is a failure.
        let hopeless = op.notes.permanent() > self.config.quorum.spare();
        // It came to its only attempt too late to hear anything.
        let in_line =
            session.before.is_none() && loss == Loss::NoQuorum && op.cut_short && !hopeless;
        let reports = || op.reports(&self.config, now);
        let found = |loss| Finding { began_at: op.started_at, loss, reports: reports() };
        let finding = match session.before.take() {
            _ if mutant::is(Mutant::CutShortForgetsWhy) => found(loss),
            _ if hopeless => found(Loss::NoQuorum),
            // Nobody had time to answer now: what was said before stands.
            Some(before) if loss == Loss::NoQuorum && op.cut_short => before,
            _ => found(loss),
        };
        let loss = finding.loss;
        let granted = op.claim.granted().len();
        let once = session.request.patience == Patience::Once;
        if self.closed && !once {
            return session.refuse(Error::closed());
        }
        let draw = self.rng.next_u64();
        if !hopeless && let Some(at) = session.next_attempt(loss, free_in, draw, now) {
            session.before = Some(finding);
            return self.wait_for_turn(session, at, now);
        }
        let error = if in_line {
            session.explain_line(None, now)
        } else {
            session.explain(&self.config, granted, loss, free_in, now).with_nodes(finding.reports)
        };
        if !once {
            self.step_back(&session.request.key, session.failing_since, now);
        }
        session.refuse(error);
    }
}
