//! One caller's acquire, over all its attempts: when to try again, and what to
//! say when it is given up. It asks no node.

use std::{sync::Arc, time::Duration};

use super::{AcquireRequest, Patience, line::Spot, schedule::Due};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind, NodeReport},
    guard::LockGuard,
    mutant::{self, Mutant},
    protocol::{Backoff, Loss, Moment},
};

/// With less than this left of a wait, another attempt could not succeed.
const LAST_ATTEMPT: Duration = Duration::from_millis(2);

/// A server expires keys by the millisecond: so much after the remaining life
/// it told, the key is gone.
const EXPIRY_GRANULARITY: Duration = Duration::from_millis(1);

/// Why an attempt was lost, and what the nodes said.
#[derive(Clone)]
pub(super) struct Finding {
    pub(super) began_at: Moment,
    pub(super) loss: Loss,
    pub(super) reports: Vec<NodeReport>,
}

/// One caller's acquire, over all its attempts.
pub(crate) struct Session {
    pub(super) request: AcquireRequest,
    backoff: Backoff,
    pub(super) begun_at: Moment,
    /// Its line's.
    pub(super) spot: Spot,
    pub(super) attempts: u32,
    /// The present attempt was begun because a release was told of.
    pub(super) hinted: bool,
    /// When it began, a release would have been told of.
    pub(super) listened: bool,
    /// When it looks again at the latest, if it waits.
    pub(super) poll_by: Moment,
    /// How many releases had been told of when it came.
    pub(super) joined: u64,
    /// Its number in the line, and where its patience is filed.
    pub(super) number: u64,
    pub(super) due: Option<Due>,
    /// What its last attempt found.
    pub(super) before: Option<Finding>,
    /// Since when no attempt has found a quorum of nodes able to answer.
    pub(super) failing_since: Option<Moment>,
}

impl Session {
    /// It begins when the driver takes it.
    pub(super) fn new(request: AcquireRequest) -> Self {
        Self {
            backoff: request.shared.config.retry,
            request,
            begun_at: Moment::PAST,
            spot: Spot::default(),
            attempts: 0,
            hinted: false,
            listened: false,
            poll_by: Moment::NEVER,
            joined: 0,
            number: 0,
            due: None,
            before: None,
            failing_since: None,
        }
    }

    /// For how many of the releases that were `heard` of it has waited.
    pub(super) fn age(&self, heard: u64) -> u32 {
        u32::try_from(heard.saturating_sub(self.joined)).unwrap_or(u32::MAX)
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.request.reply.is_closed()
    }

    /// Whether too little of its wait is left for an attempt.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        match self.request.patience {
            Patience::Until(limit) => limit.since(now) <= LAST_ATTEMPT,
            Patience::Once | Patience::Forever => false,
        }
    }

    /// Whether to ask how long the keys in the way live. Not where that is
    /// likely to change before it is of use: in a crowd, locks are short.
    pub(super) fn wants_lifetimes(&self) -> bool {
        self.request.patience == Patience::Once || self.attempts > 1 && !self.hinted
    }

    pub(super) fn refuse(self, error: Error) {
        tracing::debug!(key = %self.request.key, kind = ?error.kind(), "lock not acquired");
        // A caller that is gone needs no error.
        let _ = self.request.reply.send(Err(error));
    }

    /// Gives the caller its guard. If nobody takes it, its drop releases.
    pub(super) fn hand_over(self, claim: Arc<Claim>) {
        let guard = LockGuard::new(Arc::clone(&self.request.shared), claim);
        if let Err(Ok(guard)) = self.request.reply.send(Ok(guard))
            && mutant::is(Mutant::RollbackByTheCaller)
        {
            guard.forget();
        }
    }

    /// The first round always gets the whole node timeout, as a lone attempt
    /// would; later ones end with the wait.
    pub(super) fn give_up_at(&self, whole: Moment, now: Moment) -> Moment {
        match self.request.patience {
            Patience::Until(limit) if now > self.begun_at => whole.min(limit),
            _ => whole,
        }
    }

    /// Goes on with what another has found, who was before it in the line.
    pub(super) fn inherit(&mut self, failing_since: Option<Moment>) {
        self.failing_since = failing_since.map(|since| since.max(self.begun_at));
    }

    /// When to try again; `None` if the wait is over.
    pub(super) fn next_attempt(
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
        if left <= LAST_ATTEMPT || !self.is_wanted() {
            return None;
        }
        let told = loss == Loss::Contended && self.listened;
        let mut delay = if told { self.backoff.floor(draw) } else { self.backoff.next_delay(draw) };
        if told && mutant::is(Mutant::NoPollingFloor) {
            delay = Duration::from_secs(3600);
        }
        if let Some(free_in) = free_in {
            delay = delay.min(free_in.saturating_add(EXPIRY_GRANULARITY));
        }
        Some(now.after(delay.min(left / 2)))
    }

    /// What to say to who was not first in line when its time was over.
    pub(super) fn explain_line(&self, free_in: Option<Duration>, now: Moment) -> Error {
        let (key, waited) = (&self.request.key, now.since(self.begun_at));
        let message =
            format!("lock {key}: for {waited:?}, other tasks of this client had it or came first");
        Error::new(ErrorKind::Timeout, message).with_retry_after(free_in)
    }

    pub(super) fn explain(
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
