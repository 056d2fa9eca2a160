//! One Redis master: its connection, what is on its way to it, what it owes.
//!
//! A node takes commands in order and gives their answers in order. It decides
//! when to connect, when to stop sending, and when a connection is given up; it
//! never decides what an answer means for a lock, never retries a command, and
//! spawns nothing: it lives by being polled.

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
