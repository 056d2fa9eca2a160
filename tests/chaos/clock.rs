//! The clock by which all processes of a campaign tell their times: one for the
//! whole host, so that what two of them say can be compared. Nobody sets it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Of the same clock as the library's deadlines, which counts suspend.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the host began.
pub fn now() -> u64 {
    read(CLOCK)
}

/// For how long this thread has been on a core, in nanoseconds.
pub fn worked() -> u64 {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec) * SECOND + part(time.tv_nsec)
}

pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
