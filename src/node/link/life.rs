//! A node's life: idle, connecting, up, down. It decides when a connection is made and given
//! up, and never in which order anything is asked.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Node, RECONNECT};
use crate::{
    exchange::{Event, Outcome},
    node::{
        conn::Conn,
        connect::{self, Connected},
        known::Known,
        login::Purpose,
        owed::Sent,
        state::Link,
    },
    node_error::{NodeError, NodeErrorKind},
    protocol::Moment,
};

/// The pause before a name is looked up anew that has led to a replica. A proxy may mix
/// replicas with masters, for one command and not for the next.
const MISLED: Duration = Duration::from_millis(250);

/// The pause before a login that was refused is tried again: someone has to
/// change something first, and some servers lock out a client that tries too often.
const MISCONFIGURED: Duration = Duration::from_secs(5);

impl Node {
    pub(super) fn reconnect(&mut self, after: Option<NodeError>) {
        let attempt = connect::connect(
            Arc::clone(&self.endpoint),
            Arc::clone(&self.world),
            Purpose::Commands,
        );
        self.link = Link::Connecting { attempt: Box::pin(attempt), after };
    }

    pub(super) fn poll_connect(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        let Link::Connecting { attempt, after } = &mut self.link else { return };
        let Poll::Ready(outcome) = attempt.as_mut().poll(cx) else { return };
        let was_up = after.is_none();
        match outcome {
            Ok(connected) => match self.welcome(connected, now, events) {
                Ok(()) => {}
                Err(cause) => self.give_up(cause, was_up, now, draw, events),
            },
            Err(cause) => self.give_up(cause, was_up, now, draw, events),
        }
    }

    /// Takes a connection into use.
    ///
    /// # Errors
    ///
    /// The node is strict, and another node is the same server.
    fn welcome(
        &mut self,
        connected: Connected,
        now: Moment,
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let Connected { stream, server } = connected;
        let met = self.last_process.meet(&server, now, &self.endpoint);
        self.misled |= met.is_other;
        let is_strict = self.endpoint.strict.is_some();
        if let Some(error) = met.same {
            if is_strict {
                return Err(error);
            }
            tracing::warn!(node = %self.endpoint.label(), warning = %error, "it has two votes");
        }
        server.announce(self.endpoint.label());
        if let Some(until) = met.held_back_until {
            let doomed: Vec<_> = self.waiting.take_acquires().collect();
            self.drop_unsent(doomed, &NodeError::restarted(until.since(now)), events);
        }
        let known = Box::new(Known::new(server, is_strict, met.held_back_until));
        self.link = Link::Up { conn: Conn::new(stream), known, proven: false };
        Ok(())
    }

    /// An attempt to connect has failed. The log has the first of a row.
    fn give_up(
        &mut self,
        cause: NodeError,
        was_up: bool,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        if was_up {
            let node = self.endpoint.label();
            tracing::warn!(%node, error = %cause, "node is down, trying again in the background");
        }
        self.stay_down(cause, now, draw, events);
    }

    pub(super) fn poll_answers(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        events: &mut Vec<Event>,
    ) -> Result<(), NodeError> {
        let Link::Up { conn, known, proven } = &mut self.link else { return Ok(()) };
        conn.poll_read(cx, |unread| {
            let Some((reply, len)) = self.owed.decode(unread)? else { return Ok(None) };
            let answered = self.owed.take(&reply)?;
            if !*proven {
                (*proven, self.backoff) = (true, RECONNECT);
            }
            if let Some((Sent { order, offered_at, .. }, mut answer)) = answered {
                let is_right = known.note_answer(&order, &mut answer, &self.endpoint, now);
                let (node, ticket, outcome) = (self.id, order.ticket, Outcome::Answered(answer));
                events.push(Event { node, ticket, outcome, offered_at });
                is_right?;
            }
            Ok(Some(len))
        })
    }

    /// Drops the connection and all that was on its way, and starts anew.
    pub(super) fn lose(
        &mut self,
        error: NodeError,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        self.last_process.leave(now, &self.endpoint);
        let in_use = !self.owed.is_empty();
        if in_use {
            tracing::warn!(node = %self.endpoint.label(), %error, "connection lost");
        } else if error.kind() == NodeErrorKind::ReadOnly {
            tracing::warn!(node = %self.endpoint.label(), %error, "node is down");
        }
        for Sent { order, offered_at, .. } in self.owed.drain() {
            let (node, ticket, outcome) = (self.id, order.ticket, Outcome::Lost(error.clone()));
            events.push(Event { node, ticket, outcome, offered_at });
        }
        if matches!(error.kind(), NodeErrorKind::ReadOnly | NodeErrorKind::SameServer) {
            // The name may lead to another server by now, or will soon.
            self.stay_down(error, now, draw, events);
        } else if matches!(self.link, Link::Up { proven: true, .. }) {
            self.reconnect(None);
        } else if in_use {
            self.stay_down(error, now, draw, events);
        } else {
            self.link = Link::Idle { retry_at: now.after(self.backoff.next_delay(draw())) };
        }
    }

    pub(super) fn stay_down(
        &mut self,
        cause: NodeError,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        events: &mut Vec<Event>,
    ) {
        let pause = self.backoff.next_delay(draw());
        let pause = match cause.kind() {
            NodeErrorKind::ReadOnly => pause.max(MISLED),
            _ if cause.is_transient() => pause,
            _ => MISCONFIGURED,
        };
        self.misled |= cause.kind() == NodeErrorKind::ReadOnly;
        let retry_at = now.after(pause);
        let doomed: Vec<_> = self.waiting.take_others().collect();
        self.drop_unsent(doomed, &cause, events);
        self.link = Link::Down { cause, retry_at };
    }
}
