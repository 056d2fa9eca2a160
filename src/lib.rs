//! A lock over N independent Redis or Valkey masters.

mod acquire;
mod claim;
mod client;
mod clock;
mod config;
mod driver;
mod error;
mod guard;
mod key;
mod node;
mod node_error;
mod protocol;
#[cfg(feature = "testing-local")]
pub mod testing;
mod token;

pub use acquire::Acquire;
pub use client::Redlock;
pub use config::Builder;
pub use error::{Error, ErrorKind, NodeAnswer, NodeReport};
pub use guard::{LockGuard, LockParts, Released, Votes};
pub use node_error::{NodeError, NodeErrorKind};
pub use token::Token;
