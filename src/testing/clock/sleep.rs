//! A timer of a clock that is moved: it rings when the clock shows its time, be it that
//! somebody moved it there or that real time has passed.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::Clock;
use crate::{
    protocol::Moment,
    world::{Pending, System, World as _},
};

/// How long it sleeps in real time at once. Where tokio's clock is paused, a thread sleeps so
/// long, even if nobody waits for it any more.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Sleep {
    clock: Clock,
    until: Moment,
    /// Its number among the clock's timers.
    number: u64,
    /// What rings if nobody moves the clock.
    unmoved: Pending<()>,
}

impl Sleep {
    pub(super) fn new(clock: Clock, until: Moment) -> Self {
        let mut state = clock.state();
        state.made += 1;
        let (number, unmoved) = (state.made, unmoved(until.since(state.now())));
        drop(state);
        Self { clock, until, number, unmoved }
    }
}

fn unmoved(span: Duration) -> Pending<()> {
    System.sleep(span.min(LOOKS_EVERY))
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let mut state = this.clock.state();
            if this.until <= state.now() {
                return Poll::Ready(());
            }
            state.timers.insert((this.until, this.number), cx.waker().clone());
            drop(state);
            if this.unmoved.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.unmoved = unmoved(this.until.since(this.clock.now()));
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.state().timers.remove(&(self.until, self.number));
    }
}
