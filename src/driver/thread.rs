//! The driver's own thread, and the wait for its end: what was dropped last is to be released
//! before the process ends. It never blocks inside a runtime.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc::sync_channel},
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc};

use super::attended;
use crate::{config::Config, engine::Request};

pub(super) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A driver's thread. Dropping it, once nothing can be sent to the driver any more, waits for
/// the driver's end, at most for as long as a node has for an answer.
///
/// Inside a runtime, where nobody may block, it waits when the thread ends that drops it: with
/// `#[tokio::main]` that is when `main` has returned.
#[derive(Debug)]
pub(super) struct Thread {
    end: Arc<End>,
    limit: Duration,
}

/// Whether the driver has ended.
#[derive(Debug, Default)]
struct End {
    is_over: Mutex<bool>,
    told: Condvar,
}

/// Tells of the driver's end, whatever ends it.
struct Tells(Arc<End>);

thread_local! {
    /// Drivers whose last handle was dropped on this thread, inside a runtime.
    static LEFT: RefCell<Vec<Thread>> = const { RefCell::new(Vec::new()) };
}

impl Thread {
    /// Starts a driver on a thread of its own. The runtime is made, and dropped, there:
    /// neither may happen inside the caller's.
    pub(super) fn spawn(
        config: Arc<Config>,
        queue: mpsc::UnboundedReceiver<Request>,
    ) -> Result<Self, Cause> {
        let limit = config.node_timeout(config.max_ttl());
        let end = Arc::<End>::default();
        let tells = Tells(Arc::clone(&end));
        let (report, made) = sync_channel(1);
        let run = move || {
            let _tells = tells;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(error))),
            };
            // From here on its world knows of it.
            let driver = attended(config, queue);
            // The caller waits for this; it can't be gone.
            let _ = report.send(Ok(()));
            runtime.block_on(tokio::task::unconstrained(driver));
        };
        let cause = |error: io::Error| Arc::new(error) as Cause;
        std::thread::Builder::new().name("redlock-driver".into()).spawn(run).map_err(cause)?;
        made.recv().map_err(|error| Arc::new(error) as Cause)?.map_err(cause)?;
        Ok(Self { end, limit })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.end.is_over() {
            return;
        }
        let is_inside = Handle::try_current().is_ok();
        let leave = |left: &RefCell<Vec<Self>>| {
            let mut left = left.borrow_mut();
            left.retain(|thread| !thread.end.is_over());
            left.push(Self { end: Arc::clone(&self.end), limit: self.limit });
        };
        // A thread that is ending already keeps nothing more.
        if !is_inside || LEFT.try_with(leave).is_err() {
            self.end.wait(self.limit);
        }
    }
}

impl End {
    fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(is_over, limit, |is_over| !*is_over));
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        *self.0.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}
