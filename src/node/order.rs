//! What is handed to a node, and how it ends.

use std::time::Duration;

use super::wire::{Answer, Ask, Form};
use crate::{
    node_error::NodeError,
    protocol::{Moment, NodeId},
};

/// Who asked: what, for which claim, and the number under which the asker
/// knows the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) op: usize,
    pub(crate) claim: usize,
    pub(crate) ask: Ask,
}

/// A command on offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    /// Not sent by then, it is dropped.
    pub(crate) keep_until: Moment,
    /// Sent and not answered for so long, the node owes.
    pub(crate) timeout: Duration,
    /// What the command was encoded as, and how many replies it brings.
    pub(crate) form: Form,
    pub(crate) replies: u8,
    /// A release: it is sent to a node that owes, and waits for one that is
    /// down. Anything else is refused there.
    pub(crate) patient: bool,
    /// For a lock that is held: a flood of acquires must not crowd it out.
    pub(crate) has_room: bool,
}

/// How an order ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The node answered.
    Answered(Answer),
    /// It was never sent.
    NotSent(NodeError),
    /// It was sent, and the connection broke before the answer.
    Lost(NodeError),
}

/// The end of an order.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) node: NodeId,
    pub(crate) ticket: Ticket,
    pub(crate) outcome: Outcome,
    pub(crate) offered_at: Moment,
}
