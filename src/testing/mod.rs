//! Redis nodes that a test may hang, crash and restart: servers of its own, which are
//! started here and gone with the [`Cluster`], even after a panic. A server that was
//! already there is never touched.
//!
//! ```no_run
//! # async fn example() -> Result<(), redlock_quorum::testing::FixtureError> {
//! use redlock_quorum::testing::Cluster;
//!
//! let cluster = Cluster::start(3).await?;
//! let urls = cluster.urls(); // hand these to the client under test
//! for node in cluster.nodes().iter().take(1) {
//!     node.pause().await?; // hung: connections stay open, nothing answers
//!     node.resume().await?; // what was sent meanwhile is executed now
//!     node.kill().await?; // crashed: connections close, the port refuses
//!     node.restart().await?; // back on the same port, empty
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Backends
//!
//! | [`Backend`] | a node is | feature | needs |
//! | --- | --- | --- | --- |
//! | `Docker` | a container | `testing` | an engine and the image |
//! | `Process` | a local `redis-server` or `valkey-server` | `testing-local` | the program, and `sh` |
//! | `Memory` | a thread here that speaks RESP2 on a loopback port | `testing-local` | nothing |
//!
//! Unless a test asks for one, the environment decides, and one line on
//! standard error says what was decided and why:
//!
//! | variable | value |
//! | --- | --- |
//! | `REDLOCK_TEST_BACKEND` | `auto` (default), `docker`, `process` or `memory` |
//! | `REDLOCK_TEST_IMAGE` | the image for containers, default `redis:7.4-alpine` |
//! | `REDLOCK_TEST_SERVER` | the server program, default `redis-server`, else `valkey-server` |
//!
//! `auto` takes containers where an engine answers and has the image or can
//! pull it, else processes, else fails. It never takes memory nodes: they know
//! the lock's own commands and scripts only, so a suite that passes on them
//! has not met a server. [`ClusterBuilder::or_memory`] is for demonstrations.
//! If a backend was named, it is used or the start fails.
//!
//! # What is left behind
//!
//! Nothing is left when the `Cluster` is dropped. A test process that is killed takes
//! its server processes with it. Its containers stay; all of them bear a label, so
//! that this removes them:
//!
//! ```sh
//! docker rm -fv $(docker ps -aq --filter label=redlock-quorum.test=1)
//! ```

mod choice;
mod client;
mod clock;
mod cluster;
#[cfg_attr(not(feature = "testing"), path = "no_container.rs")]
mod container;
mod error;
mod locate;
pub(crate) mod memory;
mod node;
mod port;
mod process;
mod reply;
pub(crate) mod resp;
mod wait;

pub use choice::Backend;
pub use clock::Clock;
pub use cluster::{Cluster, ClusterBuilder};
pub use error::FixtureError;
pub use node::TestNode;
pub use reply::Reply;
