//! What a caller is told whose acquire has failed: why, in words that say what to do,
//! and when it may be worth another try. It decides nothing.

use std::time::Duration;

use super::{
    request::Patience,
    stand::{LastAttempt, Stand, Stuck},
    waiter::Waiter,
};
use crate::{
    config::Config,
    error::{Error, ErrorKind, NodeAnswer, NodeReport},
    exchange::Life,
    protocol::{Loss, Moment},
    spelled::{Exact, Shown, Spelled},
};

impl Waiter {
    /// What to say to a waiter that was not first in line when its time was over.
    pub(super) fn explain_line(
        &self,
        free_in: Option<Duration>,
        owner: Option<&str>,
        now: Moment,
    ) -> Error {
        let (key, waited) = (&self.request.key, now.since(self.begun_at));
        let who = owner.map(|owner| format!(", now `{}`", Shown(owner.as_bytes())));
        let message = format!(
            "lock {key}: for {}, other tasks of this client had it or came first{}",
            Spelled(waited),
            who.unwrap_or_default()
        );
        Error::new(ErrorKind::Timeout, message).with_retry_after(free_in).with_owner(owner)
    }

    /// Why it was lost, by what was `told`.
    pub(super) fn explain(&self, config: &Config, told: LastAttempt, now: Moment) -> Error {
        let stand = told.stand.map(|stand| stand.aged(now));
        let (key, stand) = (&self.request.key, stand.as_ref());
        let is_grant = |report: &&NodeReport| matches!(report.answer(), NodeAnswer::Granted);
        let granted = told.reports.iter().filter(is_grant).count();
        let (votes, nodes) = (config.quorum.votes(), config.quorum.nodes());
        let waited = now.since(self.begun_at);
        let (kind, message) = match (told.loss, self.request.patience) {
            (Loss::Contended, Patience::Once) => {
                let (who, cure) = (InTheWay::by(stand).at_once(nodes), cure(stand, config));
                let message = format!(
                    "lock {key}{who}: {granted} of {nodes} nodes granted it, {votes} are \
                     needed{cure}"
                );
                (ErrorKind::Contended, message)
            }
            (Loss::Contended, _) => {
                let (what, cure) = (InTheWay::by(stand).still(nodes), cure(stand, config));
                (ErrorKind::Timeout, format!("lock {key}{what} after {}{cure}", Spelled(waited)))
            }
            (Loss::NoQuorum, _) => {
                let message = format!(
                    "lock {key}: {granted} of {nodes} nodes granted it, {votes} are needed, and \
                     too many could not vote"
                );
                (ErrorKind::NoQuorum, message)
            }
            (Loss::Expired, _) => {
                let ttl = Exact(self.request.ttl.as_duration());
                let message = format!(
                    "lock {key}: the nodes granted it too late for its ttl of {ttl}: use a \
                     longer one"
                );
                (ErrorKind::Expired, message)
            }
        };
        let is_contended = told.loss == Loss::Contended;
        let after = if is_contended { self.retry_after(stand, config) } else { None };
        let owner = stand.filter(|_| is_contended).and_then(Stand::owner);
        let error = Error::new(kind, message).with_retry_after(after).with_owner(owner);
        let error = error.with_nodes(told.reports);
        if stand.is_some_and(|stand| has_no_end(stand, config)) {
            error.without_end()
        } else {
            error
        }
    }

