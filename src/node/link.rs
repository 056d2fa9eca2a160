//! A node: the order of what it is asked, and what comes back. `life` is how it comes up and
//! goes down.
//!
//! The rule that everything rests on: what is offered first is written first,
//! on one connection. So a release reaches the server behind its acquire, and a
//! reply belongs to the oldest command that has none.

mod life;

use std::{fmt, sync::Arc, task::Context, time::Duration};

use super::{
    endpoint::Endpoint,
    order::Order,
    owed::Owed,
    process::LastProcess,
    queue::{Queue, Waiting},
    state::Link,
    wire::Form,
};
use crate::{
    exchange::{Ask, Event, Outcome},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Backoff, Moment, NodeId},
    spelled::Spelled,
    world::{DEAD_PEER_AFTER, World},
};

/// The most commands on their way to one node. This is far above what a round
/// trip holds at the rate one connection reaches: it bounds memory, not speed.
pub(crate) const MAX_IN_FLIGHT: usize = if cfg!(redlock_sim) { 32 } else { 8192 };

/// The pauses between attempts to reconnect: short at first, since a restart takes
/// moments, and then long enough to be nothing to a host that stays away.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));

/// One Redis master.
pub(crate) struct Node {
    id: NodeId,
    endpoint: Arc<Endpoint>,
    world: Arc<dyn World>,
    link: Link,
    /// The commands that no connection has been given yet.
    waiting: Queue,
    owed: Owed,
    backoff: Backoff,
    last_process: LastProcess,
    /// Whether the node's name has led to a replica, or to another server than before, and nobody
    /// was told so yet.
    misled: bool,
}

impl Node {
    pub(crate) fn new(id: NodeId, endpoint: Arc<Endpoint>, world: Arc<dyn World>) -> Self {
        Self {
            id,
            endpoint,
            world,
            link: Link::Idle { retry_at: Moment::NEVER },
            waiting: Queue::new(),
            owed: Owed::new(),
            backoff: RECONNECT,
            last_process: LastProcess::default(),
            misled: false,
        }
    }

    /// Takes a command, to be sent behind all that it took before. A release
    /// whose acquire has not been sent is not sent either: both end here, and
    /// `events` says so.
    ///
    /// # Errors
    ///
    /// Says why nothing will be sent: the node is down, owes an answer, or has
    /// too much on its way. A release is always taken.
    pub(crate) fn offer(
        &mut self,
        order: &Order,
        command: &[u8],
        now: Moment,
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let in_time = order.is_release || self.owed.late_by(order.timeout).is_none();
        if let Link::Up { conn, known, .. } = &mut self.link
            && self.waiting.is_empty()
            && self.owed.len() < MAX_IN_FLIGHT
            && in_time
            && (!order.ticket.ask.sets()
                || !known.may_object()
                || known.objection(order, now).is_none())
        {
            conn.push(command);
            known.note_sent(order);
            self.owed.push(*order, now, now);
            return Ok(());
        }
        if !order.is_release {
            self.willing(order, now)?;
        } else if let Some(acquire) = self.waiting.take_acquire(order.ticket.claim) {
            self.withdraw(acquire, order, now, events);
            return Ok(());
        }
        self.waiting.push(*order, command, now);
        if matches!(self.link, Link::Idle { .. }) {
            self.reconnect(None);
        }
        Ok(())
    }

    /// How a command must be put to this node now.
    pub(crate) fn form(&self, ask: Ask) -> Form {
        self.link.form(ask, self.endpoint.strict.is_some())
    }

    /// Writes into `out` the epoch of a strict node, as far as it is known. Says whether it is
    /// strict.
    pub(crate) fn write_epoch(&self, out: &mut Vec<u8>) -> bool {
        let Some(strict) = &self.endpoint.strict else { return false };
        if matches!(&self.link, Link::Up { known, .. } if known.is_trusted()) {
            return false;
        }
        out.clear();
        // What waits may be sent to the next process: it is told none, and says which it is.
        if let Link::Up { known, .. } = &self.link
            && self.waiting.is_empty()
        {
            out.extend_from_slice(known.process().unwrap_or_default().as_bytes());
        } else if mutant::is(Mutant::OldProcessIsTold) {
            out.extend_from_slice(self.last_process.id().unwrap_or_default().as_bytes());
        }
        out.extend_from_slice(strict.as_bytes());
        true
    }

