//! Waiting for a lock: whose turn it is, and when to try.
//!
//! Of all tasks of this client that want a key, the first in line competes for
//! it. It tries when a quorum of nodes has told of a release, when the key's
//! remaining life has passed, or at the polling floor; what is told is only a
//! hint. While this client itself holds the lock, nobody tries at all: the
//! lock's end is known here.

use std::{sync::Arc, time::Duration};

use super::{
    Patience,
    line::At,
    run::{Driver, Timer},
    session::Session,
};
use crate::{
    claim::{Claim, State},
    error::{Error, ErrorKind},
    key::Key,
    mutant::{self, Mutant},
    protocol::Moment,
};

/// After so many hand-overs in a row, others get at least so long to be first:
/// a tick of the timer in which they hear of the release, and one to try.
const OTHERS_FIRST: Duration = Duration::from_millis(2);

/// And at most so long, twice a round trip around the world.
const MOST_FOR_OTHERS: Duration = Duration::from_millis(500);

/// A caller whose patience may run out in a line.
pub(super) struct InLine {
    key: Key,
    number: u64,
}

impl Driver {
    pub(super) fn begin_acquire(&mut self, mut session: Box<Session>, now: Moment) {
        session.begun_at = now;
        session.joined = self.releases_heard(&session.request.key);
        let once = session.request.patience == Patience::Once;
        let is_free = once || self.closed || {
            session.spot = self.lines.spot(&session.request.key);
            let line = self.lines.get_at(session.spot, &session.request.key);
            line.is_none_or(|line| line.is_free(now))
        };
        if is_free {
            self.begin_attempt(session, now);
        } else {
            self.stand_in_line(session, now);
        }
    }

