//! What a run has come across, so that none passes because it saw nothing.

use super::{
    message::{Ask, Message, Reply},
    world::{Claim, Epoch, Phase},
};
use crate::seen::{Noted, Seen};

/// Something that a rule is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node had no vote.
    Quarantined,
    /// A call has won by a quorum of nodes that had no vote before: they grant again.
    WonAfterQuarantine,
    /// A client was told a run id, asked again, and was granted.
    Learnt,
    /// A lock was extended.
    Extended,
    /// A node was given its key back while it had no vote.
    HealedInQuarantine,
    /// A question did what it asked for when its claim was over.
    CameLate,
    /// A clock was set forward while a holder had its key there.
    SetForward,
    /// A node has lost a fence.
    ForgotFence,
}

impl Noted for Event {
    fn bit(self) -> u32 {
        self as u32
    }
}

impl Seen<Event> {
    pub fn note_answer(&self, claim: &Claim, epoch: Epoch, answer: Message) {
        let Some(reply) = answer.reply() else { return };
        let done = matches!(reply, Reply::Done | Reply::DoneAfter);
        if reply == Reply::Quarantined {
            self.note(Event::Quarantined);
        }
        if done && answer.ask() == Ask::Heal && matches!(epoch, Epoch::Quarantine(_)) {
            self.note(Event::HealedInQuarantine);
        }
        if done && claim.phase == Phase::Done {
            self.note(Event::CameLate);
        }
    }

    pub fn note_won(&self, claim: &Claim, after: bool) {
        if after {
            self.note(Event::WonAfterQuarantine);
        }
        if claim.phase == Phase::Extending {
            self.note(Event::Extended);
        }
    }
}
