//! Which claim this client has or tries for at each key, and which waiters stand in
//! line for it.
//!
//! First come, first served, per key; one waiter of a line competes with other
//! clients, the rest wait for their turn. A line keeps the order and decides
//! nothing: whose turn comes when is for `turn` to say.

use std::{hash::BuildHasher as _, sync::Arc, time::Duration};

use hashbrown::{
    HashTable,
    hash_table::{Entry, OccupiedEntry},
};

use super::waiting::{At, Waiting};
use crate::{
    claim::Claim,
    engine::waiter::{Slot, Waiter},
    key::Key,
    protocol::{Due, Moment},
};

/// The lines of one client, by key. There is one for every key that it is at.
#[derive(Debug, Default)]
pub(super) struct Lines {
    table: HashTable<Line>,
    hashing: Hashing,
}

/// In a simulation, a map's order must be the same in every run.
#[cfg(any(redlock_sim, test))]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
#[cfg(not(any(redlock_sim, test)))]
type Hashing = std::hash::RandomState;

/// One key. Two words, since most lines are of a lock that is held and that
/// nobody waits for.
#[derive(Debug)]
pub(super) enum Line {
    /// A round for the only waiter, or for the next holder, is running.
    Trying(Arc<Claim>),
    /// A lock that is held, until it ends or its guard lets go of it, and that
    /// nobody waits for.
    Held(Arc<Claim>),
    /// There are waiters, or there is news for one.
    Busy(Box<Waiting>),
}

impl Lines {
    /// Where the line for `key` is, or will be: to be found by more than once.
    pub(super) fn slot(&self, key: &Key) -> Slot {
        Slot(self.hashing.hash_one(key))
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&mut Line> {
        self.get_at(self.slot(key), key)
    }

    pub(super) fn get_at(&mut self, slot: Slot, key: &Key) -> Option<&mut Line> {
        self.table.find_mut(slot.0, |line| line.key() == key)
    }

    fn entry(&mut self, slot: Slot, key: &Key) -> Entry<'_, Line> {
        let Self { table, hashing } = self;
        table.entry(slot.0, |line| line.key() == key, |line| hashing.hash_one(line.key()))
    }

