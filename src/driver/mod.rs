//! The driver: one task that owns every connection and runs every round.
//!
//! Callers hand in a request and await a verdict; nothing that must happen to a
//! lock depends on their futures being polled again. So a dropped future leaks
//! nothing, a guard's drop is one push into a queue, a release is always behind
//! its acquire, and a request costs one wake however many nodes there are.
//!
//! This file is the loop: what woke us, who gets to hear of it, when to wake
//! next. It decides nothing about locks: `acquire`, `extend` and `release` do,
//! by the rules in `protocol`.

mod acquire;
mod extend;
mod op;
mod release;
mod request;
mod schedule;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng};
use slab::Slab;
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::{
    clock,
    config::Config,
    error::{Error, ErrorKind},
    node::{self, Answer, Ask, Event, Node, Order, Outcome, Ticket},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, NodeSet, Vote},
};
use op::{Closing, Job, Op, Session};
use schedule::Schedule;

pub(crate) use request::{AcquireRequest, ExtendRequest, Patience, Request, Shared};

/// How many requests are taken off the queue before the nodes are looked at
/// again: enough to fill a batch, few enough that no answer waits for long.
const REQUESTS_PER_TURN: usize = 256;

/// Starts a driver for `config`: as a task of the runtime this is called in,
/// or, with `own_thread` or outside any runtime, on a thread of its own. It
/// ends when the last handle is gone and nothing is left to release.
pub(crate) fn start(config: Config, own_thread: bool) -> Result<Arc<Shared>, Error> {
    let config = Arc::new(config);
    let (sender, queue) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(Arc::clone(&config), sender));
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if !own_thread => drop(runtime.spawn(Driver::new(config, queue))),
        _ => spawn_thread(config, queue).map_err(|error| {
            Error::new(ErrorKind::Closed, "the driver's thread can't be started").with_source(error)
        })?,
    }
    Ok(shared)
}

type Cause = Arc<dyn std::error::Error + Send + Sync>;

fn spawn_thread(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Result<(), Cause> {
    let cause = |error: std::io::Error| Arc::new(error) as Cause;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cause)?;
    let run = move || runtime.block_on(async { Driver::new(config, queue).await });
    std::thread::Builder::new().name("redlock-driver".into()).spawn(run).map_err(cause)?;
    Ok(())
}

struct Driver {
    config: Arc<Config>,
    nodes: Vec<Node>,
    queue: mpsc::UnboundedReceiver<Request>,
    inbox: Vec<Request>,
    /// Whether anyone can still send a request.
    open: bool,
    /// Set by a shutdown: no more acquires.
    closed: bool,
    closings: Vec<Closing>,
    ops: Slab<Op>,
    op_number: u64,
    /// Operations whose caller has not been told yet.
    undecided: usize,
    /// Releases that may still change something.
    releasing: usize,
    timers: Schedule<Timer>,
    sleepers: Schedule<Box<Session>>,
    alarm: Pin<Box<Sleep>>,
    alarm_at: Moment,
    events: Vec<Event>,
    scratch: Vec<u8>,
    rng: StdRng,
}

enum Timer {
    /// The operation's own timeout.
    Op { id: usize, number: u64 },
    /// Ask this node again to release.
    Release { id: usize, number: u64, node: NodeId },
    /// Someone's patience with a shutdown.
    Closing,
}

impl Driver {
    fn new(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Self {
        let endpoints = config.endpoints.iter().map(Arc::clone);
        let nodes = NodeId::all(config.endpoints.len()).zip(endpoints);
        Self {
            nodes: nodes.map(|(id, endpoint)| Node::new(id, endpoint)).collect(),
            config,
            queue,
            inbox: Vec::new(),
            open: true,
            closed: false,
            closings: Vec::new(),
            ops: Slab::new(),
            op_number: 0,
            undecided: 0,
            releasing: 0,
            timers: Schedule::new(),
            sleepers: Schedule::new(),
            alarm: Box::pin(sleep(Duration::ZERO)),
            alarm_at: Moment::PAST,
            events: Vec::new(),
            scratch: Vec::new(),
            rng: rand::make_rng(),
        }
    }

    /// One look at everything. Says whether anything happened, in which case
    /// there may be more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = clock::now();
        let mut happened = self.take_requests(cx, now);
        happened |= self.run_timers(now);

        let mut draw = || self.rng.next_u64();
        for node in &mut self.nodes {
            node.poll(cx, now, &mut draw, &mut self.events);
        }
        // Read again: the verdict must know how late it really is.
        let now = clock::now();
        let mut events = std::mem::take(&mut self.events);
        happened |= !events.is_empty();
        for event in events.drain(..) {
            self.handle_event(event, now);
        }
        self.events = events;
        happened
    }

