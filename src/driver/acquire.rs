//! Acquire: rounds, the pauses between them, and what the caller is told.

use std::{sync::Arc, time::Duration};

use rand::Rng as _;

use super::{
    AcquireRequest, Patience,
    dispatch::vote,
    op::{Job, Op, Session},
    run::Driver,
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    guard::LockGuard,
    mutant::{self, Mutant},
    node::{Answer, Outcome},
    node_error::NodeErrorKind,
    protocol::{Loss, Moment, NodeId, NodeSet, Round, Verdict, Vote},
    token::Token,
};

/// With less than this left of a wait, another attempt could not succeed.
const LAST_ATTEMPT: Duration = Duration::from_millis(2);

/// A server expires keys by the millisecond: so much after the remaining life
/// it told, the key is gone.
const EXPIRY_GRANULARITY: Duration = Duration::from_millis(1);

impl Driver {
    pub(super) fn begin_acquire(&mut self, request: AcquireRequest, now: Moment) {
        let backoff = self.config.retry;
        let session =
            Session { request, backoff, begun_at: now, before: None, failing_since: None };
        self.begin_attempt(Box::new(session), now);
    }

    /// One attempt, with a token of its own: the release of an earlier attempt
    /// may still be on its way and must not delete this one's key.
    pub(super) fn begin_attempt(&mut self, session: Box<Session>, now: Moment) {
        if self.closed && !mutant::is(Mutant::ClosedStillAcquires) {
            return session.refuse(Error::closed());
        }
        if session.request.reply.is_closed() {
            return;
        }
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
        let key = session.request.key.clone();
        // The operation that is about to be filed: so no two are the same.
        let claim = Claim::new(self.op_number, key, token, ttl, lease, nodes);
        let round = Round::new(config.quorum, lease.until, give_up_at);
        let job = Job::Acquire { round, lease, session: Some(session) };
        self.undecided = self.undecided.saturating_add(1);
        let mut op = Op::new(Arc::new(claim), ttl, job, now, give_up_at);
        op.cut_short = give_up_at < whole;
        self.start(op, NodeSet::first(nodes), now);
    }

    pub(super) fn count_acquire(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        now: Moment,
    ) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Acquire { round, .. } = &mut op.job else { return };
        if matches!(outcome, Outcome::Lost(_)) {
            op.claim.note_adrift(node);
        }
        let (vote, error) = vote(outcome);
        match vote {
            Vote::Granted => op.claim.note_grant(node, latency),
            Vote::Refused | Vote::Failed => op.claim.note_innocent(node),
            Vote::Unknown => {}
        }
        if let Some(error) = error {
            op.notes.fail(node, error);
        }
        round.handle_vote(node, vote, now);
    }

    /// Acts on the verdict, once.
    pub(super) fn conclude_acquire(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Acquire { round, lease, session } = &mut op.job else { return };
        let Some(verdict) = round.verdict() else { return };
        let Some(session) = session.take() else { return };
        self.undecided = self.undecided.saturating_sub(1);
        let claim = Arc::clone(&op.claim);
        match verdict {
            Verdict::Held => {
                let key = &claim.key;
                tracing::debug!(%key, votes = round.granted().len(), "lock acquired");
                let mut until = lease.until;
                if mutant::is(Mutant::ValidityFromTheEnd) {
                    until = self.config.lease(now, claim.ttl).until;
                }
                claim.grant(until);
                session.hand_over(claim);
            }
            Verdict::Lost(loss) => {
                let wanted = !session.request.reply.is_closed();
                if loss == Loss::Contended && wanted {
                    let asked = round.refused().union(op.awaited);
                    let round = round.clone();
                    let inspection = op.inspection(round, session);
                    self.begin_release(claim, None, now);
                    self.undecided = self.undecided.saturating_add(1);
                    self.start(inspection, asked, now);
                } else {
                    self.begin_release(claim, None, now);
                    self.after_loss(id, session, loss, None, now);
                }
            }
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
        let (loss, reports) = match session.before.take() {
            _ if mutant::is(Mutant::CutShortForgetsWhy) => (loss, op.reports(&self.config, now)),
            _ if hopeless => (Loss::NoQuorum, op.reports(&self.config, now)),
            // Nobody had time to answer now: what was said before stands.
            Some(before) if loss == Loss::NoQuorum && op.cut_short => before,
            _ => (loss, op.reports(&self.config, now)),
        };
        if self.closed && session.request.patience != Patience::Once {
            return session.refuse(Error::closed());
        }
        let draw = self.rng.next_u64();
        if !hopeless && let Some(at) = session.next_attempt(loss, free_in, draw, now) {
            session.before = Some((loss, reports));
            return self.sleepers.push(at, session);
        }
        let granted = op.claim.granted().len();
        let error = session.explain(&self.config, granted, loss, free_in, now);
        let error = error.with_nodes(reports);
        session.refuse(error);
    }
}

