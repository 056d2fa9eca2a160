//! A lock over N independent Redis or Valkey masters.
//!
//! One client of this library asks all masters at once and holds the lock from
//! the moment a majority has granted it (Redlock). Any minority of them may be
//! down, hung or slow.
//!
//! # Is it for you?
//!
//! **Yes**, if many hosts must not do a thing at the same time, and a lease is
//! what you want: if its holder dies, the lock comes free after its ttl.
//!
//! **With care**, if doing it twice is a disaster and not a nuisance. A lease
//! ends by the clock, whatever its holder is doing: a process that is paused
//! past its validity, or a majority of servers whose clocks jump or that forget
//! their keys, can lead to two holders. [`docs::safety`] states the guarantee
//! and all it assumes. Let the protected step ask [`LockGuard::ensure`] first, and
//! let the protected resource check what it can.
//!
//! **No**, if you need a fair queue, a lock that is held for days, or consensus: use
//! a system that is built on consensus, such as etcd or ZooKeeper.
//!
//! A client costs one connection to each node, a second one while a task waits
//! for another client's lock, and a background task that owns them. An acquire
//! takes one round trip to a majority, and so does a release.
//!
//! # Use
//!
//! ```
//! use redlock_quorum::{ErrorKind, Redlock};
//! use std::time::Duration;
//!
//! # use redlock_quorum::testing::{Backend, Cluster};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::builder().nodes(3).backend(Backend::Memory).start().await?;
//! # let nodes = cluster.urls();
//! let redlock = Redlock::builder().nodes(nodes).build()?; // redis://host:6379, ...
//!
//! let guard = redlock.lock("orders:42").wait(Duration::from_secs(3)).await?;
//! assert!(guard.is_held());
//!
//! let refused = redlock.try_lock("orders:42").await.unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::Contended);
//!
//! guard.extend(Duration::from_secs(30)).await?;
//! guard.release().await?; // dropping the guard does the same in the background
//! redlock.shutdown(Duration::from_secs(1)).await?;
//! # Ok(()) }
//! ```
//!
//! The nodes of all examples in this documentation are the in-memory ones of
//! [`testing`].
//!
//! # Where to look
//!
//! - [`Acquire::run`] holds a lock around some work, and stops the work if the lock is
//!   lost. [`Acquire::renew`] lets the work take longer than a ttl.
//! - [`Redlock`] is the client, [`Builder`] its settings, [`Acquire`] one
//!   acquire's options, [`LockGuard`] the held lock.
//! - [`Redlock::inspect`] and [`Redlock::health`] look at a key and at the nodes,
//!   and change nothing.
//! - [`Error::kind`] says what to do next, and [`Error::nodes`] what each node
//!   said.
//! - [`docs`] has the long texts: the guarantee, how to run the nodes, why the
//!   library is built as it is, how it is tested, and the lock service.
//!
//! # Features
//!
//! No feature is on by default, and none changes what the others do.
//!
//! - `tls` adds nodes at `rediss://`, by rustls. `Tls` says which authorities to
//!   trust in place of the system's, and which certificate to show. Building it
//!   needs a C compiler.
//! - `tower` adds a layer for requests that take turns, in axum, tonic and hyper.
//! - `http` adds the lock service over HTTP, for programs in any language, as an
//!   axum router. `cli` is the program `redlock` that serves it.
//! - `testing` adds [`testing::Cluster`]: nodes for tests that can be paused,
//!   killed and restarted, as containers, as local processes or in memory.
//! - `testing-local` is the same without containers, and without the dependencies
//!   that they bring.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod claim;
mod client;
mod clock;
mod config;
mod driver;
mod engine;
mod error;
mod exchange;
mod guard;
mod held;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
pub mod inspect;
mod key;
mod label;
mod mutant;
mod node;
mod node_error;
mod permit;
mod protocol;
#[cfg(redlock_sim)]
#[doc(hidden)]
pub mod sim;
mod spelled;
#[cfg(feature = "testing-local")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing-local")))]
pub mod testing;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod token;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
mod votes;
mod world;

pub use acquire::{Acquire, Acquiring};
pub use client::{Redlock, Unreleased};
pub use config::Builder;
pub use error::{Error, ErrorKind, NodeAnswer, NodeReport};
pub use guard::{LockGuard, LockParts, Released};
pub use held::Held;
pub use node_error::{NodeError, NodeErrorKind};
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::Tls;
pub use token::Token;
pub use votes::Votes;

/// The long texts: the guarantee, fencing numbers, operation, design, testing, the lock service and
/// the middleware.
#[cfg(doc)]
pub mod docs {
    #[doc = include_str!("../docs/safety.md")]
    pub mod safety {}
    #[doc = include_str!("../docs/fencing.md")]
    pub mod fencing {}
    #[doc = include_str!("../docs/operations.md")]
    pub mod operations {}
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[doc = include_str!("../docs/testing.md")]
    pub mod testing {}
    #[doc = include_str!("../docs/http.md")]
    pub mod http {}
    // The examples of this page need both features.
    #[cfg(any(not(doctest), all(feature = "http", feature = "tower")))]
    #[doc = include_str!("../docs/middleware.md")]
    pub mod middleware {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
