//! What a run has come across. A model that has gone blind finds nothing wrong: so each
//! run names what it must have seen, and fails without.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

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

/// What can be seen: for each a bit.
pub trait Noted: Copy {
    fn bit(self) -> u32;
}

impl Noted for Event {
    fn bit(self) -> u32 {
        self as u32
    }
}

/// It is of either model.
#[derive(Debug)]
pub struct Seen<E>(AtomicU32, PhantomData<E>);

impl<E> Default for Seen<E> {
    fn default() -> Self {
        Self(AtomicU32::default(), PhantomData)
    }
}

impl<E: Noted> Seen<E> {
    pub fn note(&self, event: E) {
        // It is written once, so that two threads do not quarrel about it.
        if !self.has(event) {
            self.0.fetch_or(1 << event.bit(), Relaxed);
        }
    }

    pub fn has(&self, event: E) -> bool {
        self.0.load(Relaxed) & 1 << event.bit() != 0
    }
}

impl Seen<Event> {
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
