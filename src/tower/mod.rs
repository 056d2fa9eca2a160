//! Requests that take turns: a tower layer that holds a lock around the service
//! behind it, for axum, tonic and anything else that is made of tower services.
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```ignore")]
//! use axum::{Router, extract::Request, routing::post};
//! use redlock_quorum::{Redlock, tower::{LockLayer, path_key}};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use redlock_quorum::testing::{Backend, Cluster};
//! # let cluster = Cluster::builder().nodes(3).backend(Backend::Memory).start().await?;
//! # let nodes = cluster.urls();
//! let redlock = Redlock::builder().nodes(nodes).build()?;
//!
//! // One request at a time for each path; the others wait up to two seconds.
//! let turns = LockLayer::new(redlock, |request: &Request| Some(path_key(request)))
//!     .wait(Duration::from_secs(2));
//!
//! let app: Router = Router::new().route("/orders/{id}/pay", post(async || "paid")).layer(turns);
//! # drop(app); Ok(()) }
//! ```
//!
//! The layer makes requests take turns. It does not make a request that comes twice
//! happen once: the second one is let in when the first is done, and its handler has
//! to find out whether there is anything left to do.
//!
//! The layer never changes the response of the service behind it, unless the lock was
//! lost before that was there. A release that fails changes nothing.

mod body;
mod layer;
mod path;
mod reject;
mod service;

pub use body::LockedBody;
pub use layer::{Hold, LockLayer, OnLoss};
pub use path::path_key;
pub use reject::{Reason, Rejection};
pub use service::LockService;
