//! How a waiter leaves its line: its turn has come, its patience is at its end, or all
//! leave. When its turn comes is for `turn` to say.

use super::{Turn, Turns, line::Line};
use crate::{
    engine::waiter::Waiter,
    key::Key,
    mutant::{self, Mutant},
    protocol::Moment,
};

impl Turns {
    /// Takes the first out of the line, past those that are gone.
    pub(super) fn next_in_line(&mut self, key: &Key, now: Moment) -> Turn {
        let waiting = self.lines.get(key)?.waiting()?;
        if let Some(wake) = waiting.wake.take() {
            self.timers.cancel(wake);
        }
        while let Some(mut waiter) = self.lines.get(key)?.waiting()?.pop() {
            if let Some(due) = waiter.due.take() {
                self.timers.cancel(due);
            }
            if waiter.is_over(now) {
                self.refuse_waiting(waiter, now);
            } else if waiter.is_wanted() {
                return Some(waiter);
            }
        }
        None
    }

    /// The waiter in front is done without the lock: the next one's turn. By the
    /// schedule, since that may fail at once, and so may the one after it.
    pub(in crate::engine) fn step_back(
        &mut self,
        key: &Key,
        failing_since: Option<Moment>,
        now: Moment,
    ) {
        if !self.lines.vacate(key) {
            return;
        }
        self.pass_on(key, failing_since, now);
        self.tidy(key);
    }

    /// The first of the rest tries now, with what the one before it has found.
    pub(super) fn pass_on(&mut self, key: &Key, failing_since: Option<Moment>, now: Moment) {
        if mutant::is(Mutant::LineStandsStill) {
            return;
        }
        if let Some(first) = self.lines.waiting(key).first_mut() {
            first.inherit(failing_since);
            self.wake(key, now);
        }
    }

    /// Takes out all waiters.
    pub(in crate::engine) fn drain(&mut self) -> Vec<Waiter> {
        let once = std::mem::take(&mut self.once).into_values().map(|waiter| *waiter);
        self.lines.drain().into_iter().chain(once).collect()
    }

    /// Tells a waiter that has waited long enough what was in the way.
    pub(in crate::engine) fn refuse_waiting(&mut self, waiter: Box<Waiter>, now: Moment) {
        let mut line = self.lines.get(&waiter.request.key);
        let ours = line.as_ref().and_then(|line| line.free_in(now));
        let holder = line.as_ref().filter(|_| ours.is_some()).and_then(|line| line.held().cloned());
        let of_others = line.as_mut().and_then(|line| line.waiting()?.before.clone());
        // What another attempt found while this one was waiting.
        let of_others = of_others.filter(|found| waiter.begun_at <= found.began_at);
        let error = match waiter.before.clone().or(of_others) {
            Some(found) if ours.is_none() => waiter.explain(&self.config, *found, now),
            _ => {
                let owner = holder.as_ref().and_then(|claim| claim.token.label());
                waiter.explain_line(ours, owner, now)
            }
        };
        waiter.refuse(error);
    }

    /// A waiter's patience is at its end.
    pub(super) fn lose_patience(&mut self, key: &Key, number: u64, now: Moment) {
        let Some(waiting) = self.lines.get(key).and_then(Line::waiting) else { return };
        if let Some(mut waiter) = waiting.remove(number) {
            waiter.due = None;
            self.refuse_waiting(waiter, now);
            self.tidy(key);
        }
    }
}
