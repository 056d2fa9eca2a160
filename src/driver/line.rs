//! Who of this client is at which key, and who stands in line for it.
//!
//! First come, first served, per key; one of a line competes with other
//! clients, the rest wait for their turn. It keeps the order and decides
//! nothing: whose turn comes when is `wait`'s.

use std::{collections::VecDeque, hash::BuildHasher as _, sync::Arc, time::Duration};

use hashbrown::{
    HashTable,
    hash_table::{Entry, OccupiedEntry},
};

use super::{
    schedule::Due,
    session::{Finding, Session},
};
use crate::{
    claim::{Claim, State},
    key::Key,
    protocol::Moment,
};

/// The lines of one client, by key. There is one for every key that it is at.
#[derive(Default)]
pub(super) struct Lines {
    table: HashTable<Line>,
    hashing: Hashing,
}

/// A key's, in the table.
#[derive(Clone, Copy, Default)]
pub(super) struct Spot(u64);

/// In a simulation, a map's order must be the same in every run.
#[cfg(redlock_sim)]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
#[cfg(not(redlock_sim))]
type Hashing = std::hash::RandomState;

/// One key. At least one of the two is there, and knows it. Two words, since
/// most lines are of a lock that is held and that nobody waits for.
pub(super) struct Line {
    /// Of the lock that this client has, or tries to get.
    claim: Option<Arc<Claim>>,
    /// Those who stand in line, if any.
    waiting: Option<Box<Waiting>>,
}

/// What of this client is at a key now.
pub(super) enum At<'a> {
    /// Nothing: another client may have it.
    Nobody,
    /// A round for the first in line, who is not in it meanwhile.
    Trying,
    /// A lock, held until it ends or its guard lets go of it.
    Held(&'a Arc<Claim>),
}

/// Those who stand in line, the first in front.
pub(super) struct Waiting {
    key: Key,
    queue: VecDeque<Box<Session>>,
    /// When the first looks again, whatever happens.
    pub(super) wake: Option<Due>,
    /// Until when others go first.
    pub(super) not_before: Moment,
    /// What the last attempt of any of them found.
    pub(super) before: Option<Finding>,
    /// A release was heard of since the present round began.
    pub(super) news: bool,
    /// From which length on to look for those who are gone.
    sweep_at: usize,
    /// How many are to be refused before that is done again.
    skips: usize,
}

impl Lines {
    /// Where the line for `key` is, or will be: to be found by more than once.
    pub(super) fn spot(&self, key: &Key) -> Spot {
        Spot(self.hashing.hash_one(key))
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&mut Line> {
        self.get_at(self.spot(key), key)
    }

    pub(super) fn get_at(&mut self, spot: Spot, key: &Key) -> Option<&mut Line> {
        self.table.find_mut(spot.0, |line| line.is_of(key))
    }

    fn entry(&mut self, spot: Spot, key: &Key) -> Entry<'_, Line> {
        let Self { table, hashing } = self;
        let again = |line: &Line| line.key().map_or(0, |key| hashing.hash_one(key));
        table.entry(spot.0, |line| line.is_of(key), again)
    }

