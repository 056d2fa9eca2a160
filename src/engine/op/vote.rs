//! How the end of a question counts as a vote. It counts nothing itself.

use crate::{
    exchange::{Answer, Outcome},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::Vote,
};

/// A node's outcome as a vote, and what to remember of it.
pub(super) fn vote(outcome: Outcome) -> (Vote, Option<NodeError>) {
    match outcome {
        Outcome::Answered(Answer::Granted | Answer::NotPublished) => (Vote::Granted, None),
        Outcome::Answered(answer) if answer.is_refusal() => (Vote::Refused, None),
        // Something else is at the key: so it is not ours.
        Outcome::Answered(Answer::Failed(error)) if error.kind() == NodeErrorKind::ForeignKey => {
            (Vote::Refused, Some(error))
        }
        Outcome::Answered(Answer::Failed(error)) if error.surely_had_no_effect() => {
            (Vote::Failed, Some(error))
        }
        Outcome::Answered(Answer::Failed(error)) => (Vote::Unknown, Some(error)),
        Outcome::Lost(error) => (vote_of_the_lost(), Some(error)),
        Outcome::NotSent(error) => (Vote::Failed, Some(error)),
        Outcome::Withdrawn => (Vote::Failed, None),
        // Not an answer to what was asked: it says nothing about the key.
        Outcome::Answered(_) => (Vote::Unknown, Some(NodeError::new(NodeErrorKind::Protocol))),
    }
}

/// A question whose connection broke may have been carried out.
fn vote_of_the_lost() -> Vote {
    if mutant::is(Mutant::LostIsNo) {
        return Vote::Failed;
    }
    Vote::Unknown
}