    /// At the end, if there is room.
    fn stand_in_line(&mut self, mut session: Box<Session>, now: Moment) {
        let most = self.config.max_waiters;
        let key = session.request.key.clone();
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
            return session.refuse(Error::new(ErrorKind::Busy, message));
        }
        self.file_patience(&key, &mut session);
        let waiting = self.lines.waiting(&key);
        if mutant::is(Mutant::LastComeFirstServed) {
            waiting.push_front(session);
        } else {
            waiting.push_back(session);
        }
        // Nobody else might look, or only when one who is gone would have.
        let alone = waiting.first_mut().is_none_or(|first| !first.is_wanted());
        if waiting.wake.is_none() || alone {
            self.look_at(&key, now);
        }
    }

    /// In front: its attempt was lost, and it tries again `at`.
    pub(super) fn wait_for_turn(&mut self, mut session: Box<Session>, at: Moment, now: Moment) {
        let key = session.request.key.clone();
        (session.hinted, session.poll_by) = (false, at);
        self.listen(&key, now);
        let waiting = self.lines.waiting(&key);
        let news = std::mem::take(&mut waiting.news);
        waiting.before.clone_from(&session.before);
        self.lines.vacate(&key);
        self.put_back(session);
        self.wake(&key, at);
        if news {
            self.hear_release(&key, now);
        }
    }

    /// In front, as it was.
    pub(super) fn put_back(&mut self, mut session: Box<Session>) {
        let key = session.request.key.clone();
        self.file_patience(&key, &mut session);
        self.lines.waiting(&key).push_front(session);
    }

    fn file_patience(&mut self, key: &Key, session: &mut Session) {
        self.line_number = self.line_number.wrapping_add(1);
        session.number = self.line_number;
        if let Patience::Until(limit) = session.request.patience
            && !mutant::is(Mutant::PatienceForgotten)
        {
            let who = InLine { key: key.clone(), number: session.number };
            session.due = Some(self.timers.push(limit, Timer::Patience(Box::new(who))));
        }
    }

    /// Sees to it that the line is looked at then, and not at the time that was
    /// set before.
    fn wake(&mut self, key: &Key, at: Moment) {
        let due = self.timers.push(at, Timer::Turn(Box::new(key.clone())));
        let waiting = self.lines.waiting(key);
        if let Some(before) = waiting.wake.replace(due) {
            self.timers.cancel(before);
        }
    }

    /// The first in line tries, unless this client has the lock or tries to
    /// get it already.
    pub(super) fn look_at(&mut self, key: &Key, now: Moment) {
        let Some(line) = self.lines.get(key) else { return };
        match line.at() {
            At::Trying => return,
            At::Held(claim) if !claim.remaining(now).is_zero() => {
                let until = claim.until();
                if line.waiting().is_some() {
                    self.wake(key, until);
                }
                return;
            }
            At::Held(_) | At::Nobody => {}
        }
        if !self.lines.vacate(key) {
            return;
        }
        match self.next_in_line(key, now) {
            Some(session) => self.begin_attempt(session, now),
            None => self.tidy(key),
        }
    }

    /// Removes what is empty of a line.
    pub(super) fn tidy(&mut self, key: &Key) {
        if let Some(wake) = self.lines.tidy(key) {
            self.timers.cancel(wake);
        }
    }

    /// Takes the first out of the line, past those who are gone.
    pub(super) fn next_in_line(&mut self, key: &Key, now: Moment) -> Option<Box<Session>> {
        let waiting = self.lines.get(key)?.waiting()?;
        if let Some(wake) = waiting.wake.take() {
            self.timers.cancel(wake);
        }
        while let Some(mut session) = self.lines.get(key)?.waiting()?.pop() {
            if let Some(due) = session.due.take() {
                self.timers.cancel(due);
            }
            if session.is_over(now) {
                self.refuse_waiting(session, now);
            } else if session.is_wanted() {
                return Some(session);
            }
        }
        None
    }

    /// Who was in front is done without the lock: the next one's turn. By the
    /// schedule, since that may fail at once, and so may the one after it.
    pub(super) fn step_back(&mut self, key: &Key, failing_since: Option<Moment>, now: Moment) {
        if !self.lines.vacate(key) {
            return;
        }
        if let Some(first) = self.lines.waiting(key).first_mut()
            && !mutant::is(Mutant::LineStandsStill)
        {
            first.inherit(failing_since);
            self.wake(key, now);
        }
        self.tidy(key);
    }

    /// Notes that the lock on `key` is held by this client now.
    pub(super) fn note_held(&mut self, claim: &Arc<Claim>, once: bool, now: Moment) {
        let tried = claim.is(State::Tried);
        claim.note(State::Tried, false);
        if tried && !claim.is(State::Awaited) {
            return; // it is in its line already, alone
        }
        if once && self.lines.get(&claim.key).is_some_and(|line| matches!(line.at(), At::Trying)) {
            return; // that one will find out
        }
        if self.lines.put(claim).waiting().is_some() {
            self.tidy(&claim.key);
            self.look_at(&claim.key, now);
        }
    }

    /// The guard of `claim` has let go of it without a release: others may have
    /// it when its key is gone.
    pub(super) fn leave(&mut self, claim: &Arc<Claim>, now: Moment) {
        self.forget_tending(claim);
        if let Some(line) = self.lines.get(&claim.key)
            && line.holds(claim)
        {
            self.lines.vacate(&claim.key);
            self.look_at(&claim.key, now);
        }
    }

    /// The guard of `claim` is released: the next in line gets the lock, or
    /// may try for it.
    pub(super) fn note_released(&mut self, claim: &Arc<Claim>, now: Moment) {
        let key = &claim.key;
        let Some(line) = self.lines.get(key) else { return };
        if matches!(line.at(), At::Trying) {
            self.lines.waiting(key).news = true;
            return;
        }
        let waits = match line.holds(claim) {
            true => self.lines.vacate(key),
            false => line.waiting().is_some(),
        };
        if !waits {
            return;
        }
        if claim.handed() >= self.config.hand_overs {
            let not_before = now.after(self.others_first(claim));
            self.lines.waiting(key).not_before = not_before;
            self.listen(key, now);
            self.wake(key, not_before);
        } else {
            self.look_at(key, now);
        }
    }

    /// How long others have to be first: what a release takes to be heard of,
    /// and an attempt to arrive, as far as we can tell from here.
    fn others_first(&self, claim: &Claim) -> Duration {
        let round_trip = claim.round_trip(self.config.quorum.votes()).unwrap_or_default();
        OTHERS_FIRST.max(round_trip.saturating_mul(2).min(MOST_FOR_OTHERS))
    }

    /// A caller's patience is at its end.
    pub(super) fn lose_patience(&mut self, who: &InLine, now: Moment) {
        let Some(waiting) = self.lines.get(&who.key).and_then(|line| line.waiting()) else {
            return;
        };
        if let Some(mut session) = waiting.remove(who.number) {
            session.due = None;
            self.refuse_waiting(session, now);
            self.tidy(&who.key);
        }
    }

    /// Tells who has waited long enough what was in the way.
    pub(super) fn refuse_waiting(&mut self, session: Box<Session>, now: Moment) {
        let line = self.lines.get(&session.request.key);
        let ours = line.as_ref().and_then(|line| line.free_in(now));
        let of_others = line.and_then(|line| line.waiting()?.before.clone());
        // What another attempt found while this one was waiting.
        let of_others = of_others.filter(|finding| session.begun_at <= finding.began_at);
        let error = match session.before.clone().or(of_others) {
            Some(finding) if ours.is_none() => {
                let error = session.explain(&self.config, 0, finding.loss, None, now);
                error.with_nodes(finding.reports)
            }
            _ => session.explain_line(ours, now),
        };
        session.refuse(error);
    }

    /// A quorum of nodes has told of a release of `key`: the first in line
    /// tries, after those of other clients who have waited longer.
    pub(super) fn hear_release(&mut self, key: &Key, now: Moment) {
        let heard = self.releases_heard(key);
        let Some(line) = self.lines.get(key) else { return };
        match line.at() {
            At::Trying => self.lines.waiting(key).news = true,
            At::Held(_) => {}
            At::Nobody => {
                let Some(waiting) = line.waiting() else { return };
                let not_before = waiting.not_before;
                let Some(first) = waiting.first_mut() else { return };
                let (age, poll_by) = (first.age(heard), first.poll_by);
                first.hinted = true;
                let at = now.after(self.pause_for(key, age)).min(poll_by).max(not_before);
                if at <= now { self.look_at(key, now) } else { self.wake(key, at) }
            }
        }
    }
}
