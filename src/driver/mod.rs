//! The driver: one task that owns every connection and runs the engine.
//!
//! Callers hand in a request and await a verdict; nothing that must happen to a
//! lock depends on their futures being polled again. So a dropped future leaks
//! nothing, a guard's drop is one push into a queue, a release is always behind
//! its acquire, and a request costs one wake however many nodes there are.
//!
//! `run` is the loop, `net` the connections, `alarm` the timer; `wakes` says which
//! connections to look at, `thread` is where it runs if not in a task. What is decided
//! about locks is decided by the `engine`, never here.

mod alarm;
mod net;
mod run;
mod thread;
mod wakes;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    config::Config,
    engine::{Request, Shared},
    error::{Error, ErrorKind},
    world::Pending,
};
#[cfg(redlock_sim)]
pub(crate) use run::Driver;
#[cfg(not(redlock_sim))]
use run::Driver;
use thread::Thread;

/// Starts a driver for `config`: as a task of the runtime this is called in,
/// or, with `own_thread` or outside any runtime, on a thread of its own. It
/// ends when the last handle is gone and nothing is left to release.
pub(crate) fn start(config: Config, own_thread: bool) -> Result<Arc<Shared>, Error> {
    let config = Arc::new(config);
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Shared::new(Arc::clone(&config), sender);
    match tokio::runtime::Handle::try_current() {
        // It yields by itself: a budget that runs out would make sockets look
        // silent that are not.
        Ok(runtime) if !own_thread => {
            drop(runtime.spawn(tokio::task::unconstrained(attended(config, queue))));
            Ok(Arc::new(shared))
        }
        _ => match Thread::spawn(config, queue) {
            Ok(thread) => Ok(Arc::new(shared.with_driver(Box::new(thread)))),
            Err(error) => {
                let error = Error::new(ErrorKind::Closed, "the driver's thread can't be started")
                    .with_source(error);
                Err(error)
            }
        },
    }
}

/// A driver that its world knows of.
fn attended(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Pending<()> {
    let world = Arc::clone(&config.world);
    world.attend(Box::pin(Driver::new(config, queue)))
}

/// The same, but for whoever polls the driver.
#[cfg(redlock_sim)]
pub(crate) fn detached(config: Config) -> (Arc<Shared>, Driver) {
    let config = Arc::new(config);
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(Arc::clone(&config), sender));
    (shared, Driver::new(config, queue))
}