    fn find(&mut self, key: &Key) -> Option<OccupiedEntry<'_, Line>> {
        let spot = self.spot(key);
        self.table.find_entry(spot.0, |line| line.is_of(key)).ok()
    }

    /// Those who wait for `key`, or will.
    pub(super) fn waiting(&mut self, key: &Key) -> &mut Waiting {
        let entry = self.entry(self.spot(key), key);
        let line = entry.or_insert(Line { claim: None, waiting: None }).into_mut();
        line.claim.iter().for_each(|claim| claim.note(State::Awaited, true));
        line.waiting.get_or_insert_with(|| Box::new(Waiting::new(key)))
    }

    /// What is tried or held from now on.
    pub(super) fn put(&mut self, claim: &Arc<Claim>) -> &mut Line {
        self.put_at(self.spot(&claim.key), claim)
    }

    pub(super) fn put_at(&mut self, spot: Spot, claim: &Arc<Claim>) -> &mut Line {
        let entry = self.entry(spot, &claim.key);
        let line = entry.or_insert(Line { claim: None, waiting: None }).into_mut();
        claim.note(State::Awaited, line.waiting.is_some());
        line.claim = Some(Arc::clone(claim));
        line
    }

    /// Nothing is tried or held any more. Says whether anybody waits.
    pub(super) fn vacate(&mut self, key: &Key) -> bool {
        let Some(mut line) = self.find(key) else { return false };
        if line.get().waiting.is_none() {
            line.remove();
            return false;
        }
        line.get_mut().claim = None;
        true
    }

    /// The same, if it is the lock of `claim` and nobody waits for it. Says
    /// whether that was so, or there was nothing.
    pub(super) fn vacate_quietly(&mut self, claim: &Arc<Claim>) -> bool {
        let Some(line) = self.find(&claim.key) else {
            return true;
        };
        let quiet = line.get().waiting.is_none() && line.get().holds(claim);
        if quiet {
            line.remove();
        }
        quiet
    }

    /// Removes what is empty of the line for `key`. Gives the time at which the
    /// line was to be looked at, which is to be cancelled.
    pub(super) fn tidy(&mut self, key: &Key) -> Option<Due> {
        let mut line = self.find(key)?;
        let trying = matches!(line.get().at(), At::Trying);
        let empty =
            |waiting: &mut Box<Waiting>| waiting.queue.is_empty() && !(trying && waiting.news);
        let wake = match &mut line.get_mut().waiting {
            Some(waiting) if waiting.queue.is_empty() => waiting.wake.take(),
            _ => None,
        };
        let Line { claim, waiting } = line.get_mut();
        if claim.is_some() {
            waiting.take_if(empty);
        } else if waiting.as_mut().is_none_or(empty) {
            line.remove();
        }
        wake
    }

    /// Takes out all who wait.
    pub(super) fn drain(&mut self) -> Vec<Session> {
        let waiting = self.table.iter_mut().filter_map(|line| line.waiting.as_mut());
        let queues = waiting.map(|waiting| std::mem::take(&mut waiting.queue));
        let mut sessions: Vec<_> = queues.flatten().map(|session| *session).collect();
        self.table.retain(|line| {
            if line.claim.is_some() {
                line.waiting = None;
            }
            line.claim.is_some()
        });
        // The same in every run: a map's own order is not.
        sessions.sort_by(|a, b| (&a.request.key, a.number).cmp(&(&b.request.key, b.number)));
        sessions
    }

    /// Whether somebody waits for another client to let go of `key`.
    pub(super) fn waits_for_others(&self, key: &Key) -> bool {
        let line = self.table.find(self.hashing.hash_one(key), |line| line.is_of(key));
        line.is_some_and(|line| line.waiting.is_some() && !matches!(line.at(), At::Held(_)))
    }
}

impl Line {
    fn key(&self) -> Option<&Key> {
        let claimed = self.claim.as_ref().map(|claim| &claim.key);
        claimed.or_else(|| self.waiting.as_ref().map(|waiting| &waiting.key))
    }

    fn is_of(&self, key: &Key) -> bool {
        self.key() == Some(key)
    }

    pub(super) fn at(&self) -> At<'_> {
        match &self.claim {
            None => At::Nobody,
            Some(claim) if claim.is(State::Tried) => At::Trying,
            Some(claim) => At::Held(claim),
        }
    }

    /// Whether nothing and nobody is before who comes now.
    pub(super) fn is_free(&self, now: Moment) -> bool {
        let taken = matches!(self.at(), At::Trying) || self.free_in(now).is_some();
        !taken && self.waiting.is_none()
    }

    /// When this client's own lock ends by itself, if it has it.
    pub(super) fn free_in(&self, now: Moment) -> Option<Duration> {
        match self.at() {
            At::Held(claim) => Some(claim.remaining(now)).filter(|left| !left.is_zero()),
            _ => None,
        }
    }

    pub(super) fn holds(&self, claim: &Arc<Claim>) -> bool {
        matches!(self.at(), At::Held(held) if Arc::ptr_eq(held, claim))
    }

    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        self.waiting.as_deref_mut()
    }
}

