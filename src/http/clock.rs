//! The only clocks of the service. They measure how long requests take, tell the
//! page how much time locks have left, and date the parts that a lock is released
//! by. They never decide whether a lock is held: `src/clock.rs` is for that.

use std::time::{Instant, SystemTime};

/// The monotonic clock, to measure by.
#[expect(clippy::disallowed_methods, reason = "the one place of the service that reads it")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for the end of [`LockParts`](crate::LockParts).
#[expect(clippy::disallowed_methods, reason = "the one place of the service that reads it")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
