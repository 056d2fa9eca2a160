//! The loop: what woke the driver, what the engine gets to know of it, and when
//! to wake next. It decides nothing about locks.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::mpsc;

use super::{alarm::Alarm, net::Net};
use crate::{
    config::Config,
    engine::{Engine, Output, Request, Time},
    protocol::Moment,
};

/// How many requests are taken off the queue before the nodes are looked at
/// again: enough to fill a batch, few enough that no answer waits for long.
const REQUESTS_PER_TURN: usize = 256;

/// A lone caller has at most this many requests under way: its own, and a
/// release before that, which not all nodes have answered.
const ALONE: usize = 2;

/// How many turns are taken before other tasks get theirs.
const TURNS_PER_POLL: usize = 64;

/// One client's engine and its connections.
pub(crate) struct Driver {
    config: Arc<Config>,
    engine: Engine,
    net: Net,
    alarm: Alarm,
    queue: mpsc::UnboundedReceiver<Request>,
    inbox: Vec<Request>,
    /// Whether anyone can still send a request.
    open: bool,
    /// Whether other tasks run before what was offered is written.
    lets_others: bool,
}

impl Driver {
    pub(super) fn new(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Self {
        Self {
            engine: Engine::new(Arc::clone(&config), config.world.rng()),
            net: Net::new(&config),
            alarm: Alarm::new(),
            config,
            queue,
            inbox: Vec::new(),
            open: true,
            lets_others: false,
        }
    }

    /// How many operations are not over, and the most that is on its way to
    /// one node.
    #[cfg(redlock_sim)]
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.engine.operations(), self.net.in_flight())
    }

    /// The time, for the engine: see [`Time`].
    fn time(&self) -> Time {
        let clock = self.config.world.now();
        Time { clock, now: clock.max(self.alarm.due()) }
    }

    /// One look at everything. Says whether there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.alarm.due();
        let rung = self.alarm.take_rung();
        self.net.poll_nodes(self.time().now, due, rung);
        // Read again: the verdict must know how late it really is.
        let time = self.time();
        self.handle_events(time);
        self.net.poll_listeners(cx, time.now, due, self.engine.listens());
        self.handle_heard(time);
        self.engine.handle_due(due, time);
        // What has timed out may have made room.
        self.engine.renew_waiting(time);
        self.put_questions(time.now);
        self.take_requests(cx) || self.net.is_busy()
    }

    /// Whether other tasks should run before what was offered is written. The
    /// driver, as a rule, has just woken the task that hands in a request, and
    /// others that are about to hand in theirs: one write for all of them costs
    /// as much as one for each.
    fn waits_for_company(&self) -> bool {
        self.engine.callers() > ALONE && self.net.was_offered()
    }

    fn handle_events(&mut self, time: Time) {
        for event in self.net.events.drain(..) {
            self.engine.handle_answer(event, time.now);
        }
        self.engine.settle_answered(time);
    }

    fn handle_heard(&mut self, time: Time) {
        for (node, heard) in self.net.heard.drain(..) {
            self.engine.handle_heard(node, heard, time);
        }
    }

    /// Does what the engine wants done, and tells it which nodes decline.
    fn put_questions(&mut self, now: Moment) {
        if self.engine.has_output() {
            self.put_all_questions(now);
        }
    }

    #[inline(never)]
    fn put_all_questions(&mut self, now: Moment) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Listen(wish) => self.net.listen(&wish),
                Output::Ask { op, ask, targets } => {
                    let Some(question) = self.engine.question(op, ask, targets) else { continue };
                    self.net.ask(&question, targets, now);
                    if self.net.declined.is_empty() {
                        continue;
                    }
                    for (node, why) in self.net.declined.drain(..) {
                        self.engine.handle_declined(op, ask, node, why, now);
                    }
                    let time = self.time();
                    self.engine.settle_declined(op, time);
                }
            }
        }
    }

    /// Says whether there may be more.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.open {
            return false;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let taken = self.queue.poll_recv_many(cx, &mut inbox, REQUESTS_PER_TURN);
        self.open = !matches!(taken, Poll::Ready(0));
        if !inbox.is_empty() {
            let time = self.time();
            inbox.drain(..).for_each(|request| self.engine.handle_request(request, time));
            self.put_questions(time.now);
        }
        self.inbox = inbox;
        self.open && taken.is_ready()
    }

    /// Says whether the alarm rings; if not, sees to it that it will.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        let next = || self.net.poll_timeout().min(self.engine.poll_timeout());
        self.alarm.poll(cx, &*self.config.world, next)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.net.register(cx);
        if std::mem::take(&mut this.lets_others) {
            this.take_requests(cx);
        }
        loop {
            let mut turns = 0;
            while this.turn(cx) {
                turns += 1;
                this.lets_others = this.waits_for_company();
                if this.lets_others || turns == TURNS_PER_POLL {
                    // Nor may a flood keep what is due from being done.
                    this.engine.answer_closings(this.time().now);
                    this.poll_alarm(cx);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            this.engine.answer_closings(this.time().now);
            if !this.open && !this.engine.has_releases() {
                return Poll::Ready(());
            }
            if !this.poll_alarm(cx) {
                return Poll::Pending;
            }
        }
    }
}
