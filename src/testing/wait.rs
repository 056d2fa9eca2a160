//! Bounded waits for a condition, on real time. They never sleep in the hope that the
//! condition has come true by then.

use std::thread;
use std::time::{Duration, Instant};

use super::FixtureError;

const STEP: Duration = Duration::from_millis(2);

#[expect(
    clippy::disallowed_methods,
    reason = "a fixture's deadlines say nothing about a lock's, and must be real where a test's \
              clock is not"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Asks until there is an answer, for at most about `limit`.
pub(super) fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begun.elapsed() >= limit {
            return None;
        }
        thread::sleep(STEP);
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FixtureError> + Send + 'static,
) -> Result<T, FixtureError> {
    tokio::task::spawn_blocking(work).await.map_err(|failure| FixtureError::Io {
        doing: "run a fixture's step".to_owned(),
        source: failure.into(),
    })?
}