impl Waiting {
    fn new(key: &Key) -> Self {
        Self {
            key: key.clone(),
            queue: VecDeque::new(),
            wake: None,
            not_before: Moment::PAST,
            before: None,
            news: false,
            sweep_at: 0,
            skips: 0,
        }
    }

    /// Below this many, nobody looks for those who are gone.
    const SWEEP_LEAST: usize = 64;

    /// Whether to look for those who are gone, before one more comes to a line
    /// of `most`.
    pub(super) fn wants_sweep(&mut self, most: usize) -> bool {
        let full = self.queue.len() >= most;
        if full && self.skips > 0 {
            self.skips -= 1;
            return false;
        }
        full || self.queue.len() >= self.sweep_at.max(Self::SWEEP_LEAST)
    }

    /// Takes out those who are gone. Gives the times at which their patience
    /// would end, which are to be cancelled.
    pub(super) fn sweep(&mut self) -> Vec<Due> {
        let gone = |session: &Session| !session.is_wanted();
        let dues = self.queue.iter().filter(|session| gone(session));
        let dues = dues.filter_map(|session| session.due).collect();
        self.queue.retain(|session| !gone(session));
        self.sweep_at = self.queue.len().saturating_mul(2);
        // A long line is not searched for each one that is refused.
        self.skips = self.queue.len() / Self::SWEEP_LEAST;
        dues
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push_back(&mut self, session: Box<Session>) {
        self.queue.push_back(session);
    }

    pub(super) fn push_front(&mut self, session: Box<Session>) {
        self.queue.push_front(session);
    }

    pub(super) fn pop(&mut self) -> Option<Box<Session>> {
        self.queue.pop_front()
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Session> {
        self.queue.front_mut().map(|session| &mut **session)
    }

    /// Takes out who has that number.
    pub(super) fn remove(&mut self, number: u64) -> Option<Box<Session>> {
        let place = self.queue.iter().position(|session| session.number == number)?;
        self.queue.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::schedule::Schedule, *};
    use crate::{
        protocol::{Lease, Ttl},
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
        let claim = claim(&key);
        claim.note(State::Tried, true);
        lines.put(&claim);
        lines.waiting(&key).wake = Some(due);
        assert_eq!(lines.tidy(&key), Some(due));
        assert_eq!(lines.tidy(&key), None, "only once");
        let line = lines.get(&key).unwrap();
        assert!(line.waiting().is_none(), "nobody waits, and it is tried all the same");
        assert!(!lines.vacate(&key));
        assert!(lines.get(&key).is_none());
    }

    #[test]
    fn news_of_a_release_stays_while_it_is_tried() {
        let key = Key::new(b"", b"k").unwrap();
        let mut lines = Lines::default();
        let claim = claim(&key);
        claim.note(State::Tried, true);
        lines.put(&claim);
        lines.waiting(&key).news = true;
        lines.tidy(&key);
        assert!(lines.get(&key).unwrap().waiting().is_some_and(|waiting| waiting.news));
        claim.note(State::Tried, false);
        lines.tidy(&key);
        assert!(lines.get(&key).unwrap().waiting().is_none(), "it was had");
    }

    #[test]
    fn a_line_takes_two_words_and_only_its_own_lock_ends_it() {
        assert_eq!(size_of::<Line>(), size_of::<[usize; 2]>());
        let mut lines = Lines::default();
        let keys = ["a", "b"].map(|name| Key::new(b"", name.as_bytes()).unwrap());
        let [first, second] = [claim(&keys[0]), claim(&keys[0])];
        lines.put(&first);
        assert!(lines.vacate_quietly(&claim(&keys[1])), "there is nothing");
        assert!(!lines.vacate_quietly(&second));
        lines.waiting(&keys[0]).before = None;
        assert!(!lines.vacate_quietly(&first), "someone waits");
        lines.tidy(&keys[0]);
        assert!(lines.vacate_quietly(&first));
        assert!(lines.get(&keys[0]).is_none());
    }
}
