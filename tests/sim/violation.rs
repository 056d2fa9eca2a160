//! The checks of the oracle, by name. The table of mutants gives these names as
//! what noticed a mutant.

use std::fmt;

use redlock_quorum::{ErrorKind, Released};

/// What is wrong in a run.
#[derive(Clone, Debug)]
pub struct Violation {
    pub check: Check,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The check that noticed a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    TwoHolders,
    TooFewNodes,
    VoteOfReplica,
    LostAndHeld,
    WorkGoesOn,
    InFlight,
    Leak,
    NotIdle,
    KeyOfClosed,
    LockOfClosed,
    DriverNeverEnds,
    PolledWithoutEnd,
    CallWithoutEnd,
    CallIsLate,
    WaitTooShort,
    Forgotten,
    Turn,
    InnocentLoss,
    ExtendedByTooFew,
    UntrueError(ErrorKind),
    UntrueRelease(Released),
    InnocentNode,
    NoNumber,
    NumberTwice,
    NumbersFall,
    HolderIsRefused,
    FreeAndRefused,
    QuarantineWithoutEnd,
    QuarantineRefuses,
    NobodyWon,
    RetryAfter,
    NeedlessAsks,
    Unnoticed,
    NotRegained,
    NotTheSameTwice,
    Simulation,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoHolders => "two holders",
            Self::TooFewNodes => "held by too few nodes",
            Self::VoteOfReplica => "a vote of a replica",
            Self::LostAndHeld => "lost and held",
            Self::WorkGoesOn => "work that goes on without its lock",
            Self::InFlight => "more in flight than allowed",
            Self::Leak => "a key is left",
            Self::NotIdle => "an idle client with work left",
            Self::KeyOfClosed => "a key of a closed client",
            Self::LockOfClosed => "a lock of a closed client",
            Self::DriverNeverEnds => "a driver that never ends",
            Self::PolledWithoutEnd => "a loop of polls",
            Self::CallWithoutEnd => "a call without end",
            Self::CallIsLate => "a call that is late",
            Self::WaitTooShort => "a wait that was too short",
            Self::Forgotten => "a forgotten waiter",
            Self::Turn => "a waiter that jumped the line",
            Self::InnocentLoss => "a loss without a fault",
            Self::ExtendedByTooFew => "extended by too few nodes",
            Self::UntrueError(kind) => return write!(f, "an untrue `{kind:?}`"),
            Self::UntrueRelease(released) => return write!(f, "an untrue `{released:?}`"),
            Self::InnocentNode => "an innocent node is blamed",
            Self::NoNumber => "a number too many or too few",
            Self::NumberTwice => "a number twice",
            Self::NumbersFall => "a smaller number for a later call",
            Self::HolderIsRefused => "a number that a resource refuses",
            Self::FreeAndRefused => "a free lock that nobody else wants is refused",
            Self::QuarantineWithoutEnd => "a quarantine without end",
            Self::QuarantineRefuses => "a quarantine that refuses to heal",
            Self::NobodyWon => "nobody won",
            Self::RetryAfter => "a pause for a lock that nobody had",
            Self::NeedlessAsks => "a waiter that asks too often",
            Self::Unnoticed => "an end that nobody noticed",
            Self::NotRegained => "no lock after a failover",
            Self::NotTheSameTwice => "the same seed is another run",
            Self::Simulation => "the simulation itself",
        })
    }
}
