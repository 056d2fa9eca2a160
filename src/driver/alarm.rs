//! When to wake although nothing happens. It does nothing that is due.

use std::{task::Context, time::Duration};

use super::run::Driver;
use crate::{
    node::{Listener, Node},
    protocol::Moment,
};

/// The longest sleep while something is to be done at its time: so late, at
/// worst, a holder hears after a suspend that its lock has ended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

impl Driver {
    /// Says whether the alarm rings; if not, sees to it that it will, when the
    /// next thing is due.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        if self.alarm_rings(cx) {
            return true;
        }
        let mut next = self.nodes.iter().map(Node::poll_timeout).fold(Moment::NEVER, Moment::min);
        if self.listening {
            next = self.listeners.iter().map(Listener::poll_timeout).fold(next, Moment::min);
        }
        for at in [self.timers.peek(), self.tended.peek()].into_iter().flatten() {
            next = next.min(at);
        }
        if next == Moment::NEVER {
            return false;
        }
        // An alarm that rings too early only costs a turn; most of them are
        // for timeouts that never happen, so they are not worth moving.
        if self.alarm.is_some() && self.alarm_at <= next {
            return false;
        }
        let now = self.config.world.now();
        if self.alarm.is_none() || now < self.alarm_at {
            // The runtime's timers stand still while the machine is suspended.
            self.alarm_at = next.max(now).min(now.after(LONGEST_SLEEP));
            self.alarm = Some(self.config.world.sleep(self.alarm_at.since(now)));
        }
        self.alarm_rings(cx)
    }

    fn alarm_rings(&mut self, cx: &mut Context<'_>) -> bool {
        let rings = self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready());
        if rings {
            self.alarm = None;
            self.due = self.alarm_at;
            self.rung = true;
        }
        rings
    }
}
