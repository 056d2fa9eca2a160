//! What passes between the engine and its driver, besides requests and answers:
//! the time, and what is to be asked. It holds plain values and decides nothing.

use std::time::Duration;

use super::Wish;
use crate::{
    exchange::{Ask, Fence, News, Ticket},
    protocol::{Moment, NodeSet, Ttl},
};

/// The time, read once for all that is handled with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// The clock's own reading, from which leases start.
    pub(crate) clock: Moment,
    /// The time by which everything else is judged: the reading, or the time of
    /// the last alarm where that is later. The runtime's clock may run ahead of
    /// ours, or be a test's: what was due by it stays due.
    pub(crate) now: Moment,
}

/// What the driver must do, in this order and before anything else.
#[derive(Debug)]
pub(crate) enum Output {
    /// Ask these nodes what [`Engine::question`](super::Engine::question) says, all of them
    /// before anything else is asked of any: a release that follows must come behind
    /// these at every node.
    Ask { op: usize, ask: Ask, targets: NodeSet },
    /// Begin or end listening to a channel, on all nodes.
    Listen(Wish),
}

/// What an operation asks of nodes.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) ticket: Ticket,
    pub(crate) key: &'a [u8],
    pub(crate) token: &'a [u8],
    pub(crate) ttl: Ttl,
    /// The fencing number that it carries, if any.
    pub(crate) fence: Option<Fence>,
    /// What a release publishes for waiters.
    pub(crate) news: Option<News>,
    /// Nodes that get a script's text, since they did not know it.
    pub(crate) scriptless: NodeSet,
    /// A question that was not sent by then is dropped.
    pub(crate) keep_until: Moment,
    /// How long a node may take to answer.
    pub(crate) timeout: Duration,
    /// Whether it keeps a lock that is held: a flood of acquires must not crowd it
    /// out.
    pub(crate) reserved: bool,
}
