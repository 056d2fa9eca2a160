//! What a client sees without acquiring anything: a key on all nodes, and the nodes
//! themselves.
//!
//! Looking changes nothing. What was seen may have changed by now, so never decide
//! by it what a lock should decide.

mod at;
mod health;
mod key;

pub use at::{NodeKey, State, What};
pub use health::{Health, NodeHealth};
pub use key::Inspection;

pub use crate::exchange::Role;
