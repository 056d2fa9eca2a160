//! Fencing numbers: how a client chooses one, so that whoever comes later has a larger one. It
//! knows no clock and asks nobody: the wall clock's reading is an argument.
//!
//! A number begins as a wall clock's microseconds, so that it is above the last holder's without
//! a question in between. Where a clock is behind, the nodes say which number they have seen, and
//! the next is above that: the order depends on no clock.

use std::{num::NonZeroU64, time::Duration};

use super::Moment;
use crate::mutant::{self, Mutant};

/// A fencing number: 16 digits, which a JSON number and a double of any language hold exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(NonZeroU64);

impl Number {
    /// The smallest number of 16 digits; as microseconds since 1970 it is in September 2001.
    pub(crate) const FIRST: u64 = 1_000_000_000_000_000;
    /// The largest that a double tells from the one before; as microseconds it is in the year
    /// 2255.
    pub(crate) const LAST: u64 = (1 << 53) - 1;

    pub(crate) fn new(value: u64) -> Option<Self> {
        let is_one = (Self::FIRST..=Self::LAST).contains(&value);
        NonZeroU64::new(value).filter(|_| is_one).map(Self)
    }

    pub(crate) fn get(self) -> u64 {
        self.0.get()
    }
}

/// How far a client follows its own last number ahead of its clock: so far a burst of calls may
/// run, and no farther, since the clock may have been wrong then.
const OWN_LEAD: u64 = 1_000_000;

/// A number so far ahead of a clock was made by a clock that is wrong. The scripts of the nodes
/// have the same hour.
const PLAUSIBLE: u64 = 3_600_000_000;

/// What one client's numbers are made of: its wall clock, and its own last number.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// What the wall clock said last, in microseconds since 1970, and when that was.
    read: u64,
    read_at: Option<Moment>,
    /// The last number that the clock alone gave: what was seen at nodes never raises it, or one
    /// key's wrong number would spread to all keys.
    last: u64,
    /// When it was last said that nodes have seen numbers ahead of the clock.
    warned_at: Option<Moment>,
}

/// A clock that is off is said so often at most.
const WARN_EVERY: Duration = Duration::from_secs(60);

impl Numbers {
    /// The wall clock says `micros` since 1970, `now`.
    pub(crate) fn set_clock(&mut self, micros: u64, now: Moment) {
        (self.read, self.read_at) = (micros, Some(now));
    }

    /// What the wall clock must say `now`.
    fn clock(&self, now: Moment) -> u64 {
        let passed = self.read_at.map_or(0, |read_at| now.since(read_at).as_micros());
        self.read.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// A number above all in `seen`, and above the last one of this client; `None` if there is
    /// none any more.
    pub(crate) fn propose(&mut self, seen: u64, now: Moment) -> Option<Number> {
        let clock = if mutant::is(Mutant::WallClockIsIgnored) { 0 } else { self.clock(now) };
        let clock = clock.clamp(Number::FIRST, Number::LAST);
        let next = self.last.saturating_add(1);
        let follows = next <= clock.saturating_add(OWN_LEAD);
        self.last = if follows { clock.max(next) } else { clock };
        if mutant::is(Mutant::SeenIsForgotten) {
            return Number::new(self.last);
        }
        Number::new(self.last.max(seen.saturating_add(1)))
    }

    /// Forgets its own last number: a node has found it to be ahead of all clocks.
    pub(crate) fn forget_last(&mut self) {
        self.last = 0;
    }

    /// By how much the number `seen` at a node is ahead of the clock, where that is more than a
    /// burst of calls makes it, and was not said for a while.
    pub(crate) fn is_off_by(&mut self, seen: u64, now: Moment) -> Option<Duration> {
        let ahead = seen.saturating_sub(self.clock(now));
        let is_news = self.warned_at.is_none_or(|at| now.since(at) >= WARN_EVERY);
        if ahead <= OWN_LEAD || !is_news {
            return None;
        }
        self.warned_at = Some(now);
        Some(Duration::from_micros(ahead))
    }

    /// Whether the number `seen` at a node is so far ahead of the clock that it is believed only
    /// where a quorum of nodes says so.
    pub(crate) fn is_ahead(&self, seen: u64, now: Moment) -> bool {
        seen > self.clock(now).saturating_add(PLAUSIBLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u64 = 1_796_000_000_000_000;
    const NOW: Moment = Moment::from_nanos(5_000_000_000);

    fn numbers(clock: u64) -> Numbers {
        let mut numbers = Numbers::default();
        numbers.set_clock(clock, NOW);
        numbers
    }

    fn propose(numbers: &mut Numbers, seen: u64, after: Duration) -> u64 {
        numbers.propose(seen, NOW.after(after)).unwrap().get()
    }

    #[test]
    fn each_is_above_the_one_before_and_above_what_was_seen() {
        let mut it = numbers(CLOCK);
        assert_eq!(propose(&mut it, 0, Duration::ZERO), CLOCK);
        assert_eq!(propose(&mut it, 0, Duration::ZERO), CLOCK + 1);
        assert_eq!(propose(&mut it, CLOCK + 500, Duration::ZERO), CLOCK + 501);
        // What one key's nodes have seen raises no other key's numbers.
        assert_eq!(propose(&mut it, 0, Duration::ZERO), CLOCK + 3);
        assert_eq!(propose(&mut it, 0, Duration::from_millis(1)), CLOCK + 1000);
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_moment_spoils_no_later_number() {
        let mut it = numbers(CLOCK + 86_400_000_000);
        propose(&mut it, 0, Duration::ZERO);
        it.set_clock(CLOCK, NOW);
        assert_eq!(propose(&mut it, 0, Duration::ZERO), CLOCK);
    }

    #[test]
    fn they_have_sixteen_digits_and_end_where_doubles_do() {
        assert_eq!(propose(&mut numbers(0), 0, Duration::ZERO), Number::FIRST);
        assert_eq!(propose(&mut numbers(u64::MAX), 0, Duration::ZERO), Number::LAST);
        assert_eq!(numbers(CLOCK).propose(Number::LAST, NOW), None, "they are used up");
        assert_eq!(numbers(CLOCK).propose(u64::MAX, NOW), None);
        assert_eq!(Number::new(Number::FIRST - 1), None);
        assert_eq!(Number::new(Number::LAST + 1), None);
    }

    #[test]
    fn what_is_over_an_hour_ahead_is_not_believed() {
        let it = numbers(CLOCK);
        assert!(!it.is_ahead(CLOCK + PLAUSIBLE, NOW));
        assert!(it.is_ahead(CLOCK + PLAUSIBLE + 1, NOW));
        assert!(!it.is_ahead(CLOCK + PLAUSIBLE + 1, NOW.after(Duration::from_micros(1))));
    }

    #[test]
    fn a_clock_that_is_behind_is_said_once_a_minute() {
        let mut it = numbers(CLOCK);
        let mut said = |seen, after| it.is_off_by(seen, NOW.after(Duration::from_secs(after)));
        assert_eq!(said(CLOCK + OWN_LEAD, 0), None);
        assert_eq!(said(CLOCK + 5_000_000, 0), Some(Duration::from_secs(5)));
        assert_eq!(said(CLOCK + 5_000_000, 2), None, "it was said");
        assert_eq!(said(CLOCK + 65_000_000, 60), Some(Duration::from_secs(5)));
    }
}
