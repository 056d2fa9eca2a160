//! The waiters for one key, in the order in which they came. It decides nothing: whose turn
//! comes when is for `turn` to say.

use std::{collections::VecDeque, sync::Arc};

use super::line::Line;
use crate::{
    claim::Claim,
    engine::{stand::LastAttempt, waiter::Waiter},
    key::Key,
    mutant::{self, Mutant},
    protocol::{Due, Moment},
};

/// What this client has, or tries for, at a key that there are waiters for.
#[derive(Debug)]
pub(super) enum At {
    /// Nothing: another client may have the lock.
    Nobody,
    /// A round is running for the first waiter, which is out of the queue
    /// meanwhile.
    Trying(Arc<Claim>),
    /// A lock, held until it ends or its guard lets go of it.
    Held(Arc<Claim>),
}

/// The waiters for one key, the first in front.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: Key,
    pub(super) at: At,
    pub(super) queue: VecDeque<Box<Waiter>>,
    /// When the first looks again, whatever happens.
    pub(super) wake: Option<Due>,
    /// Until when others go first.
    pub(super) not_before: Moment,
    /// What the last attempt of any of them found.
    pub(super) before: Option<Box<LastAttempt>>,
    /// Whether a release was heard of since the present round began.
    pub(super) news: bool,
    /// The length from which on the line is searched for waiters that are gone.
    sweep_at: usize,
    /// How many are to be refused before that is done again.
    skips: usize,
}

impl Waiting {
    pub(super) fn new(key: &Key, at: At) -> Self {
        Self {
            key: key.clone(),
            at,
            queue: VecDeque::new(),
            wake: None,
            not_before: Moment::PAST,
            before: None,
            news: false,
            sweep_at: 0,
            skips: 0,
        }
    }

    /// Its line where nobody waits any more; `None` for one that is empty.
    pub(super) fn quiet_line(&mut self) -> Option<Line> {
        match std::mem::replace(&mut self.at, At::Nobody) {
            At::Nobody => None,
            At::Trying(claim) => Some(Line::Trying(claim)),
            At::Held(claim) => Some(Line::Held(claim)),
        }
    }

    /// Below this many waiters, nothing looks for those that are gone.
    const SWEEP_LEAST: usize = 64;

    /// Whether to look for waiters that are gone, before one more comes to a
    /// line of at most `most`.
    pub(super) fn wants_sweep(&mut self, most: usize) -> bool {
        let full = self.queue.len() >= most;
        if full && self.skips > 0 {
            self.skips -= 1;
            return false;
        }
        full || self.queue.len() >= self.sweep_at.max(Self::SWEEP_LEAST)
    }

    /// Takes out the waiters that are gone. Gives the times at which their
    /// patience would end, which are to be cancelled.
    pub(super) fn sweep(&mut self) -> Vec<Due> {
        let gone = |waiter: &Waiter| !waiter.is_wanted();
        let dues = self.queue.iter().filter(|waiter| gone(waiter));
        let dues = dues.filter_map(|waiter| waiter.due).collect();
        self.queue.retain(|waiter| !gone(waiter));
        self.sweep_at = self.queue.len().saturating_mul(2);
        // A long line is not searched for each one that is refused.
        self.skips = self.queue.len() / Self::SWEEP_LEAST;
        dues
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts a waiter at the end of the line.
    pub(super) fn join(&mut self, waiter: Box<Waiter>) {
        if mutant::is(Mutant::LastComeFirstServed) {
            return self.queue.push_front(waiter);
        }
        self.queue.push_back(waiter);
    }

    /// Puts a waiter in front, where it has been before.
    pub(super) fn put_back(&mut self, waiter: Box<Waiter>) {
        self.queue.push_front(waiter);
    }

    pub(super) fn pop(&mut self) -> Option<Box<Waiter>> {
        self.queue.pop_front()
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Waiter> {
        self.queue.front_mut().map(|waiter| &mut **waiter)
    }

    /// Takes out the waiter with that number.
    pub(super) fn remove(&mut self, number: u64) -> Option<Box<Waiter>> {
        let place = self.queue.iter().position(|waiter| waiter.number == number)?;
        self.queue.remove(place)
    }
}
