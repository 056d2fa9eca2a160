//! Waiting for a lock: whose turn it is, and when to try.
//!
//! Of all tasks of this client that want a key, the first in line competes for
//! it. It tries when a quorum of nodes has published a release, when the key's
//! remaining life has passed, or at the polling floor; what is published is only
//! a hint. While this client itself holds the lock, nobody tries at all: the
//! lock's end is known here.
//!
//! Nothing here asks a node: a waiter whose turn it is is given back, to be tried
//! for. `line` and `waiting` keep the order, `channels` what is heard; `released` says what
//! grants and releases do to a line, and `leaving` how a waiter leaves it.

mod channels;
mod leaving;
mod line;
mod released;
mod waiting;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub(crate) use self::channels::Wish;
use self::{channels::Channels, line::Lines};
use super::{
    request::Patience,
    waiter::{Slot, Waiter},
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    key::Key,
    mutant::{self, Mutant},
    protocol::{Moment, NodeSet, Schedule},
};

/// A waiter whose turn it is, if it is one's: the engine begins an attempt for it at
/// once.
pub(super) type Turn = Option<Box<Waiter>>;

/// Whose turn it is, for all keys of one client.
pub(super) struct Turns {
    config: Arc<Config>,
    lines: Lines,
    channels: Channels,
    timers: Schedule<Timer>,
    /// Single attempts that are made once more after a split vote. They stand in no line.
    once: BTreeMap<u64, Box<Waiter>>,
    /// The number of the last waiter in any line.
    last: u64,
}

/// What can be due.
#[derive(Debug)]
pub(super) enum Timer {
    /// It is time for the first in line to try.
    Turn(Box<Key>),
    /// The patience of a waiter in line is at its end.
    Patience { key: Box<Key>, number: u64 },
    /// A single attempt is made once more, or only looks again.
    Once { number: u64, looks: bool },
    /// Channels may have become idle.
    Idle,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns")
            .field("lines", &self.lines)
            .field("channels", &self.channels)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}

