//! What can be looked at without taking anything: a key on all nodes, and the
//! nodes themselves. What is seen is true of a moment that is past: decide
//! nothing by it that a lock should decide.

mod health;
mod key;

pub(crate) use health::Greeted;
pub use health::{Health, NodeHealth, Role};
pub use key::Inspection;
