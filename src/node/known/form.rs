//! How a command must be put to a server, by what is known of it. It sends nothing.

use super::{Known, is_forbidden};
use crate::{
    exchange::{Answer, Ask},
    node::{endpoint::Endpoint, order::Order, wire::Form},
    node_error::{NodeError, NodeErrorKind},
};

impl Known {
    /// How a command must be put. A script that the server is not known to have
    /// goes as its text: a second try would come behind what was sent meanwhile.
    pub(in crate::node) fn form(&self, ask: Ask) -> Form {
        if self.is_trusted() && ask.sets() {
            return Form::Whole; // other nodes are asked by their hash
        }
        let Some(script) = ask.script(self.is_strict) else { return self.form_without_script(ask) };
        match self.server.native {
            Some(native) if script == Ask::Release => Form::Native(native),
            _ if self.taught.contains(&script) && !self.by_text => Form::Short,
            _ => Form::Whole,
        }
    }

    fn form_without_script(&self, ask: Ask) -> Form {
        match (ask, self.server.native) {
            (Ask::Greet, _) if !self.server.greets => Form::Whole,
            (Ask::Greet, Some(native)) if !self.server.scripts => Form::Native(native),
            (Ask::Value | Ask::Look, _) if self.looks_by_script => Form::Whole,
            _ => Form::Short,
        }
    }

    /// A server that does not let us use a command, or knows nothing of it after all,
    /// is asked by script from then on. For a look that is how the least ACL wants it,
    /// and nobody needs to be told.
    pub(super) fn note_form(&mut self, order: &Order, answer: &mut Answer, endpoint: &Endpoint) {
        if is_look(order.ticket.ask) {
            self.looks_by_script |= matches!(answer, Answer::NoScript);
        }
        let is_hash =
            order.form == Form::Short && order.ticket.ask.script(self.is_strict).is_some();
        let by_another = |error: &NodeError| is_forbidden(error) && !error.is_to("INFO");
        if is_hash && matches!(answer, Answer::Failed(error) if by_another(error)) {
            // It may let us use the text all the same: `EVALSHA` is another command than `EVAL`.
            self.by_text = true;
            *answer = Answer::NoScript;
        }
        let Form::Native(native) = order.form else { return };
        let is_no_use = match answer {
            Answer::NoScript => true,
            Answer::Failed(error) => error.kind() == NodeErrorKind::Server,
            _ => false,
        };
        if is_no_use && self.server.native.take().is_some() {
            let (node, command) = (endpoint.label(), native.name());
            tracing::info!(%node, command, "node does not let us use its own command: a script does it");
        }
    }
}

fn is_look(ask: Ask) -> bool {
    matches!(ask, Ask::Value | Ask::Look)
}
