//! After a split vote: which attempt keeps the votes it has and asks for the
//! rest.
//!
//! The rule is `protocol::home`'s. It applies to waiters: an attempt that is
//! made once stays one round. Votes are kept for a few tries only, since what
//! looks like a split vote may be another's lock.

use std::{sync::Arc, time::Duration};

use super::{Attempt, Head, Setting};
use crate::{
    config::Config,
    engine::{
        pacing::{KEEP_PAUSES, ROUND_TRIP},
        request::Patience,
    },
    protocol::{Moment, home},
};

/// The state of a round that was lost to a split and may still be won.
#[derive(Debug)]
pub(super) struct KeptVotes {
    tries: usize,
    /// When the nodes that refused are asked once more.
    again_at: Option<Moment>,
    /// The home node's answer is waited for until then.
    home_by: Option<Moment>,
    /// Whether that time has yet to come.
    waits_for_home: bool,
    /// How long the first verdict took.
    took: Duration,
}

impl KeptVotes {
    /// A split that was found `took` after the start. As yet no votes are kept.
    fn after(took: Duration) -> Self {
        Self { tries: 0, again_at: None, home_by: None, waits_for_home: false, took }
    }

    /// Waits for the home node's answer until `by`: it decides.
    fn wait_for_home(&mut self, by: Moment) -> bool {
        self.waits_for_home |= self.home_by.replace(by).is_none();
        true
    }

    /// Keeps the votes, and plans to ask the nodes that refused again `at` that time.
    fn plan(&mut self, at: Moment) -> bool {
        self.tries = self.tries.saturating_add(1);
        self.again_at = Some(at);
        true
    }

    pub(super) fn were_kept(&self) -> bool {
        self.tries > 0
    }

    /// When to call [`Self::is_due`].
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        let home_by = self.home_by.filter(|_| self.waits_for_home);
        self.again_at.into_iter().chain(home_by).min()
    }

    /// Whether it is time to ask once more; notes what is past.
    pub(super) fn is_due(&mut self, due: Moment) -> bool {
        if self.home_by.is_some_and(|by| by <= due) {
            self.waits_for_home = false;
        }
        self.again_at.take_if(|at| *at <= due).is_some()
    }
}

/// What becomes of a lost round.
enum Next {
    Wait(Moment),
    AskAgain(Moment),
    Over,
}

impl Attempt {
    /// Whether the lost round goes on, or may; plans what it does next.
    pub(super) fn keeps_votes(&mut self, head: &Head, setting: &Setting<'_>) -> bool {
        if setting.closed {
            return false;
        }
        let took = setting.now.since(head.started_at);
        let mut kept = self.kept.take().unwrap_or_else(|| Box::new(KeptVotes::after(took)));
        let goes_on = kept.again_at.is_some()
            || match self.after_split(&kept, head, setting.config, setting.now) {
                Next::Wait(by) => kept.wait_for_home(by),
                Next::AskAgain(at) => kept.plan(at),
                Next::Over => false,
            };
        self.kept = Some(kept);
        goes_on
    }

    fn after_split(&self, kept: &KeptVotes, head: &Head, config: &Config, now: Moment) -> Next {
        let Some(waiter) = self.waiter.as_ref().filter(|waiter| waiter.is_wanted()) else {
            return Next::Over;
        };
        let limit = match waiter.request.patience {
            Patience::Once => return Next::Over,
            Patience::Until(limit) => limit.min(self.lease.until),
            Patience::Forever => self.lease.until,
        };
        let awaited = self.round.outstanding().and(head.awaited);
        let among = self.round.granted().union(self.round.refused()).union(awaited);
        let names = config.node_names().map(|(node, name): (_, &Arc<str>)| (node, &**name));
        let (least, most) = ROUND_TRIP;
        let round_trip = kept.took.clamp(least, most);
        let Some(home) = home(head.claim.key.as_bytes(), names, among) else { return Next::Over };
        if awaited.contains(home) {
            let by = kept.home_by.unwrap_or_else(|| now.after(round_trip));
            let by = by.min(head.give_up_at);
            return if now < by { Next::Wait(by) } else { Next::Over };
        }
        let pause = KEEP_PAUSES.get(kept.tries);
        match pause.map(|quarters| now.after(round_trip / 4 * *quarters)) {
            Some(at) if self.round.granted().contains(home) && at < limit => Next::AskAgain(at),
            _ => Next::Over,
        }
    }
}
