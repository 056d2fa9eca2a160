//! What nodes said beyond yes and no, and the report that an error makes of it.
//! It keeps what it is given and concludes nothing.

use std::{sync::Arc, time::Duration};

use super::Head;
use crate::{
    config::Config,
    error::{NodeAnswer, NodeReport},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, NodeSet},
};

/// The nodes' words. Empty, and free, where all is well.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Notes(Vec<(NodeId, Note)>);

#[derive(Clone, Debug)]
enum Note {
    Error(NodeError),
    Lifetime(Duration),
    /// It has refused an earlier fencing number.
    Refused,
}

impl Notes {
    pub(super) fn fail(&mut self, node: NodeId, error: NodeError) {
        self.0.retain(|(id, _)| *id != node);
        self.0.push((node, Note::Error(error)));
    }

    pub(super) fn live(&mut self, node: NodeId, lifetime: Duration) {
        self.0.retain(|(id, note)| *id != node || matches!(note, Note::Error(_)));
        self.0.push((node, Note::Lifetime(lifetime)));
    }

    /// A node has refused a fencing number, and is asked with a higher one.
    pub(super) fn refuse(&mut self, node: NodeId) {
        if !self.0.iter().any(|(id, _)| *id == node) {
            self.0.push((node, Note::Refused));
        }
    }

    /// Whether a node has refused an earlier fencing number.
    pub(super) fn has_refusals(&self) -> bool {
        self.0.iter().any(|(_, note)| matches!(note, Note::Refused))
    }

    fn has_refused(&self, node: NodeId) -> bool {
        self.0.iter().any(|(id, note)| *id == node && matches!(note, Note::Refused))
    }

    /// How many nodes failed in a way that no waiting cures. Whatever is at the key is
    /// waited for: another library's lock may be of another type, or never expire, and
    /// its holder releases it.
    pub(super) fn permanent(&self) -> usize {
        let is_lasting =
            |error: &NodeError| !error.is_transient() && error.kind() != NodeErrorKind::ForeignKey;
        let permanent = |note: &Note| matches!(note, Note::Error(error) if is_lasting(error));
        self.0.iter().filter(|(_, note)| permanent(note)).count()
    }

    /// How many nodes have failed.
    pub(super) fn errors(&self) -> usize {
        self.0.iter().filter(|(_, note)| matches!(note, Note::Error(_))).count()
    }

    fn error(&self, node: NodeId) -> Option<&NodeError> {
        self.0.iter().find_map(|(id, note)| match note {
            Note::Error(error) if *id == node => Some(error),
            _ => None,
        })
    }

    fn lifetime(&self, node: NodeId) -> Option<Duration> {
        self.0.iter().find_map(|(id, note)| match note {
            Note::Lifetime(left) if *id == node => Some(*left),
            _ => None,
        })
    }
}

/// How the nodes of an operation stand.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) granted: NodeSet,
    pub(super) refused: NodeSet,
    /// Nodes that are late, if the time is up.
    pub(super) silent: NodeSet,
}

impl Head {
    /// What every node said, for an error.
    pub(super) fn reports(&self, tally: Tally, config: &Config, now: Moment) -> Vec<NodeReport> {
        let Tally { granted, refused, silent } = tally;
        let report = |(id, name): (NodeId, &Arc<str>)| {
            let remaining = self.notes.lifetime(id);
            let refused = refused.contains(id) || remaining.is_some_and(|left| !left.is_zero());
            let answer = if let Some(error) = self.notes.error(id) {
                NodeAnswer::Failed(error.clone())
            } else if granted.contains(id) {
                NodeAnswer::Granted
            } else if refused {
                NodeAnswer::Refused { remaining }
            } else if silent.contains(id) && remaining.is_none() {
                let waited = now.since(self.started_at);
                NodeAnswer::Failed(NodeError::waited(NodeErrorKind::Timeout, waited))
            } else if self.notes.has_refused(id) {
                NodeAnswer::Refused { remaining: None }
            } else {
                NodeAnswer::NotAwaited
            };
            NodeReport::new(Arc::clone(name), answer)
        };
        config.node_names().map(report).collect()
    }

    /// The nodes among `suspects` that are late: none while there is time, or
    /// where the time was cut short.
    pub(super) fn late(&self, suspects: NodeSet, now: Moment) -> NodeSet {
        if mutant::is(Mutant::UnawaitedIsSilence) {
            return suspects;
        }
        if now >= self.give_up_at && !self.cut_short { suspects } else { NodeSet::EMPTY }
    }
}