    fn find(&mut self, key: &Key) -> Option<OccupiedEntry<'_, Line>> {
        let slot = self.slot(key);
        self.table.find_entry(slot.0, |line| line.key() == key).ok()
    }

    /// The waiters for `key`, or room for them.
    pub(super) fn waiting(&mut self, key: &Key) -> &mut Waiting {
        let nobody = || Line::Busy(Box::new(Waiting::new(key, At::Nobody)));
        self.entry(self.slot(key), key).or_insert_with(nobody).into_mut().make_busy()
    }

    /// A round for `claim` runs from now on.
    pub(super) fn begin_trying(&mut self, slot: Slot, claim: &Arc<Claim>) {
        let trying = Line::Trying(Arc::clone(claim));
        match self.entry(slot, &claim.key) {
            Entry::Vacant(line) => drop(line.insert(trying)),
            Entry::Occupied(mut line) => match line.get_mut() {
                Line::Busy(waiting) => {
                    (waiting.at, waiting.news) = (At::Trying(Arc::clone(claim)), false);
                }
                line => *line = trying,
            },
        }
    }

    /// The lock of `claim` is held from now on, whoever tries for it beside; or,
    /// with `unless_tried`, only where nobody does. Says whether there are waiters
    /// that this concerns.
    pub(super) fn hold(&mut self, slot: Slot, claim: &Arc<Claim>, unless_tried: bool) -> bool {
        let held = Line::Held(Arc::clone(claim));
        match self.get_at(slot, &claim.key) {
            None => drop(self.entry(slot, &claim.key).insert(held)),
            Some(line) if unless_tried && line.is_trying() => {}
            Some(Line::Busy(waiting)) => {
                waiting.at = At::Held(Arc::clone(claim));
                return true;
            }
            Some(line) => *line = held,
        }
        false
    }

    /// Nothing is tried or held any more. Says whether anybody waits.
    pub(super) fn vacate(&mut self, key: &Key) -> bool {
        let Some(mut line) = self.find(key) else { return false };
        if let Line::Busy(waiting) = line.get_mut() {
            waiting.at = At::Nobody;
            return true;
        }
        line.remove();
        false
    }

    /// The same, if it is the lock of `claim` and nobody waits for it. Says
    /// whether that was so, or there was nothing.
    pub(super) fn vacate_quietly(&mut self, claim: &Arc<Claim>) -> bool {
        let Some(line) = self.find(&claim.key) else { return true };
        let is_quiet = matches!(line.get(), Line::Held(held) if Arc::ptr_eq(held, claim));
        if is_quiet {
            line.remove();
        }
        is_quiet
    }

    /// Removes what is empty of the line for `key`. Gives the time at which the
    /// line was to be looked at, which is to be cancelled.
    pub(super) fn tidy(&mut self, key: &Key) -> Option<Due> {
        let mut line = self.find(key)?;
        let Line::Busy(waiting) = line.get_mut() else { return None };
        if !waiting.queue.is_empty() {
            return None;
        }
        let wake = waiting.wake.take();
        let keeps_news = waiting.news && matches!(waiting.at, At::Trying(_));
        if !keeps_news {
            match waiting.quiet_line() {
                Some(quiet) => *line.get_mut() = quiet,
                None => drop(line.remove()),
            }
        }
        wake
    }

    /// Takes out all waiters.
    pub(super) fn drain(&mut self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        self.table.retain(|line| {
            let Line::Busy(waiting) = line else { return true };
            waiters.extend(std::mem::take(&mut waiting.queue).into_iter().map(|waiter| *waiter));
            let quiet = waiting.quiet_line();
            let stays = quiet.is_some();
            quiet.into_iter().for_each(|quiet| *line = quiet);
            stays
        });
        // The same in every run: a map's own order is not.
        waiters.sort_by(|a, b| (&a.request.key, a.number).cmp(&(&b.request.key, b.number)));
        waiters
    }

    /// All waiters.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        let waiting = self.table.iter().filter_map(|line| match line {
            Line::Busy(waiting) => Some(&waiting.queue),
            Line::Trying(_) | Line::Held(_) => None,
        });
        waiting.flatten().map(|waiter| &**waiter)
    }

    /// Whether somebody waits for another client to let go of `key`.
    pub(super) fn waits_for_others(&self, key: &Key) -> bool {
        let line = self.table.find(self.slot(key).0, |line| line.key() == key);
        matches!(line, Some(Line::Busy(waiting)) if !matches!(waiting.at, At::Held(_)))
    }
}

impl Line {
    fn key(&self) -> &Key {
        match self {
            Self::Trying(claim) | Self::Held(claim) => &claim.key,
            Self::Busy(waiting) => &waiting.key,
        }
    }

    /// Makes room for waiters.
    fn make_busy(&mut self) -> &mut Waiting {
        let at = match self {
            Self::Busy(waiting) => return waiting,
            Self::Trying(claim) => At::Trying(Arc::clone(claim)),
            Self::Held(claim) => At::Held(Arc::clone(claim)),
        };
        *self = Self::Busy(Box::new(Waiting::new(self.key(), at)));
        self.make_busy()
    }

    /// Whether a round is running.
    pub(super) fn is_trying(&self) -> bool {
        match self {
            Self::Trying(_) => true,
            Self::Held(_) => false,
            Self::Busy(waiting) => matches!(waiting.at, At::Trying(_)),
        }
    }

    /// The lock that this client has.
    pub(super) fn held(&self) -> Option<&Arc<Claim>> {
        match self {
            Self::Trying(_) => None,
            Self::Held(claim) => Some(claim),
            Self::Busy(waiting) => match &waiting.at {
                At::Held(claim) => Some(claim),
                At::Nobody | At::Trying(_) => None,
            },
        }
    }

