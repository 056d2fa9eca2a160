//! Whether a late call is the library's doing or the host's: what a plain sleep on the same
//! runtime meets at the same time. It knows nothing of locks, and excuses nothing: what it
//! notes is for the checker to weigh.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};

use crate::{
    clock::{ms, nanos, now, worked},
    log::{Event, Log},
};

/// How often the host is looked at.
const TICK: Duration = ms(10);
/// A timer that rings as late as this is no news.
const STALL: Duration = ms(5);

/// Notes when the one thread of this process neither slept nor worked: it waited for a core, or for
/// the disk that has the log. One that works so long that others wait is not excused.
pub async fn watch(log: Arc<Log>) {
    let mut last = (now(), worked());
    loop {
        sleep(TICK).await;
        let this = (now(), worked());
        let idle = (this.0 - last.0).saturating_sub(this.1 - last.1);
        let stalled = idle.saturating_sub(nanos(TICK));
        if stalled > nanos(STALL) {
            log.say(&Event::Stalled { from: this.0 - stalled, until: this.0 });
        }
        // To write that down may take long, too: the next look begins where this one ended.
        last = this;
    }
}

/// A sleep beside a call, for as long as that may take.
#[derive(Debug)]
pub struct Control {
    began: u64,
    worked: u64,
    due: u64,
    rings: JoinHandle<(u64, u64)>,
}

impl Control {
    pub fn start(length: Duration) -> Self {
        let (began, worked) = (now(), worked());
        // It begins now, and not when the task first runs.
        let sleep = sleep(length);
        let rings = tokio::spawn(async move {
            sleep.await;
            (now(), self::worked())
        });
        Self { began, worked, due: began + nanos(length), rings }
    }

    /// The call is over: how much later than it should the sleep came back, if it should have by now.
    /// What this thread worked in all is not counted, for that may have kept the sleep waiting.
    pub async fn end(self) -> Option<(u64, u64)> {
        if now() <= self.due {
            self.rings.abort();
            return None;
        }
        let (rang, worked) = self.rings.await.ok()?;
        let idle = (rang - self.began).saturating_sub(worked - self.worked);
        let late = rang.saturating_sub(self.due).min(idle);
        (late > nanos(STALL)).then_some((rang - late, rang))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(test)
    }

    #[test]
    fn a_thread_that_did_not_run_is_told_from_one_that_worked() {
        let late = |during: fn()| {
            run(async {
                let control = Control::start(ms(20));
                tokio::task::yield_now().await;
                during();
                control.end().await.map_or(0, |(from, until)| until - from)
            })
        };
        // A thread that is blocked is what is told, and for that long at least.
        assert!(late(|| std::thread::sleep(ms(220))) >= nanos(ms(190)));
        let works = || {
            let from = worked();
            while worked() - from < nanos(ms(220)) {}
        };
        let (began, excused) = (now(), late(works));
        // A host that is busy takes its part of the time meanwhile.
        assert!(excused <= now() - began - nanos(ms(220)));
    }

    #[test]
    fn a_call_that_is_in_time_needs_no_excuse() {
        assert_eq!(run(async { Control::start(ms(1000)).end().await }), None);
    }
}
