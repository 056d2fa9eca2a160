//! The Redlock protocol, pure: votes and the time go in, decisions come out.
//!
//! Nothing here knows Redis, a socket, a runtime, a random number generator or
//! a clock. Time is an argument ([`Moment`]) and entropy is an argument, so a
//! test is a loop over votes and a simulation is a loop over tests.
//!
//! The naming rule: `handle_*` takes what the world did, `poll_*` says what the
//! caller must do next, everything else is a getter. A call that comes twice
//! or too late is a no-op, never an error.

mod backoff;
mod fencing;
mod home;
mod lease;
mod quorum;
mod release;
mod round;
mod schedule;

#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub(crate) use fencing::{Number, Numbers};
pub(crate) use home::home;
pub(crate) use lease::{Drift, Lease, Moment, Ttl};
pub(crate) use quorum::{MAX_NODES, NodeId, NodeSet, Quorum};
pub(crate) use release::{Release, ReleaseVerdict};
pub(crate) use round::{Loss, Round, Verdict, Vote};
pub(crate) use schedule::{Due, Schedule};