    fn take_requests(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        if !self.open {
            return false;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let taken = self.queue.poll_recv_many(cx, &mut inbox, REQUESTS_PER_TURN);
        self.open = !matches!(taken, Poll::Ready(0));
        let some = !inbox.is_empty();
        for request in inbox.drain(..) {
            self.handle_request(request, now);
        }
        self.inbox = inbox;
        some
    }

    fn handle_request(&mut self, request: Request, now: Moment) {
        match request {
            Request::Acquire(request) => self.begin_acquire(request, now),
            Request::Extend(request) => self.begin_extend(request, now),
            Request::Release { claim, reply } => self.begin_release(claim, reply, now),
            Request::Shutdown { deadline, reply } => {
                self.closed = true;
                for session in self.sleepers.drain() {
                    session.refuse(Error::closed());
                }
                self.closings.push(Closing { deadline, reply });
                self.timers.push(deadline, Timer::Closing);
            }
        }
    }

    fn run_timers(&mut self, now: Moment) -> bool {
        let mut happened = false;
        while let Some(session) = self.sleepers.pop_due(now) {
            self.begin_attempt(session, now);
            happened = true;
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Op { id, number } if self.is_current(id, number) => {
                    self.time_out(id, now);
                    happened = true;
                }
                Timer::Release { id, number, node } if self.is_current(id, number) => {
                    self.release_again(id, node, now);
                    happened = true;
                }
                _ => {}
            }
        }
        happened
    }

    fn is_current(&self, id: usize, number: u64) -> bool {
        self.ops.get(id).is_some_and(|op| op.number == number)
    }

    /// Files `op`, asks `targets`, and sees to it that it ends in time.
    fn start(&mut self, mut op: Op, targets: NodeSet, now: Moment) {
        op.number = self.op_number;
        self.op_number = self.op_number.wrapping_add(1);
        let timer = |id| Timer::Op { id, number: op.number };
        let entry = self.ops.vacant_entry();
        let id = entry.key();
        if let Some(at) = op.poll_timeout() {
            self.timers.push(at, timer(id));
        }
        entry.insert(op);
        self.ask(id, targets, now);
        self.settle(id, now);
    }

    /// Offers what operation `id` asks for to `targets`, all before anything
    /// else is offered to any of them: their order is the order of the locks.
    fn ask(&mut self, id: usize, targets: NodeSet, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let ask = op.ask();
        let patient = ask == Ask::Release;
        let give_up_at = if patient { op.claim.gone_by() } else { op.give_up_at };
        let order = Order { ticket: Ticket { op: id, ask }, give_up_at, patient };

        let (key, token) = (op.claim.key.as_bytes(), op.claim.token.as_bytes());
        self.scratch.clear();
        let whole_script = targets.meets(op.scriptless);
        node::encode(&mut self.scratch, ask, whole_script, key, token, op.ttl);

        let mut declined = Vec::new();
        for target in targets.iter() {
            let Some(node) = self.nodes.get_mut(target.index()) else { continue };
            match node.offer(order, &self.scratch, now) {
                Ok(()) => op.awaited.insert(target),
                Err(error) => declined.push((target, error)),
            }
        }
        for (node, error) in declined {
            self.count(id, node, Outcome::NotSent(error), Duration::ZERO, now);
        }
    }