impl Session {
    pub(super) fn refuse(self, error: Error) {
        tracing::debug!(key = %self.request.key, kind = ?error.kind(), "lock not acquired");
        // A caller that is gone needs no error.
        let _ = self.request.reply.send(Err(error));
    }

    /// Gives the caller its guard. If nobody takes it, its drop releases.
    fn hand_over(self, claim: Arc<Claim>) {
        let guard = LockGuard::new(Arc::clone(&self.request.shared), claim);
        if let Err(Ok(guard)) = self.request.reply.send(Ok(guard))
            && mutant::is(Mutant::RollbackByTheCaller)
        {
            guard.forget();
        }
    }

    /// The first round always gets the whole node timeout, as a lone attempt
    /// would; later ones end with the wait.
    fn give_up_at(&self, whole: Moment, now: Moment) -> Moment {
        match self.request.patience {
            Patience::Until(limit) if now > self.begun_at => whole.min(limit),
            _ => whole,
        }
    }

    /// When to try again; `None` if the wait is over.
    fn next_attempt(
        &mut self,
        loss: Loss,
        free_in: Option<Duration>,
        draw: u64,
        now: Moment,
    ) -> Option<Moment> {
        if loss == Loss::Contended {
            self.failing_since = None;
        }
        let limit = match self.request.patience {
            Patience::Once => return None,
            _ if mutant::is(Mutant::WaitWithoutEnd) => Moment::NEVER,
            Patience::Until(limit) => limit,
            Patience::Forever if loss == Loss::Contended => Moment::NEVER,
            Patience::Forever if mutant::is(Mutant::ForeverWithoutEnd) => Moment::NEVER,
            // Waiting for a holder can be meant to last; waiting for servers
            // that are gone is a hang. A ttl rides out a failover.
            Patience::Forever => {
                self.failing_since.get_or_insert(now).after(self.request.ttl.as_duration())
            }
        };
        let left = limit.since(now);
        if left <= LAST_ATTEMPT || self.request.reply.is_closed() {
            return None;
        }
        let mut delay = self.backoff.next_delay(draw);
        if let Some(free_in) = free_in {
            delay = delay.min(free_in.saturating_add(EXPIRY_GRANULARITY));
        }
        Some(now.after(delay.min(left / 2)))
    }

    fn explain(
        &self,
        config: &Config,
        granted: usize,
        loss: Loss,
        free_in: Option<Duration>,
        now: Moment,
    ) -> Error {
        let key = &self.request.key;
        let (votes, nodes) = (config.quorum.votes(), config.quorum.nodes());
        let waited = now.since(self.begun_at);
        let (kind, message) = match (loss, self.request.patience) {
            (Loss::Contended, Patience::Once) => {
                let left = match free_in {
                    Some(left) => format!(", {left:?} left unless released sooner"),
                    None => String::new(),
                };
                let message = format!(
                    "lock {key} is held or asked for by another: {granted} of {nodes} nodes \
                     granted it, {votes} are needed{left}"
                );
                (ErrorKind::Contended, message)
            }
            (Loss::Contended, _) => {
                let message = format!("lock {key} was still held by another after {waited:?}");
                (ErrorKind::Timeout, message)
            }
            (Loss::NoQuorum, _) => {
                let message = format!(
                    "lock {key}: {granted} of {nodes} nodes granted it, {votes} are needed, and \
                     too many could not answer"
                );
                (ErrorKind::NoQuorum, message)
            }
            (Loss::Expired, _) => {
                let ttl = self.request.ttl.as_duration();
                let message = format!(
                    "lock {key}: the nodes granted it too late for its ttl of {ttl:?}: use a \
                     longer one"
                );
                (ErrorKind::Expired, message)
            }
        };
        Error::new(kind, message).with_retry_after(free_in)
    }
}
