//! What is handed to a node.

use std::time::Duration;

use super::wire::Form;
use crate::{exchange::Ticket, protocol::Moment};

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
    pub(crate) is_release: bool,
    /// For a lock that is held: a flood of acquires must not crowd it out.
    pub(crate) reserved: bool,
}
