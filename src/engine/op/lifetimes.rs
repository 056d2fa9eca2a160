//! After a lost round: how long do the keys live that were in the way? It
//! changes nothing.

use std::time::Duration;

use super::{Ended, Head, Setting};
use crate::{
    engine::waiter::Waiter,
    exchange::{Answer, Outcome},
    node_error::NodeErrorKind,
    protocol::{Loss, Moment, NodeId, NodeSet, Round},
};

/// A question for remaining lives, within what is left of the round's time.
#[derive(Debug)]
pub(in crate::engine) struct Lifetimes {
    round: Box<Round>,
    known: Vec<Duration>,
    /// Whose attempt was lost; taken out at the end.
    waiter: Option<Box<Waiter>>,
}

impl Lifetimes {
    /// The operation that follows an attempt with this `head`, and the nodes to
    /// ask.
    pub(in crate::engine) fn after(
        head: &Head,
        round: Box<Round>,
        waiter: Box<Waiter>,
    ) -> (Head, Self, NodeSet) {
        let asked = round.refused().union(head.awaited);
        let new = Head::new(
            std::sync::Arc::clone(&head.claim),
            head.ttl,
            head.started_at,
            head.give_up_at,
        );
        let head = Head { notes: head.notes.clone(), cut_short: head.cut_short, ..new };
        (head, Self { round, known: Vec::new(), waiter: Some(waiter) }, asked)
    }

    pub(super) fn handle_outcome(&mut self, head: &mut Head, node: NodeId, outcome: Outcome) {
        match outcome {
            Outcome::Answered(Answer::Remaining(left)) => {
                self.known.push(left);
                head.notes.live(node, left);
            }
            Outcome::Answered(Answer::Failed(error))
                if error.kind() == NodeErrorKind::ForeignKey =>
            {
                head.notes.fail(node, error);
            }
            // The node has refused, that is known; how long for is not.
            _ => {}
        }
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.waiter.is_some()
    }

    /// Goes on once enough is known of how long the keys in the way live, or
    /// no more will be.
    pub(super) fn end(&mut self, head: &Head, setting: &Setting<'_>) -> Option<Ended> {
        if !self.is_enough() && !self.is_time_over(head, setting.now) {
            return None;
        }
        let waiter = self.waiter.take()?;
        // The lock is free when as many of those keys are gone as votes were
        // missing.
        self.known.sort_unstable();
        let last = self.round.missing().checked_sub(1);
        let free_in = last.and_then(|nth| self.known.get(nth)).copied();
        let found = Box::new(head.found(Loss::Contended, &self.round, free_in, setting));
        Some(Ended::Lost { waiter, found, rolls_back: false })
    }

    pub(super) fn is_enough(&self) -> bool {
        self.known.len() >= self.round.missing()
    }

    fn is_time_over(&self, head: &Head, now: Moment) -> bool {
        head.awaited.is_empty() || now >= head.give_up_at
    }
}
