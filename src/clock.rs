//! The only clock that deadlines are read from.
//!
//! It counts the time that a machine spends suspended: a laptop that slept past its
//! ttl must not wake up believing that it still holds the lock. `Instant` stops
//! during suspend on Linux, so this asks for `CLOCK_BOOTTIME` there. No deadline
//! comes from the wall clock, except through [`wall`], for a lock that passes between
//! processes.

use std::time::SystemTime;

use crate::protocol::Moment;

/// The time now.
#[cfg(unix)]
pub(crate) fn now() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // On Apple systems this is the clock that counts suspend.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The time now.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Moment {
    use std::{sync::LazyLock, time::Instant};
    static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
    let epoch = *EPOCH;
    Moment::from_nanos(0).after(Instant::now().saturating_duration_since(epoch))
}

/// The wall clock, for deadlines that leave this process.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_does_not_go_back() {
        let readings: Vec<_> = (0..1000).map(|_| super::now()).collect();
        assert!(readings.is_sorted());
    }
}
