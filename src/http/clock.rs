//! The only clocks of the service. Deadlines of locks are the client's
//! business, see `src/clock.rs`; these measure how long requests take, tell
//! the page what is left, and stamp what a lock is taken back with.

use std::time::{Instant, SystemTime};

/// The time now, to measure by.
#[expect(clippy::disallowed_methods, reason = "the one place of the service that reads it")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, which [`LockParts`](crate::LockParts) are stamped with.
#[expect(clippy::disallowed_methods, reason = "the one place of the service that reads it")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
