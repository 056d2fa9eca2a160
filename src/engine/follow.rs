//! What comes after an operation that has ended: [`Engine::after`] decides it for all
//! kinds, in one match.

use std::sync::Arc;

use super::{
    Engine, Time,
    op::{Ended, Ending, Kind, Lifetimes},
};

impl Engine {
    /// Decides what follows from what operation `id` came to.
    pub(super) fn after(&mut self, id: usize, ended: Ended, time: Time) {
        match ended {
            Ended::Held { waiter, lease, votes } => {
                self.note_decided();
                self.after_grant(id, waiter, lease, votes, time);
            }
            Ended::Refused { waiter, round, rolls_back } => {
                self.note_decided();
                let Some(op) = self.ops.get(id) else { return };
                let (head, lifetimes, asked) = Lifetimes::after(&op.head, round, waiter);
                let claim = Arc::clone(&op.head.claim);
                if rolls_back {
                    self.release(claim, Ending::default(), time);
                }
                self.start(head, Kind::Lifetimes(lifetimes), asked, time);
            }
            Ended::Lost { waiter, found, rolls_back } => {
                self.note_decided();
                let claim = self.ops.get(id).map(|op| Arc::clone(&op.head.claim));
                if let Some(claim) = claim.filter(|_| rolls_back) {
                    self.release(claim, Ending::default(), time);
                }
                self.after_loss(waiter, *found, time);
            }
            Ended::Extended { reply, outcome } => {
                self.note_decided();
                self.after_extension(id, &outcome, true, time);
                // A caller that is gone needs no answer, here and below.
                let _ = reply.send(outcome);
            }
            Ended::Renewed { kept, outcome, key_is_gone } => {
                self.after_renewal(id, kept, outcome, key_is_gone, time);
            }
            Ended::Abandoned(_kept) => self.keep.note(true),
            Ended::HandedOver { hand_over, lease, granted } => {
                self.note_decided();
                self.after_hand_over(id, *hand_over, lease, granted, time);
            }
            Ended::Released { reply, outcome } => drop(reply.send(outcome)),
            Ended::Seen { reply, seen } => {
                self.note_decided();
                let _ = reply.send(Ok(seen));
            }
        }
    }

    pub(super) fn note_decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
    }
}
