//! The driver: one task that owns every connection and runs every round.
//!
//! Callers hand in a request and await a verdict; nothing that must happen to a
//! lock depends on their futures being polled again. So a dropped future leaks
//! nothing, a guard's drop is one push into a queue, a release is always behind
//! its acquire, and a request costs one wake however many nodes there are.
//!
//! `run` is the loop, `dispatch` files operations and routes answers to them,
//! `acquire`, `extend` and `release` are the operations, and `tend` keeps what
//! is held, `look` changes nothing. What a vote count means is decided by `protocol`, never here.

mod acquire;
mod alarm;
mod dispatch;
mod extend;
mod hand_over;
mod hear;
mod line;
mod look;
mod op;
mod release;
mod request;
mod run;
mod schedule;
mod session;
mod split;
mod tend;
mod wait;
mod wakes;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    config::Config,
    error::{Error, ErrorKind},
};
#[cfg(redlock_sim)]
pub(crate) use run::Driver;
#[cfg(not(redlock_sim))]
use run::Driver;

pub(crate) use request::{
    AcquireRequest, ExtendRequest, LookRequest, Patience, Place, Request, Shared,
};
pub(crate) use schedule::Due;
pub(crate) use tend::Tending;

/// Starts a driver for `config`: as a task of the runtime this is called in,
/// or, with `own_thread` or outside any runtime, on a thread of its own. It
/// ends when the last handle is gone and nothing is left to release.
pub(crate) fn start(config: Config, own_thread: bool) -> Result<Arc<Shared>, Error> {
    let config = Arc::new(config);
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(Arc::clone(&config), sender));
    match tokio::runtime::Handle::try_current() {
        // It yields by itself: a budget that runs out would make sockets look
        // silent that are not.
        Ok(runtime) if !own_thread => {
            drop(runtime.spawn(tokio::task::unconstrained(Driver::new(config, queue))));
        }
        _ => spawn_thread(config, queue).map_err(|error| {
            Error::new(ErrorKind::Closed, "the driver's thread can't be started").with_source(error)
        })?,
    }
    Ok(shared)
}

/// The same, but for whoever polls the driver.
#[cfg(redlock_sim)]
pub(crate) fn detached(config: Config) -> (Arc<Shared>, Driver) {
    let config = Arc::new(config);
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(Arc::clone(&config), sender));
    (shared, Driver::new(config, queue))
}

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// The runtime is made, and dropped, on the thread: neither may happen inside
/// the caller's.
fn spawn_thread(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Result<(), Cause> {
    let (report, made) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(report.send(Err(error))),
        };
        // The caller waits for this; it can't be gone.
        let _ = report.send(Ok(()));
        runtime.block_on(tokio::task::unconstrained(async { Driver::new(config, queue).await }));
    };
    let cause = |error: std::io::Error| Arc::new(error) as Cause;
    std::thread::Builder::new().name("redlock-driver".into()).spawn(run).map_err(cause)?;
    made.recv().map_err(|error| Arc::new(error) as Cause)?.map_err(cause)
}
