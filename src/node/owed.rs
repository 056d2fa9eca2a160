//! What a node owes: the commands it was sent and has not answered.
//!
//! Replies come in the order of the commands, so each belongs to the oldest.

use std::{
    collections::{VecDeque, vec_deque::Drain},
    time::Duration,
};

use super::{
    meaning,
    order::Order,
    resp::{self, Reply, Taken},
    wire::Form,
};
use crate::{
    exchange::{Answer, Ask},
    node_error::{NodeError, NodeErrorKind},
    protocol::Moment,
    world::DEAD_PEER_AFTER,
};

/// An empty list keeps room for so many commands, and gives back the rest.
const KEEP: usize = 1024;

/// A command that was handed to the connection.
pub(super) struct Sent {
    pub(super) order: Order,
    pub(super) offered_at: Moment,
    sent_at: Moment,
}

/// Unanswered commands, oldest first.
pub(super) struct Owed {
    sent: VecDeque<Sent>,
    /// The answer to the oldest command so far, after so many replies, if more are to come.
    so_far: Option<(Answer, u8)>,
    /// Every answer that the node had sent by then has been taken.
    silent_until: Moment,
    /// Whether a warning has said that the node is late.
    warned: bool,
}

impl Owed {
    pub(super) fn new() -> Self {
        Self { sent: VecDeque::new(), so_far: None, silent_until: Moment::PAST, warned: false }
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    #[cfg(redlock_sim)]
    pub(super) fn bounded(&self) -> usize {
        self.sent.iter().filter(|sent| !sent.order.reserved).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) fn push(&mut self, order: Order, offered_at: Moment, now: Moment) {
        self.sent.push_back(Sent { order, offered_at, sent_at: now });
    }

    /// Takes one reply off the front of `unread`.
    pub(super) fn decode<'a>(&self, unread: &'a [u8]) -> Taken<Reply<'a>> {
        let lists = |sent: &Sent| match sent.order.ticket.ask {
            // The greeting's first reply, and a strict node's time, which is the last.
            Ask::Greet => {
                let taken = self.so_far.as_ref().map_or(0, |(_, taken)| *taken);
                let is_first = taken == 0 && sent.order.form != Form::Whole;
                is_first || taken + 1 == sent.order.replies
            }
            Ask::Value | Ask::Look => sent.order.form == Form::Whole,
            _ => false,
        };
        // Only a greeting and a look by script are answered by a list.
        if unread.first() == Some(&b'*') && self.sent.front().is_some_and(lists) {
            resp::decode_any(unread)
        } else {
            resp::decode(unread)
        }
    }

    /// Counts a reply to the oldest command. If it was that command's last one,
    /// the command is taken out and returned with its answer.
    ///
    /// # Errors
    ///
    /// There is no command that the reply could belong to.
    pub(super) fn take(&mut self, reply: &Reply<'_>) -> Result<Option<(Sent, Answer)>, NodeError> {
        let Some(Sent { order, .. }) = self.sent.front() else {
            return Err(NodeError::new(NodeErrorKind::Protocol));
        };
        self.warned = false;
        let (ask, form) = (order.ticket.ask, order.form);
        let answer = if order.replies == 1 {
            meaning::interpret(ask, form, reply)
        } else {
            let replies = order.replies;
            let Some(answer) = self.take_one_of(replies, ask, form, reply) else { return Ok(None) };
            answer
        };
        let first = self.sent.pop_front();
        if self.sent.capacity() > KEEP && self.sent.is_empty() {
            self.sent.shrink_to(KEEP);
        }
        Ok(first.map(|sent| (sent, answer)))
    }

    /// Counts one of so many replies to the oldest command, and gives its answer with the last.
    #[cold]
    fn take_one_of(
        &mut self,
        replies: u8,
        ask: Ask,
        form: Form,
        reply: &Reply<'_>,
    ) -> Option<Answer> {
        let (answer, taken) = match self.so_far.take() {
            None => (meaning::interpret(ask, form, reply), 1),
            Some((so_far, taken)) => {
                (meaning::interpret_next(ask, form, taken, so_far, reply), taken.saturating_add(1))
            }
        };
        if taken < replies {
            self.so_far = Some((answer, taken));
            return None;
        }
        Some(answer)
    }

    /// Takes out all commands: they will not be answered.
    pub(super) fn drain(&mut self) -> Drain<'_, Sent> {
        self.warned = false;
        self.so_far = None;
        self.sent.drain(..)
    }

    /// Notes that every answer that had come by `due` has been taken.
    pub(super) fn note_silence(&mut self, due: Moment) {
        self.silent_until = due;
    }

    /// How long the oldest command has waited for its answer, if that is as long
    /// as both its own timeout and `timeout`: so a short lock's small timeout
    /// does not cost a long lock its vote.
    pub(super) fn late_by(&self, timeout: Duration) -> Option<Duration> {
        let oldest = self.sent.front()?;
        let waited = self.silent_until.since(oldest.sent_at);
        (waited >= oldest.order.timeout.max(timeout)).then_some(waited)
    }

    /// Whether a warning that the node is late is due: once after each answer.
    pub(super) fn warns(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }

    /// When a connection that owes an answer is given up. It is kept until then,
    /// since while it lives, releases stay behind the acquires that hang in it.
    pub(super) fn abandon_at(&self) -> Moment {
        self.sent.front().map_or(Moment::NEVER, |oldest| oldest.sent_at.after(DEAD_PEER_AFTER))
    }
}
