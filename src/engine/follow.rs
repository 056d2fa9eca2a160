//! What comes after an operation that has ended: [`Engine::after`] decides it for all
//! kinds, in one match.

use std::sync::Arc;

use super::{
    Engine, Time,
    op::{Behind, Ended, Ending, Kind},
};
use crate::{
    mutant::{self, Mutant},
    protocol::NodeSet,
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
                // Votes that others may need are given back first. Where there are none,
                // what is still to be refused is, meanwhile, and needs no release.
                let now = rolls_back && !round.granted().is_empty();
                let able = self.worth_a_look(&waiter);
                let (head, behind) =
                    Behind::after(&op.head, round, rolls_back && !now, waiter, able, time.now);
                if now {
                    self.roll_back(id, time);
                }
                self.start(head, Kind::Behind(behind), NodeSet::EMPTY, time);
            }
            Ended::TakenBack => self.roll_back(id, time),
            Ended::Lost { waiter, found, rolls_back } => {
                self.note_decided();
                if rolls_back {
                    self.roll_back(id, time);
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

    /// Takes back what the lost attempt of operation `id` may have set. Where that may be a
    /// quorum, others may have seen it there, and wait to be told.
    fn roll_back(&mut self, id: usize, time: Time) {
        let Some(claim) = self.ops.get(id).map(|op| Arc::clone(&op.head.claim)) else { return };
        let may_be_seen = claim.suspects().len() >= self.config.quorum.votes();
        let tells = may_be_seen && !mutant::is(Mutant::RollbackTellsNobody);
        let news = tells.then(|| self.chance.news(claim.age()));
        self.release(claim, Ending { news, ..Ending::default() }, time);
    }

    pub(super) fn note_decided(&mut self) {
        self.undecided = self.undecided.saturating_sub(1);
    }
}
