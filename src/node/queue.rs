//! The commands that wait for a connection, in the order in which they were
//! offered. It sends nothing itself.
//!
//! There are two lists under one order: releases, which wait for as long as the
//! key could live, and the others, which are given up soon. There may be as many
//! releases as locks were held when a node went away, so nothing here looks
//! through them often.

use std::{collections::VecDeque, time::Duration};

use super::order::Order;
use crate::{
    mutant::{self, Mutant},
    protocol::Moment,
};

/// How often releases that have become pointless are looked for.
const SWEEP_RELEASES: Duration = Duration::from_secs(1);

/// A command that has not been handed to a connection.
pub(super) struct Waiting {
    pub(super) order: Order,
    pub(super) offered_at: Moment,
    pub(super) command: Box<[u8]>,
    number: u64,
}

/// The commands that wait.
pub(super) struct Queue {
    releases: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    /// A time no later than the first at which one of the others is given up.
    sweep_at: Moment,
    sweep_releases_at: Moment,
    next: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            releases: VecDeque::new(),
            others: VecDeque::new(),
            sweep_at: Moment::NEVER,
            sweep_releases_at: Moment::NEVER,
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.releases.len().saturating_add(self.others.len())
    }

    #[cfg(redlock_sim)]
    pub(super) fn bounded(&self) -> usize {
        self.others.iter().filter(|waiting| !waiting.order.reserved).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.releases.is_empty() && self.others.is_empty()
    }

    pub(super) fn push(&mut self, order: Order, command: &[u8], now: Moment) {
        let waiting =
            Waiting { order, offered_at: now, command: command.into(), number: self.next };
        self.next = self.next.wrapping_add(1);
        if order.is_release {
            self.sweep_releases_at = self.sweep_releases_at.min(now.after(SWEEP_RELEASES));
            self.releases.push_back(waiting);
        } else {
            self.sweep_at = self.sweep_at.min(order.keep_until);
            self.others.push_back(waiting);
        }
    }

    /// Takes the command that was offered first.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let number = |list: &VecDeque<Waiting>| list.front().map_or(u64::MAX, |first| first.number);
        if is_before(number(&self.releases), number(&self.others)) {
            return self.releases.pop_front();
        }
        let first = self.others.pop_front();
        if self.others.is_empty() {
            self.sweep_at = Moment::NEVER;
        }
        first
    }

    /// Takes out the acquire of `claim`, if it is still here.
    pub(super) fn take_acquire(&mut self, claim: usize) -> Option<Waiting> {
        if mutant::is(Mutant::ReconnectReorders) {
            return None;
        }
        let is_it = |w: &Waiting| w.order.ticket.ask.is_acquire() && w.order.ticket.claim == claim;
        self.others.remove(self.others.iter().position(is_it)?)
    }

    /// Takes out all that asks for a lock, and keeps what is for one that is held.
    pub(super) fn take_acquires(&mut self) -> impl Iterator<Item = Waiting> {
        let asks = |waiting: &Waiting| waiting.order.ticket.ask.sets() && !waiting.order.reserved;
        let (asking, kept): (VecDeque<_>, VecDeque<_>) = self.others.drain(..).partition(asks);
        self.others = kept;
        asking.into_iter()
    }

    /// Takes out all that is no release.
    pub(super) fn take_others(&mut self) -> impl Iterator<Item = Waiting> {
        self.sweep_at = Moment::NEVER;
        self.others.drain(..)
    }

    /// When there may be something for [`Self::take_overdue`]. Releases count
    /// only while there is no connection: on one, they would go at once.
    pub(super) fn poll_timeout(&self, connected: bool) -> Moment {
        let releases = if connected { Moment::NEVER } else { self.sweep_releases_at };
        self.sweep_at.min(releases)
    }

    /// Takes out the commands that nobody waits for any more at `due`. A release
    /// is never pointless while there is a connection: what it undoes may hang
    /// there.
    pub(super) fn take_overdue(&mut self, due: Moment, connected: bool) -> Vec<Waiting> {
        let mut overdue = Vec::new();
        if self.sweep_at <= due {
            let first = |list: &VecDeque<Waiting>| list.iter().map(|w| w.order.keep_until).min();
            sweep(&mut self.others, due, &mut overdue);
            self.sweep_at = first(&self.others).unwrap_or(Moment::NEVER);
        }
        if self.sweep_releases_at <= due && !connected {
            sweep(&mut self.releases, due, &mut overdue);
            let again = !self.releases.is_empty();
            self.sweep_releases_at = if again { due.after(SWEEP_RELEASES) } else { Moment::NEVER };
        }
        overdue
    }
}

/// Whether the first release was offered before the first of the others. An
/// empty list counts as [`u64::MAX`].
fn is_before(release: u64, other: u64) -> bool {
    if mutant::is(Mutant::ReconnectReorders) {
        return release < u64::MAX;
    }
    release < other
}

fn sweep(list: &mut VecDeque<Waiting>, due: Moment, overdue: &mut Vec<Waiting>) {
    let (gone, kept): (VecDeque<_>, VecDeque<_>) =
        list.drain(..).partition(|waiting| waiting.order.keep_until <= due);
    *list = kept;
    overdue.extend(gone);
}