    /// Drives the connection: connects, writes, reads. What ended is appended
    /// to `events`. What is overdue is judged by `due`, a time up to which
    /// the runtime has looked at its sockets: after a stall of this process,
    /// an answer that waits to be read is not late.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        due: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        self.poll_connect(cx, now, draw, events);
        let mut alive = self.poll_answers(cx, now, events);
        self.owed.note_silence(due);
        self.sweep(due, events);
        if alive.is_ok() && self.owed.abandon_at() <= due {
            alive = Err(NodeError::waited(NodeErrorKind::ConnectionLost, DEAD_PEER_AFTER));
        }
        match alive {
            Ok(()) => self.poll_commands(cx, now, draw, events),
            Err(error) => self.lose(error, now, draw, events),
        }
        if self.link.retry_at() <= due {
            self.reconnect(self.link.failure().cloned());
        }
        // Only an attempt that has been polled wakes us, and a connection that is
        // up at once must be read from.
        let was_up = self.is_up();
        self.poll_connect(cx, now, draw, events);
        if !was_up && self.is_up() {
            cx.waker().wake_by_ref();
        }
    }

    /// Writes what the node was offered, and no more: what came from the server
    /// is read by [`Self::poll`].
    pub(crate) fn poll_commands(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        let Link::Up { conn, known, .. } = &mut self.link else { return };
        while !self.waiting.is_empty()
            && self.owed.len() < MAX_IN_FLIGHT
            && let Some(Waiting { order, offered_at, command, .. }) = self.waiting.pop()
        {
            conn.push(&command);
            known.note_sent(&order);
            self.owed.push(order, offered_at, now);
        }
        if let Err(error) = conn.poll_write(cx) {
            self.lose(error, now, draw, events);
            // There is a new attempt to look at.
            cx.waker().wake_by_ref();
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Whether the node's name has turned out to lead elsewhere since this was asked.
    pub(crate) fn take_misled(&mut self) -> bool {
        std::mem::take(&mut self.misled)
    }

    /// When to poll the node even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Moment {
        let sweep_at = self.waiting.poll_timeout(self.is_up());
        sweep_at.min(self.link.retry_at()).min(self.owed.abandon_at())
    }

    /// How many commands are on their way here, without releases that wait and
    /// without those for a lock that is held.
    #[cfg(redlock_sim)]
    pub(crate) fn in_flight(&self) -> usize {
        self.owed.bounded() + self.waiting.bounded()
    }

    /// Whether the node takes a command that is no release.
    fn willing(&mut self, order: &Order, now: Moment) -> Result<(), NodeError> {
        if let Some(cause) = self.link.failure() {
            return Err(cause.clone());
        }
        if let Link::Up { known, .. } = &self.link
            && order.ticket.ask.sets()
            && let Some(cause) = known.objection(order, now)
        {
            return Err(cause);
        }
        if let Some(waited) = self.owed.late_by(order.timeout) {
            if self.owed.warns() {
                let node = self.endpoint.label();
                let waited = Spelled(waited);
                tracing::warn!(%node, %waited, "node owes an answer: it is sent only releases until it answers");
            }
            return Err(NodeError::waited(NodeErrorKind::Owing, waited));
        }
        let in_flight = self.owed.len().saturating_add(self.waiting.len());
        if is_full(in_flight) && !order.reserved {
            return Err(NodeError::new(NodeErrorKind::Overloaded));
        }
        Ok(())
    }

    /// Drops the commands that nobody waits for any more.
    fn sweep(&mut self, due: Moment, events: &mut Vec<Event>) {
        let connected = self.is_up();
        if self.waiting.poll_timeout(connected) <= due {
            let overdue = self.waiting.take_overdue(due, connected);
            let kind =
                if connected { NodeErrorKind::Overloaded } else { NodeErrorKind::Unreachable };
            self.drop_unsent(overdue, &NodeError::new(kind), events);
        }
    }

    /// Ends an acquire that was never sent, and the release that was to undo it.
    fn withdraw(&self, acquire: Waiting, release: &Order, now: Moment, events: &mut Vec<Event>) {
        self.drop_unsent([acquire], &NodeError::new(NodeErrorKind::Unreachable), events);
        let (node, ticket, outcome) = (self.id, release.ticket, Outcome::Withdrawn);
        events.push(Event { node, ticket, outcome, offered_at: now });
    }

    fn drop_unsent(
        &self,
        doomed: impl IntoIterator<Item = Waiting>,
        cause: &NodeError,
        events: &mut Vec<Event>,
    ) {
        events.extend(doomed.into_iter().map(|waiting| Event {
            node: self.id,
            ticket: waiting.order.ticket,
            outcome: Outcome::NotSent(cause.clone()),
            offered_at: waiting.offered_at,
        }));
    }
}

fn is_full(in_flight: usize) -> bool {
    if mutant::is(Mutant::UnboundedInFlight) {
        return false;
    }
    in_flight >= MAX_IN_FLIGHT
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("endpoint", &self.endpoint)
            .field("waiting", &self.waiting.len())
            .field("owed", &self.owed.len())
            .finish_non_exhaustive()
    }
}
