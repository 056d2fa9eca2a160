//! One caller's acquire, over all its attempts: when to try again, and what to
//! say when it is given up. It asks no node.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    pacing::{EXPIRY_GRANULARITY, LAST_ATTEMPT},
    request::{AcquireRequest, Patience, Won},
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind, NodeReport},
    mutant::{self, Mutant},
    protocol::{Backoff, Due, Loss, Moment},
};

/// Where a key's line is in the table of lines, or will be: its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot(pub(super) u64);

/// Why an attempt was lost, and what the nodes said.
#[derive(Clone, Debug)]
pub(super) struct LastAttempt {
    pub(super) began_at: Moment,
    pub(super) loss: Loss,
    pub(super) reports: Vec<NodeReport>,
}

/// What is known of an attempt that was lost.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) attempt: LastAttempt,
    /// How many nodes granted it.
    pub(super) granted: usize,
    /// The caller's wait ended before the nodes' time did: a silent node says
    /// nothing then.
    pub(super) cut_short: bool,
    /// More nodes than can be spared failed in a way that no waiting cures.
    pub(super) is_hopeless: bool,
    /// When enough of the keys in the way end by themselves, if that is known.
    pub(super) free_in: Option<Duration>,
}

/// What becomes of a waiter whose attempt was lost.
pub(super) enum Next {
    /// It tries again then.
    Retry(Moment),
    /// Its caller is told why not.
    GiveUp(Error),
}

/// One caller's acquire, over all its attempts.
pub(crate) struct Waiter {
    pub(super) request: AcquireRequest,
    backoff: Backoff,
    pub(super) begun_at: Moment,
    /// Where its line is in the table.
    pub(super) slot: Slot,
    pub(super) attempts: u32,
    /// Whether the present attempt was begun because of a notification.
    pub(super) notified: bool,
    /// Whether this client was subscribed on a quorum when the attempt began.
    pub(super) was_subscribed: bool,
    /// The polling floor: it tries again by then even if nothing is heard.
    pub(super) poll_by: Moment,
    /// The channel's release count when this caller joined.
    pub(super) joined: u64,
    /// Its number in the line, and where its patience is filed.
    pub(super) number: u64,
    pub(super) due: Option<Due>,
    /// What its last attempt found.
    pub(super) before: Option<LastAttempt>,
    /// The time since which no attempt has found a quorum of nodes able to
    /// answer.
    pub(super) failing_since: Option<Moment>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("key", &self.request.key)
            .field("patience", &self.request.patience)
            .field("is_wanted", &self.is_wanted())
            .field("begun_at", &self.begun_at)
            .field("attempts", &self.attempts)
            .field("notified", &self.notified)
            .field("joined", &self.joined)
            .field("failing_since", &self.failing_since)
            .finish_non_exhaustive()
    }
}

impl Waiter {
    /// It begins when the engine takes it.
    pub(super) fn new(request: AcquireRequest) -> Self {
        Self {
            backoff: request.shared.config.retry,
            request,
            begun_at: Moment::PAST,
            slot: Slot::default(),
            attempts: 0,
            notified: false,
            was_subscribed: false,
            poll_by: Moment::NEVER,
            joined: 0,
            number: 0,
            due: None,
            before: None,
            failing_since: None,
        }
    }

    /// How many of the `heard` releases came after this caller joined.
    pub(super) fn age(&self, heard: u64) -> u32 {
        u32::try_from(heard.saturating_sub(self.joined)).unwrap_or(u32::MAX)
    }

    /// Whether its caller still listens.
    pub(super) fn is_wanted(&self) -> bool {
        !self.request.reply.is_closed()
    }

    /// Whether it is a single attempt, which stands in no line.
    pub(super) fn is_once(&self) -> bool {
        self.request.patience == Patience::Once
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
        self.is_wanted() && (self.is_once() || self.attempts > 1 && !self.notified)
    }

    pub(super) fn refuse(self, error: Error) {
        tracing::debug!(key = %self.request.key, kind = ?error.kind(), "lock not acquired");
        // A caller that is gone needs no error.
        let _ = self.request.reply.send(Err(error));
    }

    /// Gives the caller its lock. If nobody takes it, its drop releases.
    pub(super) fn accept(self, claim: Arc<Claim>) {
        let AcquireRequest { shared, reply, .. } = self.request;
        if let Err(Ok(unclaimed)) = reply.send(Ok(Won::new(shared, claim))) {
            leave_to_nobody(unclaimed);
        }
    }

