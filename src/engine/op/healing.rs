//! Healing: the key is set again where it was lost, after an extension has
//! proven that the lock is ours. Nobody waits for it, and it proves nothing.

use std::time::Duration;

use super::{Head, Setting, vote::vote};
use crate::{
    exchange::{Answer, Outcome},
    protocol::{NodeId, Number, Vote},
};

/// Sets the key again on nodes that surely do not have it.
#[derive(Debug)]
pub(in crate::engine) struct Healing;

impl Healing {
    pub(super) fn handle_outcome(
        &mut self,
        head: &Head,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        setting: &Setting<'_>,
    ) {
        let claim = &head.claim;
        if let Outcome::Answered(Answer::Stale(fence)) = outcome
            && !setting.numbers.is_ahead(fence, setting.now)
        {
            // The next healing goes above it, as if it had been sent.
            Number::new(fence).into_iter().for_each(|number| claim.note_sent(number));
        }
        if matches!(outcome, Outcome::Answered(Answer::NoScript)) {
            return claim.note_unhealed(node);
        }
        match vote(outcome).0 {
            Vote::Granted => {
                tracing::debug!(key = %claim.key, "a node that did not have the key has it again");
                claim.note_grant(node, latency);
            }
            Vote::Refused | Vote::Failed => claim.note_unhealed(node),
            // It may still come, after what is sent on the next connection.
            Vote::Unknown => claim.note_adrift(node, head.number),
        }
    }
}
