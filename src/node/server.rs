//! What is known of the server at the other end of a connection, from its login. It ends
//! with the connection, since the next one may lead to another server.

use std::{sync::Arc, time::Duration};

use super::{hello::Hello, native::Native};
use crate::{exchange::Greeted, node_error::NodeError};

/// What a login has found out about a server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Its own compare-and-delete command, if it has one.
    pub(super) native: Option<Native>,
    /// Whether it runs scripts.
    pub(super) scripts: bool,
    /// Whether it can be greeted.
    pub(super) greets: bool,
    /// What it said of itself.
    pub(super) greeted: Greeted,
    /// The same in words; empty if it said nothing.
    pub(super) words: Arc<str>,
    /// Which process it is; unknown where it lets us not ask.
    pub(super) process: Option<Box<str>>,
    /// For how long that has run, in whole seconds.
    pub(super) uptime: Option<Duration>,
    /// Whether it drops keys when its memory is full.
    pub(super) evicts: bool,
    /// What threatens the guarantee there, though it votes.
    pub(super) warnings: Vec<NodeError>,
    /// Why it would not grant a lock.
    pub(super) refuses: Option<NodeError>,
}

impl Server {
    /// A server that has said nothing yet.
    pub(super) fn new(greets: bool) -> Self {
        Self {
            native: None,
            scripts: true,
            greets,
            greeted: Greeted::default(),
            words: "".into(),
            process: None,
            uptime: None,
            evicts: false,
            warnings: Vec::new(),
            refuses: None,
        }
    }

    /// Says in the log that there is a connection, and of what use it is.
    pub(super) fn announce(&self, node: &str) {
        for warning in &self.warnings {
            tracing::warn!(%node, %warning, "the node votes, and the guarantee is threatened there");
        }
        match &self.refuses {
            None => tracing::info!(%node, "connected"),
            Some(error) => {
                tracing::warn!(%node, %error, "connected, but the node would grant no lock");
            }
        }
    }

    pub(super) fn greet(&mut self, hello: &Hello<'_>) {
        (self.native, self.words) = (hello.native(), hello.describe());
        self.greeted = hello.greeted();
    }
}