    /// Whether a new waiter may try at once.
    pub(super) fn is_free(&self, now: Moment) -> bool {
        matches!(self, Self::Held(_)) && self.free_in(now).is_none()
    }

    /// When this client's own lock ends by itself, if it has it.
    pub(super) fn free_in(&self, now: Moment) -> Option<Duration> {
        self.held().map(|claim| claim.remaining(now)).filter(|left| !left.is_zero())
    }

    pub(super) fn holds(&self, claim: &Arc<Claim>) -> bool {
        self.held().is_some_and(|held| Arc::ptr_eq(held, claim))
    }

    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        match self {
            Self::Busy(waiting) => Some(waiting),
            Self::Trying(_) | Self::Held(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{Lease, Schedule, Ttl},
        token::Token,
    };

    fn claim(key: &Key) -> Arc<Claim> {
        let lease = Lease { until: Moment::NEVER, gone_by: Moment::NEVER };
        let token = Token::from_bytes("t").unwrap();
        Arc::new(Claim::new(key.clone(), token, Ttl::MIN, lease, 3))
    }

    #[test]
    fn a_line_that_ends_gives_back_when_it_was_to_be_looked_at() {
        let key = Key::new(b"", b"k").unwrap();
        let (mut lines, mut timers) = (Lines::default(), Schedule::new());
        let due = timers.push(Moment::NEVER, ());
        lines.begin_trying(lines.slot(&key), &claim(&key));
        lines.waiting(&key).wake = Some(due);
        assert_eq!(lines.tidy(&key), Some(due));
        assert_eq!(lines.tidy(&key), None, "only once");
        let line = lines.get(&key).unwrap();
        assert!(line.waiting().is_none() && line.is_trying(), "nobody waits, and it is tried");
        assert!(!lines.vacate(&key));
        assert!(lines.get(&key).is_none());
    }

    #[test]
    fn news_of_a_release_stays_while_it_is_tried() {
        let key = Key::new(b"", b"k").unwrap();
        let mut lines = Lines::default();
        let (claim, slot) = (claim(&key), lines.slot(&key));
        lines.begin_trying(slot, &claim);
        lines.waiting(&key).news = true;
        lines.tidy(&key);
        assert!(lines.get(&key).unwrap().waiting().is_some_and(|waiting| waiting.news));
        assert!(lines.hold(slot, &claim, false));
        lines.tidy(&key);
        assert!(lines.get(&key).unwrap().waiting().is_none(), "the lock is held");
    }

    #[test]
    fn a_line_takes_two_words_and_only_its_own_lock_ends_it() {
        assert_eq!(size_of::<Line>(), size_of::<[usize; 2]>());
        let mut lines = Lines::default();
        let keys = ["a", "b"].map(|name| Key::new(b"", name.as_bytes()).unwrap());
        let [first, second] = [claim(&keys[0]), claim(&keys[0])];
        lines.hold(lines.slot(&keys[0]), &first, false);
        assert!(lines.vacate_quietly(&claim(&keys[1])), "there is nothing");
        assert!(!lines.vacate_quietly(&second));
        lines.waiting(&keys[0]).before = None;
        assert!(!lines.vacate_quietly(&first), "someone waits");
        lines.tidy(&keys[0]);
        assert!(lines.vacate_quietly(&first));
        assert!(lines.get(&keys[0]).is_none());
    }

    #[test]
    fn a_single_attempt_takes_no_line_from_a_waiter_that_tries() {
        let key = Key::new(b"", b"k").unwrap();
        let mut lines = Lines::default();
        let ([tried, won], slot) = ([claim(&key), claim(&key)], lines.slot(&key));
        lines.begin_trying(slot, &tried);
        assert!(!lines.hold(slot, &won, true));
        assert!(lines.get(&key).unwrap().is_trying());
        lines.waiting(&key).news = true;
        assert!(!lines.hold(slot, &won, true));
        assert!(lines.get(&key).unwrap().is_trying());
        assert!(lines.hold(slot, &tried, false));
        assert!(lines.get(&key).unwrap().holds(&tried));
    }
}
