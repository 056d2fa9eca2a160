//! A command as it is handed to a node. It holds values and decides nothing.

use std::time::Duration;

use super::wire::Form;
use crate::{exchange::Ticket, protocol::Moment};

/// A command on offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    /// When the command is dropped if it has not been sent.
    pub(crate) keep_until: Moment,
    /// How long after it was sent the node owes, if it has not answered.
    pub(crate) timeout: Duration,
    /// How the command was put.
    pub(crate) form: Form,
    /// How many replies the command brings.
    pub(crate) replies: u8,
    /// Whether this is a release. A release is sent to a node that owes, and
    /// waits for one that is down; anything else is refused there.
    pub(crate) is_release: bool,
    /// Whether the command is for a lock that is held. Then it is taken however
    /// much is on its way: a flood of acquires must not crowd it out.
    pub(crate) reserved: bool,
}
