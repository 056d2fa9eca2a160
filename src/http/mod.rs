//! The lock service over HTTP, for programs in any language: an axum router
//! over a [`Redlock`](crate::Redlock).
//!
//! The service keeps no state that matters: a token releases its lock through any
//! instance. An instance remembers the locks that it handed out for its page, and
//! forgets them when it ends. It never decides whether a lock is held; the client does.
//!
//! ```
//! # use redlock_quorum::{Redlock, http::{Service, Settings}, testing::{Backend, Cluster}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::builder().nodes(3).backend(Backend::Memory).start().await?;
//! let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
//! let service = Service::new(redlock, Settings::new().max_waiters(100))?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = axum::serve(listener, service.router());
//! # let serving = serving.with_graceful_shutdown(async {});
//! serving.await?;
//! service.close(); // waiters are refused; do this before `Redlock::shutdown`
//! # Ok(()) }
//! ```

mod answers;
mod auth;
mod clock;
mod encoding;
mod fields;
mod gate;
mod handed;
mod key;
mod legacy;
mod lock_bodies;
mod locking;
mod locks;
mod metrics;
mod openapi;
mod page;
mod probes;
mod problem;
mod refusal;
mod service;
mod settings;
mod snapshot;
mod watch;

pub use service::Service;
pub use settings::{Settings, SettingsError};
