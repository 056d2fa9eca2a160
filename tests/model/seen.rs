//! What a run has come across. A model that has gone blind finds nothing wrong: so each
//! run names what it must have seen, and fails without.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::{
    runs::Role,
    world::{Claim, Phase},
};

/// Something that a rule is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call won by a second number.
    WonAnew,
    /// A call won by votes that it had kept.
    Insisted,
    /// A fenced heir has the lock of a fenced holder, or of a plain one.
    HandedOn,
    /// A plain heir has it.
    HandedToPlain,
    /// A plain client has won.
    PlainWon,
    /// A node was given its key back.
    Healed,
    /// A healing or an acquire came too late, and was refused.
    CameTooLate,
    /// A release left a tombstone.
    Buried,
    /// A renewal raised a fence.
    RaisedByRenewal,
}

#[derive(Debug, Default)]
pub struct Seen(AtomicU32);

impl Seen {
    pub fn note(&self, event: Event) {
        // It is written once, so that two threads do not quarrel about it.
        if !self.has(event) {
            self.0.fetch_or(1 << event as u32, Relaxed);
        }
    }

    pub fn has(&self, event: Event) -> bool {
        self.0.load(Relaxed) & 1 << event as u32 != 0
    }

    /// A call has the lock.
    pub fn note_won(&self, claim: &Claim, role: &Role) {
        match claim.phase {
            Phase::Handing if claim.number == 0 => self.note(Event::HandedToPlain),
            Phase::Handing => self.note(Event::HandedOn),
            _ if role.plain => self.note(Event::PlainWon),
            _ if claim.rounds > 0 => self.note(Event::WonAnew),
            _ if claim.insisted > 0 => self.note(Event::Insisted),
            Phase::Idle | Phase::Trying | Phase::Held | Phase::Ending | Phase::Done => {}
        }
    }
}
