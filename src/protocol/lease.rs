//! The time that a lock is held: ttl, drift and deadline. No other module computes
//! a deadline from a ttl.
//!
//! The clock is read before the first byte is sent, so every delay between there and
//! the verdict shortens what the client believes it holds, and never what the servers
//! grant. All of it is saturating integer arithmetic.

use std::time::Duration;

use crate::mutant::{self, Mutant};

/// A point on the client's clock, in nanoseconds since an epoch of the clock's own.
/// A `u64` reaches 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment before all others: a deadline that has passed.
    pub(crate) const PAST: Self = Self(0);
    /// The moment after all others: a deadline that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and `span` more, or [`Self::NEVER`].
    #[must_use]
    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to here; zero where `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A time to live, in whole milliseconds, as Redis counts it. A `u32` reaches seven
/// weeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ttl {
    /// For how long a holder believes, from its first byte on.
    millis: u32,
    /// For how much longer the servers keep the key, if nobody deletes it.
    grace: u32,
}

impl Ttl {
    /// The shortest ttl that is not refused. A shorter one is used up by drift (2 ms)
    /// and one round trip.
    pub(crate) const MIN: Self = Self::from_millis(10);

    pub(crate) const fn from_millis(millis: u32) -> Self {
        Self { millis, grace: 0 }
    }

    /// `span` in whole milliseconds, rounded down, so that it is never more than the
    /// caller asked for.
    pub(crate) fn from_duration(span: Duration) -> Self {
        Self::from_millis(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }

    /// The same, and so many milliseconds more for the key.
    pub(crate) const fn with_grace(self, grace: u32) -> Self {
        Self { grace, ..self }
    }

    pub(crate) const fn as_millis(self) -> u32 {
        self.millis
    }

    pub(crate) const fn grace(self) -> u32 {
        self.grace
    }

    pub(crate) fn grace_duration(self) -> Duration {
        Duration::from_millis(self.grace.into())
    }

    /// How long the servers keep the key: as long as it is believed in, and the grace.
    pub(crate) const fn of_key(self) -> u32 {
        self.millis.saturating_add(self.grace)
    }

    pub(crate) fn key_duration(self) -> Duration {
        Duration::from_millis(self.of_key().into())
    }

    /// The usual time between renewals: if one fails, there is time for another
    /// before the deadline.
    pub(crate) fn third(self) -> Duration {
        self.as_duration() / 3
    }

    pub(crate) fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis.into())
    }
}

/// The error that clocks are allowed: a share of the ttl for their rates, and 2 ms
/// for the millisecond granularity of a server's expiry. The Redlock page's own
/// formula is 1 % + 2 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drift {
    per_mille: u32,
}

impl Drift {
    pub(crate) const DEFAULT_PER_MILLE: u32 = 10;
    /// The share that leaves no validity at all.
    pub(crate) const LIMIT_PER_MILLE: u32 = 1000;
    const GRANULARITY: Duration = Duration::from_millis(2);

    /// `None` from [`Self::LIMIT_PER_MILLE`] on.
    pub(crate) fn per_mille(per_mille: u32) -> Option<Self> {
        (per_mille < Self::LIMIT_PER_MILLE).then_some(Self { per_mille })
    }

    /// The drift to take off a lease of `span`, rounded up to the nanosecond.
    pub(crate) fn of(self, span: Duration) -> Duration {
        if mutant::is(Mutant::DriftIgnored) {
            return Duration::ZERO;
        }
        // The product fits for any lease. In a longer span, it makes no difference to
        // round each thousandth up.
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let per_mille = u64::from(self.per_mille);
        let drift = match nanos.checked_mul(per_mille) {
            Some(product) => product.div_ceil(1000),
            None => nanos.div_ceil(1000).saturating_mul(per_mille),
        };
        Duration::from_nanos(drift).saturating_add(Self::GRANULARITY)
    }
}

/// What a won round gives: the lock is held from when the clock was read to `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The holder's own deadline: `start + ttl - drift`, where the drift is that of the key's
    /// whole life.
    pub(crate) until: Moment,
    /// From here on no server can hold the key: every request of the round was given
    /// up by `start + timeout`, and its key lives for the ttl and the grace, on a slow clock.
    pub(crate) gone_by: Moment,
}

impl Lease {
    /// The lease of a round that reads the clock at `start` and gives each
    /// node `timeout` to answer.
    pub(crate) fn new(start: Moment, ttl: Ttl, drift: Drift, timeout: Duration) -> Self {
        let key = ttl.key_duration();
        let drift = drift.of(key);
        Self {
            until: start.after(believed(ttl).saturating_sub(drift)),
            gone_by: start.after(timeout).after(kept(ttl)).after(drift),
        }
    }
}

/// For how long a holder believes, before drift.
fn believed(ttl: Ttl) -> Duration {
    if mutant::is(Mutant::BelievesInGrace) {
        return ttl.key_duration();
    }
    ttl.as_duration()
}

/// For how long a node keeps the key, before drift.
fn kept(ttl: Ttl) -> Duration {
    if mutant::is(Mutant::GoneWithoutGrace) {
        return ttl.as_duration();
    }
    ttl.key_duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const TIMEOUT: Duration = Duration::from_millis(200);

    fn drift() -> Drift {
        Drift::per_mille(Drift::DEFAULT_PER_MILLE).unwrap()
    }

    #[test]
    fn the_deadline_is_start_plus_ttl_minus_one_percent_and_two_milliseconds() {
        let ttl = Ttl::from_duration(Duration::from_secs(10));
        let lease = Lease::new(START, ttl, drift(), TIMEOUT);
        assert_eq!(lease.until.since(START), Duration::from_millis(10_000 - 100 - 2));
        assert_eq!(lease.gone_by.since(START), Duration::from_millis(200 + 10_000 + 102));
    }

    #[test]
    fn a_grace_lengthens_the_keys_life_and_never_what_is_believed() {
        let ttl = Ttl::from_duration(Duration::from_secs(8)).with_grace(2_000);
        let lease = Lease::new(START, ttl, drift(), TIMEOUT);
        assert_eq!(lease.until.since(START), Duration::from_millis(8_000 - 100 - 2));
        assert_eq!(lease.gone_by.since(START), Duration::from_millis(200 + 10_000 + 102));
        assert_eq!(Ttl::from_millis(u32::MAX).with_grace(1).of_key(), u32::MAX);
    }

    #[test]
    fn a_ttl_no_longer_than_its_drift_leaves_nothing() {
        for millis in 0..=2 {
            let ttl = Ttl::from_duration(Duration::from_millis(millis));
            assert_eq!(Lease::new(START, ttl, drift(), TIMEOUT).until, START);
        }
    }

    #[test]
    fn nothing_overflows() {
        let ttl = Ttl::from_duration(Duration::MAX);
        let lease = Lease::new(Moment::NEVER, ttl, Drift::per_mille(999).unwrap(), Duration::MAX);
        assert_eq!(lease.until, Moment::NEVER);
        assert_eq!(lease.gone_by, Moment::NEVER);
        assert_eq!(Moment::PAST.since(Moment::NEVER), Duration::ZERO);
    }

    #[test]
    fn a_ttl_is_rounded_down_and_drift_up() {
        assert_eq!(Ttl::from_duration(Duration::from_micros(10_999)).as_millis(), 10);
        let drift = drift().of(Duration::from_nanos(1));
        assert_eq!(drift, Duration::from_nanos(2_000_001));
        assert!(Drift::per_mille(Drift::LIMIT_PER_MILLE).is_none());
    }
}
