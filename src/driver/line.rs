//! Who of this client is at which key, and who stands in line for it.
//!
//! First come, first served, per key; one of a line competes with other
//! clients, the rest wait for their turn. It keeps the order and decides
//! nothing: whose turn comes when is `wait`'s.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    schedule::Due,
    session::{Finding, Session},
};
use crate::{claim::Claim, key::Key, protocol::Moment};

/// The lines of one client, by key. There is one for every key that it is at.
#[derive(Default)]
pub(super) struct Lines(HashMap<Key, Line, Hashing>);

/// In a simulation, a map's order must be the same in every run.
#[cfg(redlock_sim)]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
#[cfg(not(redlock_sim))]
type Hashing = std::hash::RandomState;

/// One key.
#[derive(Default)]
pub(super) struct Line {
    pub(super) at: At,
    /// Those who stand in line, if any: most locks are free.
    waiting: Option<Box<Waiting>>,
}

/// What of this client is at a key now.
#[derive(Default)]
pub(super) enum At {
    /// Nothing: another client may have it.
    #[default]
    Nobody,
    /// A round for the first in line, who is not in it meanwhile.
    Trying {
        /// A release was heard of since it began.
        news: bool,
    },
    /// A lock, held until it ends or its guard lets go of it.
    Held(Arc<Claim>),
}

/// Those who stand in line, the first in front.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Box<Session>>,
    /// When the first looks again, whatever happens.
    pub(super) wake: Option<Due>,
    /// Until when others go first.
    pub(super) not_before: Moment,
    /// What the last attempt of any of them found.
    pub(super) before: Option<Finding>,
    /// From which length on to look for those who are gone.
    sweep_at: usize,
    /// How many are to be refused before that is done again.
    skips: usize,
}

impl Lines {
    pub(super) fn get(&mut self, key: &Key) -> Option<&mut Line> {
        self.0.get_mut(key)
    }

    /// The line for `key`, made if need be.
    pub(super) fn of(&mut self, key: &Key) -> &mut Line {
        self.0.entry(key.clone()).or_default()
    }

    /// Removes what is empty of the line for `key`. Gives the time at which the
    /// line was to be looked at, which is to be cancelled.
    pub(super) fn tidy(&mut self, key: &Key) -> Option<Due> {
        let line = self.0.get_mut(key)?;
        let empty = line.waiting.take_if(|waiting| waiting.queue.is_empty());
        if matches!(line.at, At::Nobody) && line.waiting.is_none() {
            self.0.remove(key);
        }
        empty?.wake
    }

    /// Takes out all who wait.
    pub(super) fn drain(&mut self) -> Vec<Session> {
        let lines = self.0.values_mut();
        let waiting = lines.filter_map(|line| line.waiting.take());
        let sessions = waiting.flat_map(|waiting| waiting.queue).map(|session| *session);
        let mut sessions: Vec<_> = sessions.collect();
        self.0.retain(|_, line| !matches!(line.at, At::Nobody));
        // The same in every run: a map's own order is not.
        sessions.sort_by(|a, b| (&a.request.key, a.number).cmp(&(&b.request.key, b.number)));
        sessions
    }

    /// Whether somebody waits for another client to let go of `key`.
    pub(super) fn waits_for_others(&self, key: &Key) -> bool {
        let line = self.0.get(key);
        line.is_some_and(|line| line.waiting.is_some() && !matches!(line.at, At::Held(_)))
    }
}

impl Line {
    /// Whether nothing and nobody is before who comes now.
    pub(super) fn is_free(&self, now: Moment) -> bool {
        let taken = matches!(self.at, At::Trying { .. }) || self.free_in(now).is_some();
        !taken && self.waiting.is_none()
    }

    /// When this client's own lock ends by itself, if it has it.
    pub(super) fn free_in(&self, now: Moment) -> Option<Duration> {
        match &self.at {
            At::Held(claim) => Some(claim.remaining(now)).filter(|left| !left.is_zero()),
            _ => None,
        }
    }

    pub(super) fn holds(&self, claim: &Arc<Claim>) -> bool {
        matches!(&self.at, At::Held(held) if Arc::ptr_eq(held, claim))
    }

    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        self.waiting.as_deref_mut()
    }

    pub(super) fn waiting_mut(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }
}

impl Waiting {
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

    #[test]
    fn a_line_that_ends_gives_back_when_it_was_to_be_looked_at() {
        let key = Key::new(b"", b"k").unwrap();
        let (mut lines, mut timers) = (Lines::default(), Schedule::new());
        let due = timers.push(Moment::NEVER, ());
        let line = lines.of(&key);
        line.at = At::Trying { news: false };
        line.waiting_mut().wake = Some(due);
        assert_eq!(lines.tidy(&key), Some(due));
        assert_eq!(lines.tidy(&key), None, "only once");
        let line = lines.get(&key).unwrap();
        assert!(line.waiting().is_none(), "nobody waits, and it is tried all the same");
        line.at = At::Nobody;
        lines.tidy(&key);
        assert!(lines.get(&key).is_none());
    }
}
