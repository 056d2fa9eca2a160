//! One Redis master: its connections, what is on its way to it, what it owes.
//!
//! A node takes commands in order and gives their answers in order. It decides
//! when to connect, when to stop sending, and when a connection is given up; it
//! never decides what an answer means for a lock, never retries a command, and
//! spawns nothing: it lives by being polled.
//!
//! `link` is the node, `link::life` how it comes up and goes down. `queue` keeps what waits
//! for its connection, `owed` what was sent, `state` and `known` what the connection is and
//! what its server can do. `connect` makes connections: `dial` finds and races a name's addresses,
//! `login` says what must be said first, with `hello` and `probe` for what the
//! server is and whether a lock would work there, and `info` for what else it says; `server` is
//! what comes of it. `process` notices a name that leads elsewhere, and `peers` two that lead to
//! one server; `noted` reads a strict node's epoch.
//! `conn` moves bytes, `resp` takes them apart. `wire` puts questions into bytes, and
//! `meaning`, with `native` and `look`, says what a reply means for its question, as
//! `push` does for a `listener`, which is the second connection. `url` reads an `endpoint`,
//! which says where the node is.

mod conn;
mod connect;
mod dial;
mod endpoint;
mod hello;
mod info;
mod known;
mod link;
mod listener;
mod login;
mod look;
mod meaning;
mod native;
mod noted;
mod order;
mod owed;
mod peers;
mod probe;
mod process;
mod push;
mod queue;
mod resp;
mod server;
mod state;
mod url;
mod wire;

#[cfg(test)]
mod connect_tests;
#[cfg(test)]
mod tests;

pub(crate) use endpoint::Endpoint;
#[cfg(redlock_sim)]
pub(crate) use link::MAX_IN_FLIGHT;
pub(crate) use link::Node;
pub(crate) use listener::Listener;
pub(crate) use order::Order;
pub(crate) use peers::Peers;
pub(crate) use probe::{NAME as PROBE, key as probe_key};
pub(crate) use wire::{Epoch, Form, Request, encode};