    fn handle_event(&mut self, event: Event, now: Moment) {
        let Event { node, ticket: Ticket { op: id, .. }, outcome, latency } = event;
        let Some(op) = self.ops.get_mut(id) else { return };
        op.awaited.remove(node);
        if matches!(outcome, Outcome::Answered(Answer::NoScript)) && !op.scriptless.contains(node) {
            op.scriptless.insert(node);
            self.ask(id, NodeSet::EMPTY.with(node), now);
        } else {
            self.count(id, node, outcome, latency, now);
        }
        self.settle(id, now);
    }

    /// Counts what a node said or did not say. Acting on it is [`Self::settle`]'s.
    fn count(&mut self, id: usize, node: NodeId, outcome: Outcome, latency: Duration, now: Moment) {
        let Some(op) = self.ops.get(id) else { return };
        match op.job {
            Job::Acquire { .. } => self.count_acquire(id, node, outcome, latency, now),
            Job::Extend { .. } => self.count_extend(id, node, outcome, latency, now),
            Job::Release(_) => self.count_release(id, node, outcome, now),
            Job::Inspect { .. } => self.count_inspect(id, node, outcome),
        }
    }

    /// Tells the caller if the outcome is clear, and removes what is over.
    fn settle(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get(id) else { return };
        match op.job {
            Job::Acquire { .. } => self.conclude_acquire(id, now),
            Job::Extend { .. } => self.conclude_extend(id, now),
            Job::Release(_) => self.conclude_release(id, now),
            Job::Inspect { .. } => self.conclude_inspect(id, now),
        }
        if self.ops.get(id).is_some_and(Op::is_over) {
            self.close_release(id);
            self.ops.remove(id);
        }
    }

    fn time_out(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        match &mut op.job {
            Job::Acquire { round, .. } | Job::Extend { round, .. } => round.handle_timeout(now),
            Job::Release(_) => self.time_out_release(id, now),
            Job::Inspect { .. } => {} // its timeout is what `settle` looks at
        }
        self.settle(id, now);
    }

    /// Answers those who wait for a shutdown, if all is done or their patience
    /// is at its end.
    fn answer_closings(&mut self, now: Moment) {
        let left = self.releasing.saturating_add(self.undecided);
        for closing in std::mem::take(&mut self.closings) {
            if left == 0 || closing.deadline <= now {
                // Nobody may listen any more: then nobody needs to know.
                let _ = closing.reply.send(left);
            } else {
                self.closings.push(closing);
            }
        }
    }

    /// Sets the alarm for the next thing that is due. Says whether that is now.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        let nodes = self.nodes.iter().map(Node::poll_timeout);
        let others = [self.timers.peek(), self.sleepers.peek()].into_iter().flatten();
        let Some(next) = nodes.chain(others).min().filter(|at| *at < Moment::NEVER) else {
            return false;
        };
        // An alarm that rings too early only costs a turn; most of them are
        // for timeouts that never happen, so they are not worth moving.
        if next < self.alarm_at || self.alarm.is_elapsed() {
            self.alarm_at = next;
            self.alarm.set(sleep(next.since(clock::now())));
        }
        self.alarm.as_mut().poll(cx).is_ready()
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            while this.turn(cx) {}
            this.answer_closings(clock::now());
            if !this.open && this.releasing == 0 {
                return Poll::Ready(());
            }
            if !this.poll_alarm(cx) {
                return Poll::Pending;
            }
        }
    }
}

/// A node's outcome as a vote, and what to remember of it.
fn vote(outcome: Outcome) -> (Vote, Option<NodeError>) {
    match outcome {
        Outcome::Answered(Answer::Granted) => (Vote::Granted, None),
        Outcome::Answered(Answer::Refused) => (Vote::Refused, None),
        Outcome::Answered(Answer::Failed(error)) if error.surely_had_no_effect() => {
            (Vote::Failed, Some(error))
        }
        Outcome::Answered(Answer::Failed(error)) | Outcome::Lost(error) => {
            (Vote::Unknown, Some(error))
        }
        Outcome::NotSent(error) => (Vote::Failed, Some(error)),
        // Not an answer to what was asked: it says nothing about the key.
        Outcome::Answered(Answer::Remaining(_) | Answer::NoScript) => {
            (Vote::Unknown, Some(NodeError::new(NodeErrorKind::Protocol)))
        }
    }
}
