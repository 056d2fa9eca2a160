//! The rules that can be turned off, each by a mutant that the properties must notice.

use super::runs::Run;

/// A wrong turn. Its name is that of the table in `docs/testing.md`. Only the list in
/// `mutants` makes one, so that the compiler warns of a mutant that is not played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nodes that forget grant at once.
    NotStrict,
    /// A quarantine is one tick too short.
    ShortQuarantine,
    /// The epoch is looked at when a client connects, and not after that.
    LooksOnConnect,
    /// Whatever run id the record names, it will do.
    AnyEpoch,
    /// A key that was given back counts for the extension that missed it.
    CountsHealed,
    /// A node without a record is one that is used for the first time.
    NoEpochIsNew,
    /// A clock is set forward twice, by the grace in all but one tick.
    TwoSteps,
    /// A clock is set forward at once by more than the grace.
    LongStep,
    /// Keys live no longer than their holder believes.
    NoGrace,
    /// A holder believes for as long as its keys live.
    BelievesInGrace,
    /// A quarantine counts the ttl without the grace.
    QuarantineWithoutGrace,
    /// Each question in quarantine begins it anew.
    BeginsAnew,
    /// Beyond the assumptions: one node more forgets its fence.
    ForgetsOneMore,
}

/// The rules of a run, but for at most one. It is asked for every length of time.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub mutant: Option<Mutant>,
    ttl: u8,
    grace: u8,
}

impl Rules {
    pub fn new(run: &Run, mutant: Option<Mutant>) -> Self {
        Self { mutant, ttl: run.ttl, grace: run.grace }
    }

    pub fn broken(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How long a key lives by the node's clock.
    pub fn life(self) -> u8 {
        self.ttl + if self.broken(Mutant::NoGrace) { 0 } else { self.grace }
    }

    /// How long a holder believes in its lock, from its first question.
    pub fn belief(self) -> u8 {
        if self.broken(Mutant::BelievesInGrace) { self.life() } else { self.ttl }
    }

    /// How long a node that forgot has no vote, from when it is noticed.
    pub fn quarantine(self) -> u8 {
        match self.mutant {
            Some(Mutant::ShortQuarantine) => self.life() - 1,
            Some(Mutant::QuarantineWithoutGrace) => self.ttl,
            _ => self.life(),
        }
    }

    /// How far a clock may be set forward at once.
    pub fn step(self) -> u8 {
        if self.broken(Mutant::LongStep) { self.grace + 1 } else { 1 }
    }

    /// How far in sum, during a run.
    pub fn steps(self) -> u8 {
        let more = self.broken(Mutant::TwoSteps) || self.broken(Mutant::LongStep);
        self.grace + u8::from(more)
    }
}
