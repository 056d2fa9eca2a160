//! When a waiter tries again after an attempt that was lost, or that it gives up. The
//! numbers are in `pacing`; it asks no node.

use std::time::Duration;

use super::{
    pacing::{EXPIRY_GRANULARITY, LAST_ATTEMPT, MOST_DOUBLINGS, TRUSTED},
    request::Patience,
    stand::{Found, LastAttempt, Stand, what_stands},
    waiter::Waiter,
};
use crate::{
    config::Config,
    error::Error,
    mutant::{self, Mutant},
    protocol::{Backoff, Loss, Moment, NodeId},
    token::Token,
};

/// What becomes of a waiter whose attempt was lost.
pub(super) enum Next {
    /// It looks again then whether the others have settled it.
    Look(Moment),
    /// It tries again then.
    Retry(Moment),
    /// Its caller is told why not.
    GiveUp(Error),
}

impl Waiter {
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
        let Found { mut attempt, granted, cut_short, is_hopeless } = found;
        if let Some(before) = self.before.as_ref().filter(|_| self.is_once()) {
            attempt.recall(before);
        }
        // Its first attempt started so late that no node could answer in time.
        let in_line = !self.is_once()
            && self.before.is_none()
            && attempt.loss == Loss::NoQuorum
            && cut_short
            && !is_hopeless;
        let (loss, stand) = (attempt.loss, attempt.stand.clone());
        if loss == Loss::NoQuorum && attempt.is_held_back(config.quorum.votes()) {
            // It is known when that ends, so it is no hang to wait for it.
            self.failing_since = None;
        }
        let before = self.before.take().map(|before| *before).filter(|_| !is_hopeless);
        let mut told = match before {
            Some(before) if self.is_no_news(&attempt, &before, cut_short) => before,
            before => what_stands(before, attempt, cut_short, is_hopeless),
        };
        if closed && !self.is_once() {
            return Next::GiveUp(Error::closed());
        }
        self.note_stand(loss, stand.as_ref(), config);
        // A single attempt goes by what it met itself: it must end.
        let counts = if self.is_once() { loss } else { told.loss };
        let goes_on = !is_hopeless && !closed;
        let doubts = self.doubts(stand.as_ref(), granted);
        self.has_doubted |= doubts;
        if doubts && let Some(stand) = &mut told.stand {
            // Nobody is told of it as a holder, unless another look shows it.
            (stand.holder, stand.is_seen) = (None, false);
        }
        if goes_on && let Some(at) = self.next_attempt(counts, stand.as_ref(), doubts, draw, now) {
            self.before = Some(Box::new(told));
            return if self.has_rivals() { Next::Look(at) } else { Next::Retry(at) };
        }
        Next::GiveUp(if in_line {
            self.explain_line(None, None, now)
        } else {
            self.explain(config, told, now)
        })
    }

    /// Whether a refusal says less than what was found `before`.
    fn is_no_news(&self, attempt: &LastAttempt, before: &LastAttempt, cut_short: bool) -> bool {
        // A holder that a single attempt did not know of is what it must end with.
        let known = before.stand.as_ref().filter(|known| known.is_taken());
        let is_known = |stand: &Stand| known.is_some_and(|known| known.holder == stand.holder);
        let has_found = |stand: &Stand| self.is_once() && stand.is_taken() && !is_known(stand);
        if attempt.loss != Loss::Contended
            || attempt.is_seen()
            || attempt.stand.as_ref().is_some_and(has_found)
        {
            return false;
        }
        // A home node that says no does not say that a quorum of nodes is up.
        let is_one = self.heard_one && before.loss == Loss::NoQuorum;
        // There was no time to look behind it, or too few answered: nothing says that it changed.
        let stays = before.stand.as_ref().is_some_and(|stand| stand.stuck.is_some());
        let is_stuck = stays && !attempt.has_changed;
        // What no contender gives back does not go while nodes are slow to say so again.
        let stays =
            |known: &&Stand| known.obstacle().is_some() && !known.has_ended(attempt.began_at);
        let is_obstacle = before.is_seen() && known.filter(stays).is_some();
        let stands = cut_short && (before.is_seen() || is_stuck);
        is_one || (stands || is_obstacle && !attempt.has_changed) && !self.notified
    }

    /// Whether somebody has votes, and may be about to win: a single attempt leaves such a
    /// one alone, since it would take away what the other is waiting for.
    fn has_rivals(&self) -> bool {
        let rivals = self.rivals.as_ref().filter(|_| self.is_once());
        rivals.is_some_and(|rivals| !rivals.nodes().minus(self.stale).is_empty())
    }

    /// Whether the holder that it sees, where votes were split a moment ago, may be a client of
    /// this library that has given up waiting for a slow node, which granted it after all, and
    /// takes its votes back. It looks once more then: whoever has really won has them still.
    fn doubts(&self, stand: Option<&Stand>, granted: usize) -> bool {
        let believes =
            mutant::is(Mutant::SplitIsAHolder) || mutant::is(Mutant::FirstLookIsBelieved);
        let has_split = granted > 0 || self.looks > 1;
        let holder = stand.and_then(|stand| stand.holder.as_ref());
        let is_ours = holder.is_some_and(Token::is_of_our_shape);
        self.is_once() && is_ours && has_split && !believes && !self.has_doubted
    }

    /// Notes whom it waits for, if it will hear of the release.
    fn note_stand(&mut self, loss: Loss, stand: Option<&Stand>, config: &Config) {
        let holder = stand.and_then(|stand| stand.holder.as_ref());
        let is_trusted = |value: &&Token| value.is_of_our_shape() || trusts_strangers();
        // A node that does not have the key any more will not tell of its release.
        let tells = |value: &&Token| self.tellers(value) >= config.quorum.votes();
        // And its end without a release must be known.
        let ends = stand.is_some_and(|stand| stand.free_in().is_some());
        let may = loss == Loss::Contended && ends;
        let holder = holder.filter(|_| may).filter(is_trusted).filter(tells);
        self.holder = holder.cloned();
    }

    /// `node` will not tell of releases any more. Says whether that leaves too few that
    /// will tell of the holder's.
    pub(super) fn lose_teller(&mut self, node: NodeId, votes: usize) -> bool {
        self.subscribed.remove(node);
        self.holder.take().is_some_and(|holder| {
            let tell = self.tellers(&holder) >= votes;
            self.holder = Some(holder).filter(|_| tell);
            !tell
        })
    }

    /// How many nodes have `value` and will tell of its release.
    fn tellers(&self, value: &Token) -> usize {
        let rivals = self.rivals.as_ref();
        rivals.map_or(0, |rivals| rivals.with(value).and(self.subscribed).len())
    }

    /// When to try again; `None` if the wait is over.
    fn next_attempt(
        &mut self,
        loss: Loss,
        stand: Option<&Stand>,
        doubts: bool,
        draw: u64,
        now: Moment,
    ) -> Option<Moment> {
        if !self.is_wanted() {
            return None;
        }
        if self.is_once() {
            return self.next_of_once(loss, stand, doubts, draw, now);
        }
        let left = self.tries_until(loss, now).since(now);
        if left <= LAST_ATTEMPT {
            return None;
        }
        let mut delay = self.delay(loss, draw);
        if let Some(free_in) = stand.and_then(Stand::free_in) {
            delay = delay.min(free_in.saturating_add(EXPIRY_GRANULARITY));
        }
        // Whoever will be told needs no last try.
        let most = if self.holder.is_some() { left } else { left / 2 };
        Some(now.after(delay.min(most)))
    }

    /// A single attempt goes on only where nobody is known to have the lock: until the
    /// contenders have settled who gets it.
    fn next_of_once(
        &self,
        loss: Loss,
        stand: Option<&Stand>,
        doubts: bool,
        draw: u64,
        now: Moment,
    ) -> Option<Moment> {
        if loss != Loss::Contended || stand.is_none_or(Stand::is_taken) && !doubts {
            return None;
        }
        // With less than a round trip left, no answer would come in time.
        let left = self.settles_until().since(now).saturating_sub(self.round_trip);
        let doublings = self.looks.min(MOST_DOUBLINGS);
        let pause = match self.has_rivals() {
            // Whoever gives its votes back has sent for it already.
            true if doubts => self.round_trip.min(left),
            // Whoever insists needs a look and a round for it.
            true => {
                let longest = self.round_trip.saturating_mul(1 << doublings);
                Backoff::new(longest, longest).floor(draw)
            }
            // Where nobody does, the first wins: there is no reason to give up early.
            false => {
                let longest = self.silence().min(left);
                Backoff::new(longest, longest).longest_delay(draw)
            }
        };
        (pause < left || doubts && !left.is_zero()).then(|| now.after(pause))
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

    /// How long to wait: for seconds where the release of a known holder will be heard
    /// of, and to the polling floor where releases are heard, but nobody is known.
    fn delay(&mut self, loss: Loss, draw: u64) -> Duration {
        let votes = self.request.shared.config.quorum.votes();
        let hears = loss == Loss::Contended && self.subscribed.len() >= votes;
        if hears && mutant::is(Mutant::NoPollingFloor) {
            return Duration::from_secs(3600);
        }
        if self.holder.is_some() {
            let rarely = Backoff::new(TRUSTED, TRUSTED).floor(draw);
            return rarely.max(self.backoff.floor(draw));
        }
        if hears { self.backoff.floor(draw) } else { self.backoff.next_delay(draw) }
    }
}

/// Whether the release of any holder is taken to be published.
fn trusts_strangers() -> bool {
    mutant::is(Mutant::StrangersAreTrusted)
}
