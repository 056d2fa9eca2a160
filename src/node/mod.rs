//! One Redis master: its connections, what is on its way to it, what it owes.
//!
//! A node takes commands in order and gives their answers in order. It decides
//! when to connect, when to stop sending, and when a connection is given up; it
//! never decides what an answer means for a lock, never retries a command, and
//! spawns nothing: it lives by being polled.
//!
//! `link` is the node. `queue` keeps what waits for its connection, `owed` what
//! was sent, `state` and `known` what the connection is and what its server can
//! do. `connect` makes connections, `conn` moves bytes, `resp` takes them apart.
//! `wire`, with `native` and `look`, says what bytes mean for a question, and
//! `push` for a `listener`, which is the second connection.

mod conn;
mod connect;
mod endpoint;
mod known;
mod link;
mod listener;
mod look;
mod native;
mod order;
mod owed;
mod push;
mod queue;
mod resp;
mod state;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use endpoint::Endpoint;
#[cfg(redlock_sim)]
pub(crate) use link::MAX_IN_FLIGHT;
pub(crate) use link::Node;
pub(crate) use listener::Listener;
pub(crate) use order::Order;
pub(crate) use wire::{Form, Request, encode};
