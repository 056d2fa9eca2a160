//! What is played in a stepped world: who is there, what may go wrong, and the steps by which it
//! moves. It plays nothing itself.

use std::time::Duration;

use super::caller::Act;
use crate::protocol::Moment;

/// When all begins.
pub(super) const BEGIN: Moment = Moment::from_nanos(1_000_000_000);

/// What is played: what each caller wants, and how much may go wrong.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) nodes: usize,
    /// For each client, its callers; for each of those, what it does, in order.
    pub(super) clients: Vec<Vec<Vec<Act>>>,
    /// How many of the clients, from the first on, have a network that takes its
    /// time. The others get each answer at once.
    pub(super) slow: usize,
    /// How many connections may break.
    pub(super) losses: usize,
    /// How many callers may leave while they wait.
    pub(super) drops: usize,
    /// How many times something may be due while answers are still on their way.
    pub(super) stalls: usize,
    /// How many times all clients may stand still for three fifths of a ttl.
    pub(super) pauses: usize,
    /// How many times a node may say that it has not set the key, though it has.
    pub(super) denials: usize,
    /// Whether a caller of a client asks for a fencing number.
    pub(super) fenced: fn(usize, usize) -> bool,
    /// How many of the nodes, from the last on, can't be reached.
    pub(super) down: usize,
    /// Whether each client knows the nodes by other names, so that each has a home node
    /// of its own.
    pub(super) aliases: bool,
    /// Within which time somebody must get the lock, if no connection broke and nobody
    /// left.
    pub(super) wins: Option<Duration>,
    /// How many times a client may ask nodes for the lock.
    pub(super) asks: u64,
    pub(super) ttl: Duration,
    pub(super) wait: Duration,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Step {
    /// A caller does what is next for it.
    Act { client: usize, caller: usize },
    /// A caller that waits for its lock leaves.
    Leave { client: usize, caller: usize },
    /// A node carries out the oldest question of a client.
    Execute { client: usize, node: usize },
    /// A client gets the oldest answer of a node; which carries the question out
    /// first if it has not.
    Deliver { client: usize, node: usize },
    /// A node that has set the key is about to say that it has not.
    Deny { client: usize, node: usize },
    /// The connection breaks: what is on its way is lost, or comes late.
    Break { client: usize, node: usize },
    /// A question of a broken connection is carried out after all.
    ComesLate { which: usize },
    /// Time passes until something is due.
    Wait,
    /// All clients stand still for three fifths of a ttl, whatever is due meanwhile.
    Pause,
}