    /// The end of an attempt that begins now and would get until `whole`. The
    /// first one always gets all of it, as a lone attempt would; later ones end
    /// with the wait.
    pub(super) fn give_up_at(&self, whole: Moment, now: Moment) -> Moment {
        match self.request.patience {
            Patience::Until(limit) if now > self.begun_at => whole.min(limit),
            _ => whole,
        }
    }

    /// Goes on with what the waiter before it in the line has found.
    pub(super) fn inherit(&mut self, failing_since: Option<Moment>) {
        self.failing_since = failing_since.map(|since| since.max(self.begun_at));
    }

    /// What becomes of it after an attempt that was lost, where `closed` is
    /// whether the client was shut down.
    pub(super) fn after_loss(
        &mut self,
        found: Found,
        closed: bool,
        draw: u64,
        config: &Config,
        now: Moment,
    ) -> Next {
        let Found { attempt, granted, cut_short, is_hopeless, free_in } = found;
        // Its first attempt started so late that no node could answer in time.
        let in_line =
            self.before.is_none() && attempt.loss == Loss::NoQuorum && cut_short && !is_hopeless;
        let told = what_stands(self.before.take(), attempt, cut_short, is_hopeless);
        if closed && !self.is_once() {
            return Next::GiveUp(Error::closed());
        }
        if !is_hopeless && let Some(at) = self.next_attempt(told.loss, free_in, draw, now) {
            self.before = Some(told);
            return Next::Retry(at);
        }
        Next::GiveUp(if in_line {
            self.explain_line(None, now)
        } else {
            self.explain(config, granted, told.loss, free_in, now).with_nodes(told.reports)
        })
    }

    /// When to try again; `None` if the wait is over.
    fn next_attempt(
        &mut self,
        loss: Loss,
        free_in: Option<Duration>,
        draw: u64,
        now: Moment,
    ) -> Option<Moment> {
        if self.is_once() {
            return None;
        }
        let left = self.tries_until(loss, now).since(now);
        if left <= LAST_ATTEMPT || !self.is_wanted() {
            return None;
        }
        let notified = loss == Loss::Contended && self.was_subscribed;
        let mut delay = self.delay(notified, draw);
        if let Some(free_in) = free_in {
            delay = delay.min(free_in.saturating_add(EXPIRY_GRANULARITY));
        }
        Some(now.after(delay.min(left / 2)))
    }

    /// Until when it goes on after such a loss.
    fn tries_until(&mut self, loss: Loss, now: Moment) -> Moment {
        if mutant::is(Mutant::WaitWithoutEnd) {
            return Moment::NEVER;
        }
        if loss == Loss::Contended {
            self.failing_since = None;
        }
        match self.request.patience {
            Patience::Until(limit) => limit,
            _ if loss == Loss::Contended => Moment::NEVER,
            _ => self.servers_until(now),
        }
    }

    /// Until when it waits for nodes that can't answer. Waiting for a holder can
    /// be meant to last; waiting for servers that are gone is a hang. A ttl rides
    /// out a failover.
    fn servers_until(&mut self, now: Moment) -> Moment {
        if mutant::is(Mutant::ForeverWithoutEnd) {
            return Moment::NEVER;
        }
        self.failing_since.get_or_insert(now).after(self.request.ttl.as_duration())
    }

    /// How long to wait: to the polling floor where it will be notified.
    fn delay(&mut self, notified: bool, draw: u64) -> Duration {
        if notified && mutant::is(Mutant::NoPollingFloor) {
            return Duration::from_secs(3600);
        }
        if notified { self.backoff.floor(draw) } else { self.backoff.next_delay(draw) }
    }

    /// What to say to a waiter that was not first in line when its time was over.
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

/// Which of two attempts says why the lock was not acquired: the present one,
/// or the one `before` it where nobody had time to answer the present one.
fn what_stands(
    before: Option<LastAttempt>,
    attempt: LastAttempt,
    cut_short: bool,
    is_hopeless: bool,
) -> LastAttempt {
    if mutant::is(Mutant::CutShortForgetsWhy) {
        return attempt;
    }
    match before {
        _ if is_hopeless => LastAttempt { loss: Loss::NoQuorum, ..attempt },
        Some(before) if attempt.loss == Loss::NoQuorum && cut_short => before,
        _ => attempt,
    }
}

/// A lock that was won for a caller that is gone: its drop releases it.
fn leave_to_nobody(mut unclaimed: Won) {
    if mutant::is(Mutant::RollbackByTheCaller) {
        unclaimed.leave();
    }
}
