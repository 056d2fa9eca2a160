//! What a caller is told whose acquire has failed: why, in words that say what to do,
//! and when it may be worth another try. It decides nothing.

use std::time::Duration;

use super::{request::Patience, stand::Stand, waiter::Waiter};
use crate::{
    config::Config,
    error::{Error, ErrorKind},
    exchange::Life,
    protocol::{Loss, Moment},
};

impl Waiter {
    /// What to say to a waiter that was not first in line when its time was over.
    pub(super) fn explain_line(&self, free_in: Option<Duration>, now: Moment) -> Error {
        let (key, waited) = (&self.request.key, now.since(self.begun_at));
        let message =
            format!("lock {key}: for {waited:?}, other tasks of this client had it or came first");
        Error::new(ErrorKind::Timeout, message).with_retry_after(free_in)
    }

    /// Why an attempt with `granted` votes was lost, and what `stand`s in the way.
    pub(super) fn explain(
        &self,
        config: &Config,
        granted: usize,
        loss: Loss,
        stand: Option<&Stand>,
        now: Moment,
    ) -> Error {
        let stand = stand.map(|stand| stand.aged(now));
        let (key, stand) = (&self.request.key, stand.as_ref());
        let (votes, nodes) = (config.quorum.votes(), config.quorum.nodes());
        let waited = now.since(self.begun_at);
        let (kind, message) = match (loss, self.request.patience) {
            (Loss::Contended, Patience::Once) => {
                let (who, cure) = (in_the_way(stand), cure(stand, config));
                let message = format!(
                    "lock {key} {who}: {granted} of {nodes} nodes granted it, {votes} are \
                     needed{cure}"
                );
                (ErrorKind::Contended, message)
            }
            (Loss::Contended, _) => {
                let cure = cure(stand, config);
                let message = match stand.and_then(Stand::obstacle) {
                    Some(what) => {
                        format!("lock {key}: {what} was still at its key after {waited:?}{cure}")
                    }
                    None => format!("lock {key} was still held by another after {waited:?}{cure}"),
                };
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
        let after = if loss == Loss::Contended { self.retry_after(stand, config) } else { None };
        let error = Error::new(kind, message).with_retry_after(after);
        if stand.is_some_and(|stand| has_no_end(stand, config)) {
            error.without_end()
        } else {
            error
        }
    }

    /// How long a holder may still have the lock; or a round trip or two, where there is
    /// none. Nothing where its key never ends by itself, or ends beyond all reason.
    fn retry_after(&self, stand: Option<&Stand>, config: &Config) -> Option<Duration> {
        // Whoever looked only at votes knows of no holder.
        let Some(stand) = stand else { return self.is_once().then(|| self.silence()) };
        if stand.is_taken() {
            return stand.free_in().filter(|_| !has_no_end(stand, config));
        }
        Some(self.silence())
    }
}

/// Whether what is in the way never goes by itself, or later than any lock would.
fn has_no_end(stand: &Stand, config: &Config) -> bool {
    match stand.life.filter(|_| stand.is_taken()) {
        Some(Life::Endless) => true,
        Some(Life::Left(left)) => left > config.max_ttl().as_duration(),
        Some(Life::Untold) | None => false,
    }
}

/// Who or what is in the way of a single attempt.
fn in_the_way(stand: Option<&Stand>) -> String {
    match stand {
        Some(stand) if !stand.is_taken() => "was asked for by others at the same time".into(),
        Some(stand) => match stand.obstacle() {
            Some(what) => format!("can't be had, {what} is at its key"),
            None => "is held or asked for by another".into(),
        },
        None => "is held or asked for by another".into(),
    }
}

/// How long the key in the way lives, and what to do where it does not end in time, or is
/// no lock of this kind.
fn cure(stand: Option<&Stand>, config: &Config) -> String {
    const CURE: &str = "if nobody uses it any more, DEL it at the nodes";
    let Some(stand) = stand.filter(|stand| stand.is_taken()) else { return String::new() };
    let most = config.max_ttl().as_duration();
    match stand.life {
        Some(Life::Endless) => format!(", and its key never expires: {CURE}"),
        Some(Life::Left(left)) if left > most => format!(
            ", and its key lives for {left:?}, beyond the longest ttl of {most:?}: was a server's \
             clock set back? {}",
            CURE.replacen('i', "I", 1)
        ),
        Some(Life::Left(left)) if stand.obstacle().is_some() => {
            format!(", {left:?} left unless it is deleted sooner: {CURE}")
        }
        Some(Life::Left(left)) => format!(", {left:?} left unless released sooner"),
        Some(Life::Untold) | None if stand.obstacle().is_some() => format!(": {CURE}"),
        Some(Life::Untold) | None => String::new(),
    }
}
