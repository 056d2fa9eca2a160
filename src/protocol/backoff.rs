//! The pauses between attempts: exponential, with full jitter.
//!
//! This is a policy and not a sleep: it yields delays, and the caller waits. The
//! jitter comes from the random bits that the caller passes in.

use std::time::Duration;

/// Draws delays from `[0, ceiling]`, where the ceiling doubles from `first` up to
/// `most`. Full jitter spreads contenders over the whole span, which breaks up
/// split votes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { ceiling: first, most }
    }

    /// The next delay; `draw` is 64 uniform random bits.
    pub(crate) fn next_delay(&mut self, draw: u64) -> Duration {
        let ceiling = self.ceiling.min(self.most);
        self.ceiling = ceiling.saturating_mul(2);
        part(ceiling, draw)
    }

    /// A delay like those after many attempts.
    pub(crate) fn longest_delay(&self, draw: u64) -> Duration {
        part(self.most, draw)
    }

    /// The delay for a waiter that expects a notification and polls only as a
    /// fallback: between half of the maximum and the maximum.
    pub(crate) fn floor(&self, draw: u64) -> Duration {
        let half = self.most / 2;
        half.saturating_add(part(half, draw))
    }
}

fn part(whole: Duration, draw: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let scaled = (u128::from(nanos).saturating_add(1)).saturating_mul(u128::from(draw)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_most_and_jitter_fills_it() {
        let ms = Duration::from_millis;
        let mut longest = Backoff::new(ms(5), ms(40));
        let delays: Vec<_> = (0..5).map(|_| longest.next_delay(u64::MAX)).collect();
        assert_eq!(delays, [ms(5), ms(10), ms(20), ms(40), ms(40)]);

        let mut shortest = Backoff::new(ms(5), ms(40));
        assert!((0..5).all(|_| shortest.next_delay(0).is_zero()));

        let mut half = Backoff::new(ms(8), ms(8));
        assert_eq!(half.next_delay(u64::MAX / 2), ms(4));
        assert_eq!([0, u64::MAX].map(|draw| half.floor(draw)), [ms(4), ms(8)]);
    }

    #[test]
    fn zero_and_endless_delays_do_no_harm() {
        assert!(Backoff::new(Duration::ZERO, Duration::ZERO).next_delay(u64::MAX).is_zero());
        let mut endless = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(endless.next_delay(u64::MAX), Duration::from_nanos(u64::MAX));
    }
}
