//! A program that takes a lock, drops the guard, and is at its end: for a test that looks
//! whether a key is left. The driver has a thread of its own.
//!
//! `redlock-last-handle inside|outside URL...`: whether all is dropped inside a runtime.

use redlock_quorum::{Error, Redlock};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let is_inside = args.next().as_deref() == Some("inside");
    let urls: Vec<String> = args.collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if is_inside {
        runtime.block_on(async { take(urls).await.map(drop) })?;
    } else {
        let taken = runtime.block_on(take(urls));
        drop(runtime);
        drop(taken?);
    }
    Ok(())
}

/// Takes a lock, whose guard is the last handle.
async fn take(urls: Vec<String>) -> Result<redlock_quorum::LockGuard, Error> {
    let timeout = std::time::Duration::from_secs(5); // of a busy machine
    let builder = Redlock::builder().nodes(urls).node_timeout(timeout).driver_thread();
    builder.build()?.lock("job").await
}
