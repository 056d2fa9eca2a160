//! The kind of server that an in-memory node takes itself for. It never decides what
//! a command does, only whether the node knows it.

use super::command::Native;

/// What a node takes itself for: what it says when it is greeted, and whether it
/// compares and deletes without a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(redlock_sim), expect(unreachable_pub, reason = "the simulator's to choose"))]
#[cfg_attr(not(any(test, redlock_sim)), expect(dead_code, reason = "as above"))]
pub enum Flavor {
    /// A Valkey that has `DELIFEQ`.
    #[default]
    Valkey,
    /// A Redis that has `DELEX`.
    Redis,
    /// An older server, which has neither.
    Old,
    /// A server like [`Self::Valkey`] that lets nobody use `DELIFEQ`.
    Forbidding,
}

impl Flavor {
    pub(super) fn name_and_version(self) -> (&'static str, &'static str) {
        match self {
            Self::Valkey | Self::Forbidding => ("valkey", "9.0.0"),
            Self::Redis => ("redis", "8.4.0"),
            Self::Old => ("redis", "7.0.0"),
        }
    }

    pub(super) fn has(self, command: Native) -> bool {
        match command {
            Native::DelIfEq => matches!(self, Self::Valkey | Self::Forbidding),
            Native::DelEx => self == Self::Redis,
        }
    }
}