    /// How long a holder may still have the lock; or a round trip or two, where there is
    /// none, and a node timeout where values stay on too few nodes to be known as a holder's.
    /// Nothing where what is in the way never ends by itself, or ends beyond all reason.
    fn retry_after(&self, stand: Option<&Stand>, config: &Config) -> Option<Duration> {
        // Whoever looked only at votes knows of no holder.
        let Some(stand) = stand else { return self.is_once().then(|| self.silence()) };
        if stand.is_taken() {
            return stand.free_in().filter(|_| !has_no_end(stand, config));
        }
        // Whoever insists gives its votes back within a node timeout.
        let is_stuck = stand.stuck.is_some();
        Some(if is_stuck { config.node_timeout(self.request.ttl) } else { self.silence() })
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

/// Who or what is in the way.
enum InTheWay<'a> {
    /// A holder, and what it calls itself.
    Holder(Option<&'a str>),
    /// A holder, perhaps: too little was seen to know.
    Somebody,
    /// What no contender gives back.
    Thing(&'static str),
    /// Values that stay, on too few nodes to be known as a holder's.
    Values(Stuck),
    /// Others that ask at the same time.
    Others,
}

impl<'a> InTheWay<'a> {
    fn by(stand: Option<&'a Stand>) -> Self {
        let Some(stand) = stand else { return Self::Somebody };
        match (stand.obstacle(), stand.stuck) {
            (Some(what), _) => Self::Thing(what),
            _ if stand.holder.is_some() => Self::Holder(stand.owner()),
            _ if stand.is_taken() => Self::Somebody,
            (None, Some(stuck)) => Self::Values(stuck),
            (None, None) if stand.is_seen => Self::Others,
            (None, None) => Self::Somebody,
        }
    }

    /// What to tell a single attempt at `nodes` nodes, behind the lock's name.
    fn at_once(&self, nodes: usize) -> String {
        match self {
            Self::Holder(Some(owner)) => format!(" is held by `{}`", Shown(owner.as_bytes())),
            Self::Holder(None) | Self::Somebody => " is held or asked for by another".into(),
            Self::Thing(what) => format!(" can't be had, {what} is at its key"),
            Self::Values(stuck) => format!(" has {}", values_that_stay(*stuck, nodes)),
            Self::Others => " was asked for by others at the same time".into(),
        }
    }

    /// And a waiter whose time is over.
    fn still(&self, nodes: usize) -> String {
        match self {
            Self::Holder(Some(owner)) => {
                format!(" was still held by `{}`", Shown(owner.as_bytes()))
            }
            Self::Holder(None) => " was still held by another".into(),
            Self::Somebody => " was still held or asked for by another".into(),
            Self::Thing(what) => format!(": {what} was still at its key"),
            Self::Values(stuck) => format!(" still had {}", values_that_stay(*stuck, nodes)),
            Self::Others => " was still asked for by others".into(),
        }
    }
}

/// Where values stay that are not known as a holder's.
fn values_that_stay(stuck: Stuck, nodes: usize) -> String {
    let silent = match stuck.silent {
        0 => String::new(),
        silent => format!(", and {silent} gave no answer"),
    };
    format!("others' values on {} of {nodes} nodes, which did not change{silent}", stuck.nodes)
}

/// How long the key in the way lives, and what to do where it does not end in time, or is
/// no lock of this kind.
fn cure(stand: Option<&Stand>, config: &Config) -> String {
    const CURE: &str = "if nobody uses it any more, DEL it at the nodes";
    let is_it = |stand: &&Stand| stand.is_taken() || stand.stuck.is_some();
    let Some(stand) = stand.filter(is_it) else { return String::new() };
    let most = config.max_ttl().as_duration();
    match stand.life {
        Some(Life::Endless) => format!(", and its key never expires: {CURE}"),
        Some(Life::Left(left)) if left > most => format!(
            ", and its key lives for {}, beyond the longest ttl of {}: does its holder use a longer \
             one, or was a server's clock set back? {}",
            Spelled(left),
            Spelled(most),
            CURE.replacen('i', "I", 1)
        ),
        Some(Life::Left(left)) if stand.obstacle().is_some() => {
            format!(", {} left unless it is deleted sooner: {CURE}", Spelled(left))
        }
        Some(Life::Left(left)) => format!(", {} left unless released sooner", Spelled(left)),
        Some(Life::Untold) | None if stand.obstacle().is_some() => format!(": {CURE}"),
        Some(Life::Untold) | None => String::new(),
    }
}
