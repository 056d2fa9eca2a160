//! The loop: what woke us, who gets to hear of it, when to wake next.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rand::{Rng as _, rngs::StdRng};
use slab::Slab;
use tokio::sync::mpsc;

use super::{
    hear::Channels,
    line::Lines,
    op::{Closing, Job, Op},
    request::Request,
    schedule::Schedule,
    tend::{Pace, Tending},
    wait::InLine,
    wakes::Wakes,
};
use crate::{
    config::Config,
    error::Error,
    exchange::{Event, Heard},
    key::Key,
    mutant::{self, Mutant},
    node::{Listener, Node},
    protocol::{Moment, NodeId, NodeSet},
    world::Pending,
};

/// How many requests are taken off the queue before the nodes are looked at
/// again: enough to fill a batch, few enough that no answer waits for long.
const REQUESTS_PER_TURN: usize = 256;

/// A lone caller has so many requests under way at most: its own, and a release
/// before that not all nodes have answered.
const ALONE: usize = 2;

/// How many turns are taken before others get theirs.
const TURNS_PER_POLL: usize = 64;

/// Everything the driver owns.
pub(crate) struct Driver {
    pub(super) config: Arc<Config>,
    pub(super) nodes: Vec<Node>,
    wakes: Wakes,
    /// Nodes that were offered something and have not been polled since.
    pub(super) offered: NodeSet,
    /// Others run before what was offered is written.
    lets_others: bool,
    /// The alarm has rung: something may be due anywhere.
    pub(super) rung: bool,
    pub(super) listeners: Vec<Listener>,
    queue: mpsc::UnboundedReceiver<Request>,
    inbox: Vec<Request>,
    /// Whether anyone can still send a request.
    open: bool,
    /// Set by a shutdown: no more acquires.
    pub(super) closed: bool,
    closings: Vec<Closing>,
    pub(super) ops: Slab<Op>,
    pub(super) op_number: u64,
    /// Operations whose caller has not been told yet.
    pub(super) undecided: usize,
    /// Releases that may still change something.
    pub(super) releasing: usize,
    pub(super) timers: Schedule<Timer>,
    /// When to look after which lock that is held: there may be very many.
    pub(super) tended: Schedule<Tending>,
    pub(super) pace: Pace,
    pub(super) lines: Lines,
    /// The number of who came last to any of them.
    pub(super) line_number: u64,
    pub(super) channels: Channels,
    /// Whether any listener is wanted, or has a connection still.
    pub(super) listening: bool,
    /// Listeners were told something and have not been polled since.
    pub(super) stirred: bool,
    /// What the listeners have just heard.
    pub(super) heard: Vec<(NodeId, Heard)>,
    /// Nodes that do not let us publish.
    pub(super) mute: NodeSet,
    /// Set when it is first needed: a runtime without timers ends the driver,
    /// not the caller.
    pub(super) alarm: Option<Pending<()>>,
    pub(super) alarm_at: Moment,
    /// Up to when things are due: the time of the last alarm. The runtime
    /// looks at its sockets before it rings one, so an answer that was there
    /// by then has been read.
    pub(super) due: Moment,
    pub(super) events: Vec<Event>,
    /// The operations that the present events belong to.
    touched: Vec<usize>,
    pub(super) encoded: Vec<u8>,
    pub(super) rng: StdRng,
}

/// What can be due.
pub(super) enum Timer {
    /// The operation's own timeout.
    Op { id: usize, number: u64 },
    /// Ask this node again to release.
    Release { id: usize, number: u64, node: NodeId },
    /// Ask again for the votes that a split vote left to others.
    Insist { id: usize, number: u64 },
    /// It is time for the first in line to try.
    Turn(Box<Key>),
    /// Someone's patience in a line.
    Patience(Box<InLine>),
    /// Look for what need not be listened to any more.
    Hush,
    /// Someone's patience with a shutdown.
    Closing,
}