impl Turns {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            lines: Lines::default(),
            channels: Channels::default(),
            timers: Schedule::new(),
            once: BTreeMap::new(),
            last: 0,
        }
    }

    /// Takes a new waiter. Returns it if it may try at once; otherwise puts it in its
    /// line, and returns the waiter whose turn it then is.
    pub(super) fn come(&mut self, mut waiter: Box<Waiter>, now: Moment) -> Turn {
        waiter.begun_at = now;
        waiter.joined = self.channels.releases_heard(&waiter.request.key);
        let key = &waiter.request.key;
        waiter.slot = self.lines.slot(key);
        if waiter.is_once() {
            return Some(waiter);
        }
        let line = self.lines.get_at(waiter.slot, key);
        if line.is_none_or(|line| line.is_free(now)) {
            return Some(waiter);
        }
        self.stand_in_line(waiter, now)
    }

    /// Puts a waiter at the end of its line, if there is room.
    fn stand_in_line(&mut self, mut waiter: Box<Waiter>, now: Moment) -> Turn {
        let most = self.config.max_waiters;
        let key = waiter.request.key.clone();
        let waiting = self.lines.waiting(&key);
        if waiting.wants_sweep(most) {
            waiting.sweep().into_iter().for_each(|due| drop(self.timers.cancel(due)));
        }
        if waiting.len() >= most {
            self.tidy(&key);
            let message = format!(
                "{most} tasks of this client are waiting for lock {key} already: try again later, \
                 or raise max_waiters"
            );
            waiter.refuse(Error::new(ErrorKind::Busy, message));
            return None;
        }
        self.file_patience(&key, &mut waiter);
        let waiting = self.lines.waiting(&key);
        waiting.join(waiter);
        // The line may have no wake-up, or only that of a waiter that is gone.
        let alone = waiting.first_mut().is_none_or(|first| !first.is_wanted());
        if waiting.wake.is_none() || alone { self.look_at(&key, now) } else { None }
    }

    /// Notes that an attempt for `waiter` begins. Says how many releases it has
    /// waited for.
    pub(super) fn begin_trying(&mut self, waiter: &mut Waiter, now: Moment) -> u32 {
        let key = &waiter.request.key;
        waiter.subscribed =
            if waiter.is_once() { NodeSet::EMPTY } else { self.channels.subscribed(key) };
        waiter.in_crowd = !waiter.is_once()
            && !waiter.notified
            && self.channels.is_crowded(key, self.config.quorum.votes(), now);
        waiter.attempts = waiter.attempts.saturating_add(1);
        waiter.age(self.channels.releases_heard(key))
    }

    /// Notes, at the end of an attempt, which nodes have told of all releases since it
    /// began.
    pub(super) fn note_hearing(&self, waiter: &mut Waiter) {
        let still = self.channels.subscribed(&waiter.request.key);
        waiter.subscribed = waiter.subscribed.and(still);
    }

    /// Notes that a round for `claim` runs, of the waiter with this `slot`.
    pub(super) fn note_trying(&mut self, slot: Slot, claim: &Arc<Claim>) {
        self.lines.begin_trying(slot, claim);
    }

    /// Puts a waiter back in front: its attempt was lost, and it tries again `at`.
    pub(super) fn wait_for_turn(
        &mut self,
        mut waiter: Box<Waiter>,
        at: Moment,
        now: Moment,
    ) -> Turn {
        let key = waiter.request.key.clone();
        (waiter.notified, waiter.poll_by) = (false, at);
        self.listen(&key, now);
        let waiting = self.lines.waiting(&key);
        let news = std::mem::take(&mut waiting.news);
        waiting.before.clone_from(&waiter.before);
        self.lines.vacate(&key);
        self.put_back(waiter);
        self.wake(&key, at);
        if news { self.hear_release(&key, now) } else { None }
    }

    /// Keeps a single attempt until it is made once more, or only `looks` again.
    pub(super) fn retry_once(&mut self, mut waiter: Box<Waiter>, looks: bool, at: Moment) {
        self.last = self.last.wrapping_add(1);
        waiter.number = self.last;
        self.timers.push(at, Timer::Once { number: waiter.number, looks });
        self.once.insert(waiter.number, waiter);
    }

    /// Takes out the single attempt with that number.
    pub(super) fn take_once(&mut self, number: u64) -> Turn {
        self.once.remove(&number)
    }

    /// Puts a waiter back in front, as it was.
    fn put_back(&mut self, mut waiter: Box<Waiter>) {
        let key = waiter.request.key.clone();
        self.file_patience(&key, &mut waiter);
        self.lines.waiting(&key).put_back(waiter);
    }

    fn file_patience(&mut self, key: &Key, waiter: &mut Waiter) {
        self.last = self.last.wrapping_add(1);
        waiter.number = self.last;
        if let Some(limit) = ends_at(waiter.request.patience) {
            let timer = Timer::Patience { key: Box::new(key.clone()), number: waiter.number };
            waiter.due = Some(self.timers.push(limit, timer));
        }
    }

    /// Sees to it that the line is looked at then, and not at the time that was
    /// set before.
    fn wake(&mut self, key: &Key, at: Moment) {
        let due = self.timers.push(at, Timer::Turn(Box::new(key.clone())));
        if let Some(before) = self.lines.waiting(key).wake.replace(due) {
            self.timers.cancel(before);
        }
    }

    /// The first in line tries, unless this client has the lock or tries to
    /// acquire it already.
    fn look_at(&mut self, key: &Key, now: Moment) -> Turn {
        let line = self.lines.get(key)?;
        if line.is_trying() {
            return None;
        }
        if let Some(claim) = line.held().filter(|claim| !claim.remaining(now).is_zero()) {
            let until = claim.until();
            if line.waiting().is_some() {
                self.wake(key, until);
            }
            return None;
        }
        if !self.lines.vacate(key) {
            return None;
        }
        let turn = self.next_in_line(key, now);
        if turn.is_none() {
            self.tidy(key);
        }
        turn
    }

    /// Removes what is empty of a line.
    pub(super) fn tidy(&mut self, key: &Key) {
        if let Some(wake) = self.lines.tidy(key) {
            self.timers.cancel(wake);
        }
    }

    /// All waiters whose turn it is not.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.lines.waiters().chain(self.once.values().map(|waiter| &**waiter))
    }

    /// Whether there is a channel to begin or to end listening to.
    pub(super) fn has_wish(&self) -> bool {
        self.channels.has_wish()
    }

    /// The next channel to begin or to end listening to.
    pub(super) fn poll_wish(&mut self) -> Option<Wish> {
        self.channels.poll_wish()
    }

    /// Whether anything is to be listened to.
    pub(super) fn listens(&self) -> bool {
        !self.channels.is_empty()
    }

    /// When to call [`Self::pop_due`].
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.timers.peek()
    }

    /// Takes the first thing that is due, to be given to [`Self::handle_timer`].
    pub(super) fn pop_due(&mut self, due: Moment) -> Option<Timer> {
        self.timers.pop_due(due)
    }

    pub(super) fn handle_timer(&mut self, timer: Timer, now: Moment) -> Turn {
        match timer {
            Timer::Turn(key) => self.look_at(&key, now),
            Timer::Patience { key, number } => {
                self.lose_patience(&key, number, now);
                None
            }
            Timer::Once { number, .. } => self.take_once(number),
            Timer::Idle => {
                self.unsubscribe_idle(now);
                None
            }
        }
    }
}

/// When a waiter's patience ends, if it does.
fn ends_at(patience: Patience) -> Option<Moment> {
    if mutant::is(Mutant::PatienceForgotten) {
        return None;
    }
    match patience {
        Patience::Until(limit) => Some(limit),
        Patience::Once | Patience::Forever => None,
    }
}
