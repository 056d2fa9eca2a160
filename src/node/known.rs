//! What is known of the server at the other end of a connection: which scripts
//! it has been taught, and what it has of its own. This knowledge ends with the
//! connection, since the next one may lead to another server.

use super::{endpoint::Endpoint, native::Native, order::Order, wire::Form};
use crate::{
    exchange::{Answer, Ask},
    node_error::NodeErrorKind,
};

/// What is known of one server.
pub(super) struct Known {
    /// The scripts whose text this connection has carried.
    taught: Vec<Ask>,
    /// The server's own compare-and-delete, if it has one and lets us use it.
    native: Option<Native>,
    /// Whether the server lets us look at a key by a script only.
    looks_by_script: bool,
}

impl Known {
    pub(super) fn new(native: Option<Native>) -> Self {
        Self { taught: Vec::new(), native, looks_by_script: false }
    }

    /// How a command must be put. A script that the server is not known to have
    /// goes as its text: a second try would come behind what was sent meanwhile.
    pub(super) fn form(&self, ask: Ask) -> Form {
        match (ask.script(), self.native) {
            (None, _) if self.looks_by_script && is_look(ask) => Form::Whole,
            (None, _) => Form::Short,
            (Some(Ask::Release), Some(native)) => Form::Native(native),
            (Some(script), _) if self.taught.contains(&script) => Form::Short,
            _ => Form::Whole,
        }
    }

    /// A script whose text was sent is known to the server from then on.
    pub(super) fn note_sent(&mut self, order: &Order) {
        if let Some(script) = order.ticket.ask.script().filter(|_| order.form == Form::Whole)
            && !self.taught.contains(&script)
        {
            self.taught.push(script);
        }
    }

    /// A server that does not let us use a command, or knows nothing of it after all,
    /// is asked by script from then on. For a look that is how the least ACL wants it,
    /// and nobody needs to be told.
    pub(super) fn note_answer(&mut self, order: &Order, answer: &Answer, endpoint: &Endpoint) {
        if is_look(order.ticket.ask) {
            self.looks_by_script |= matches!(answer, Answer::NoScript);
        }
        let Form::Native(native) = order.form else { return };
        let is_no_use = match answer {
            Answer::NoScript => true,
            Answer::Failed(error) => error.kind() == NodeErrorKind::Server,
            _ => false,
        };
        if is_no_use && self.native.take().is_some() {
            let (node, command) = (endpoint.label(), native.name());
            tracing::info!(%node, command, "node does not let us use its own command: a script does it");
        }
    }
}

fn is_look(ask: Ask) -> bool {
    matches!(ask, Ask::Value | Ask::Look)
}