impl Driver {
    pub(super) fn new(config: Arc<Config>, queue: mpsc::UnboundedReceiver<Request>) -> Self {
        let world = &config.world;
        let nodes = || NodeId::all(config.endpoints.len()).zip(&config.endpoints);
        let node = |(id, at)| Node::new(id, Arc::clone(at), Arc::clone(world));
        let listener = |(id, at)| Listener::new(id, Arc::clone(at), Arc::clone(world));
        Self {
            nodes: nodes().map(node).collect(),
            wakes: Wakes::new(config.endpoints.len()),
            offered: NodeSet::EMPTY,
            lets_others: false,
            rung: false,
            listeners: nodes().map(listener).collect(),
            rng: world.rng(),
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
            tended: Schedule::new(),
            pace: Pace::new(),
            lines: Lines::default(),
            line_number: 0,
            channels: Channels::default(),
            listening: false,
            stirred: false,
            heard: Vec::new(),
            mute: NodeSet::EMPTY,
            alarm: None,
            alarm_at: Moment::PAST,
            due: Moment::PAST,
            events: Vec::new(),
            touched: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// How many operations are not over, and the most that is on its way to
    /// one node.
    #[cfg(redlock_sim)]
    pub(crate) fn load(&self) -> (usize, usize) {
        let most = self.nodes.iter().map(Node::in_flight).max();
        (self.ops.len(), most.unwrap_or(0))
    }

    /// The time by which the driver judges. The runtime's clock may run ahead
    /// of ours, or be a test's: what was due by it stays due. A lease never
    /// starts by this time, but by the clock's own.
    fn now(&self) -> Moment {
        self.config.world.now().max(self.due)
    }

    /// One look at everything. Says whether there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        self.poll_nodes(now);
        // Read again: the verdict must know how late it really is.
        let now = self.now();
        self.handle_events(now);
        self.poll_listeners(cx, now);
        self.run_timers(now);
        let more = self.take_requests(cx);
        // What has timed out may have made room.
        self.renew_waiting(now);
        more || self.stirred || !self.events.is_empty() || !self.offered.is_empty()
    }

    /// Whether other tasks should run before what was offered is written. Whoever
    /// hands in a request is woken by us, as a rule, and so are others, who are
    /// about to: one write for all of them costs as much as one for each.
    fn waits_for_company(&self) -> bool {
        let callers = self.undecided.saturating_add(self.releasing);
        callers > ALONE && !self.offered.is_empty()
    }

    /// Those that have something to say or were given something; all of them
    /// when something is due.
    fn poll_nodes(&mut self, now: Moment) {
        let mut woken = self.wakes.take();
        if std::mem::take(&mut self.rung) {
            woken = NodeSet::first(self.nodes.len());
        }
        let offered = std::mem::take(&mut self.offered);
        let mut draw = || self.rng.next_u64();
        for id in woken.union(offered).iter() {
            let Some(node) = self.nodes.get_mut(id.index()) else { continue };
            let cx = &mut self.wakes.of(id);
            if woken.contains(id) || !node.is_up() {
                node.poll(cx, now, self.due, &mut draw, &mut self.events);
            } else {
                node.poll_commands(cx, now, &mut draw, &mut self.events);
            }
        }
    }

    fn handle_events(&mut self, now: Moment) {
        let mut events = std::mem::take(&mut self.events);
        let mut touched = std::mem::take(&mut self.touched);
        // All are counted before anything is concluded from one: a rollback
        // must know of every node that was never asked.
        for event in events.drain(..) {
            let id = event.ticket.op;
            self.count_event(event, now);
            if self.ops.get(id).is_some_and(Op::is_ripe) {
                touched.push(id);
            }
        }
        for id in touched.drain(..) {
            self.settle(id, now);
        }
        // What that caused is in `events` already: keep it, and the room.
        events.append(&mut self.events);
        (self.events, self.touched) = (events, touched);
    }

    /// Says whether there may be more.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.open {
            return false;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let taken = self.queue.poll_recv_many(cx, &mut inbox, REQUESTS_PER_TURN);
        self.open = !matches!(taken, Poll::Ready(0));
        let now = self.now();
        for request in inbox.drain(..) {
            self.handle_request(request, now);
        }
        self.inbox = inbox;
        self.open && taken.is_ready()
    }

    fn handle_request(&mut self, request: Request, now: Moment) {
        match request {
            Request::Acquire(session, _queued) => self.begin_acquire(session, now),
            Request::Extend(request, _queued) => self.begin_extend(request, now),
            Request::Look(request, _queued) => self.begin_look(request, now),
            Request::Tend(tending) => self.begin_tending(tending, now),
            Request::Release { claim, reply } => self.let_go(claim, reply, now),
            Request::Leave(claim) => self.leave(&claim, now),
            Request::Shutdown { deadline, reply } => {
                self.closed = true;
                for session in self.lines.drain() {
                    session.refuse(Error::closed());
                }
                self.closings.push(Closing { deadline, reply });
                self.timers.push(deadline, Timer::Closing);
            }
        }
    }

    fn run_timers(&mut self, now: Moment) {
        while let Some(tending) = self.tended.pop_due(self.due) {
            self.tend(tending, now);
        }
        while let Some(timer) = self.timers.pop_due(self.due) {
            match timer {
                Timer::Op { id, number } if self.is_current(id, number) => self.time_out(id, now),
                Timer::Insist { id, number } if self.is_current(id, number) => {
                    self.insist(id, now);
                }
                Timer::Release { id, number, node } if self.is_current(id, number) => {
                    self.release_again(id, node, now);
                }
                Timer::Turn(key) => self.look_at(&key, now),
                Timer::Patience(who) => self.lose_patience(&who, now),
                Timer::Hush => self.hush(now),
                _ => {}
            }
        }
    }

    fn nothing_to_release(&self) -> bool {
        !self.ops.iter().any(|(_, op)| matches!(op.job, Job::Release(_)))
    }

    /// Answers those who wait for a shutdown, if all is done or their patience
    /// is at its end.
    fn answer_closings(&mut self, now: Moment) {
        let mut left = self.releasing.saturating_add(self.undecided);
        if mutant::is(Mutant::ShutdownAtOnce) {
            left = 0;
        }
        for closing in std::mem::take(&mut self.closings) {
            if left == 0 || closing.deadline <= now {
                // Nobody may listen any more: then nobody needs to know.
                let _ = closing.reply.send(left);
            } else {
                self.closings.push(closing);
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.wakes.register(cx);
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
                    this.answer_closings(this.now());
                    this.poll_alarm(cx);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            this.answer_closings(this.now());
            if !this.open && this.nothing_to_release() {
                return Poll::Ready(());
            }
            if !this.poll_alarm(cx) {
                return Poll::Pending;
            }
        }
    }
}
