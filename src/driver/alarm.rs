//! When to wake although nothing happens. It does nothing that is due.

use std::task::Context;

use crate::{
    protocol::Moment,
    world::{Pending, World},
};

/// The driver's only timer.
pub(super) struct Alarm {
    /// Made when it is first needed: a runtime without timers ends the driver,
    /// not the caller.
    sleep: Option<Pending<()>>,
    at: Moment,
    /// The time of the last alarm, up to which things are due. The runtime looks
    /// at its sockets before it rings one, so an answer that was there by then has
    /// been read.
    due: Moment,
    rung: bool,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { sleep: None, at: Moment::PAST, due: Moment::PAST, rung: false }
    }

    /// Up to when things are due.
    pub(super) fn due(&self) -> Moment {
        self.due
    }

    /// Whether it has rung since this was last called: something may be due
    /// anywhere.
    pub(super) fn take_rung(&mut self) -> bool {
        std::mem::take(&mut self.rung)
    }

    /// Says whether it rings; if not, sees to it that it will, when the `next`
    /// thing is due.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        world: &dyn World,
        next: impl FnOnce() -> Moment,
    ) -> bool {
        if self.rings(cx) {
            return true;
        }
        let next = next();
        if next == Moment::NEVER {
            return false;
        }
        // An alarm that rings too early only costs a turn; most of them are
        // for timeouts that never happen, so they are not worth moving.
        if self.sleep.is_some() && self.at <= next {
            return false;
        }
        let now = world.now();
        if self.sleep.is_none() || now < self.at {
            self.at = next.max(now).min(now.after(world.longest_sleep()));
            self.sleep = Some(world.sleep(self.at.since(now)));
        }
        self.rings(cx)
    }

    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let rings = self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if rings {
            self.sleep = None;
            (self.due, self.rung) = (self.at, true);
        }
        rings
    }
}
