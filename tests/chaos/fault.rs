//! The faults that a campaign knows, and how a seed becomes a row of them. What a
//! fault does to servers is in `play`; here nothing runs.

use std::{fmt, str::FromStr, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};

use crate::{clock::ms, mode::MAX_TTL};

/// How many nodes a campaign has.
pub const NODES: usize = 5;
/// For how long a node that forgot, or began anew, is let alone after its keys may have ended.
const MARGIN: Duration = ms(200);

/// What the faults of one run have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Set {
    /// The guarantee covers them.
    Within,
    /// A server forgets what it has granted.
    Memory,
    /// Servers' clocks are set forward, by as much as grace covers.
    Clock,
    /// By more than that.
    Beyond,
}

macro_rules! kinds {
    ($($variant:ident, $set:ident, $name:literal, $what:literal;)*) => {
        /// One fault; its name in settings and logs is behind it.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum Kind { $(#[doc = $what] $variant,)* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub const fn set(self) -> Set {
                match self { $(Self::$variant => Set::$set,)* }
            }
        }
    };
}

kinds! {
    Stop, Within, "stop", "The server is stopped by a signal, and goes on.";
    KillKept, Within, "kill-kept", "It is killed, and has its data when it is back.";
    ClientKill, Within, "client-kill", "It hangs up on all clients.";
    Busy, Within, "busy", "It runs a script that does not end.";
    ScriptFlush, Within, "script-flush", "It forgets its scripts.";
    Revoked, Within, "revoked", "The clients' user may not write any more.";
    Oom, Within, "oom", "Its memory is used up.";
    Misconf, Within, "misconf", "It can't save, and refuses writes.";
    NoReplicas, Within, "no-replicas", "It refuses writes for lack of replicas.";
    Cut, Within, "cut", "Bytes pass one way only, and those of the other come later.";
    Reset, Within, "reset", "Connections break.";
    Late, Within, "late", "Bytes come late one way or both.";
    Close, Within, "close", "Connections end.";
    Down, Within, "down", "They break, and nobody is let in.";
    Trickle, Within, "trickle", "Bytes come one by one.";
    ClientPause, Within, "client-pause", "It holds back all commands.";
    LoggedOut, Within, "logged-out", "The clients' password is not right any more.";
    Rewrite, Within, "rewrite", "It writes its file of commands anew.";
    ProcessStopped, Within, "process-stopped", "A client's process is stopped, and goes on.";
    ProcessKilled, Within, "process-killed", "A client's process is killed, and another begins.";
    KillEmpty, Memory, "kill-empty", "It is killed, and comes back without data.";
    Stale, Memory, "stale", "It is killed, and comes back with older data.";
    Flush, Memory, "flush", "FLUSHALL.";
    ReplicaOf, Memory, "replica-of", "It follows another server for a moment.";
    ClockStep, Clock, "clock-step", "Wall clocks of servers are set forward, by a grace.";
    ClockLeap, Beyond, "clock-leap", "By a grace and the shortest ttl.";
}

/// One fault to play.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: Kind,
    /// The nodes that it strikes, in an order that may matter; of a client's process, any.
    pub nodes: Vec<usize>,
    pub lasts: Duration,
    /// A further draw, for what a kind has to choose.
    pub choice: u32,
    /// How long nothing else is struck after it.
    pub rest: Duration,
}

/// The faults of a run, without an end: the same for the same seed and kinds.
#[derive(Debug)]
pub struct Faults {
    rng: SmallRng,
    kinds: Vec<Kind>,
    /// What is left of this round, in which each kind comes once.
    round: Vec<Kind>,
    gap: Duration,
}

impl Faults {
    pub fn draw(seed: u64, kinds: Vec<Kind>, gap: Duration) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), kinds, round: Vec::new(), gap }
    }
}

impl Iterator for Faults {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
            self.round.shuffle(&mut self.rng);
        }
        let kind = self.round.pop()?;
        let mut nodes: Vec<_> = (0..NODES).collect();
        nodes.shuffle(&mut self.rng);
        let two = self.rng.random_ratio(1, 3);
        nodes.truncate(match kind.set() {
            // A minority may fail.
            Set::Within => 1 + usize::from(two),
            // The first one forgets; which of the others are out of whose reach is drawn, too.
            Set::Memory => NODES,
            Set::Clock | Set::Beyond => NODES,
        });
        let lasts = match kind.set() {
            Set::Within => ms(self.rng.random_range(100..800)),
            Set::Memory | Set::Clock | Set::Beyond => ms(self.rng.random_range(100..250)),
        };
        let choice = self.rng.random();
        Some(Fault { kind, nodes, lasts, choice, rest: self.gap.max(kind.least_rest()) })
    }
}

impl Kind {
    /// Until every lock of before has ended and a node that is held back is so no more: a quorum
    /// is up and believed, whatever comes next.
    const fn least_rest(self) -> Duration {
        match self {
            Self::KillKept
            | Self::KillEmpty
            | Self::Stale
            | Self::Flush
            | Self::ReplicaOf
            | Self::ClockStep
            | Self::ClockLeap => ms(MAX_TTL.as_millis() as u64 + MARGIN.as_millis() as u64),
            Self::Stop
            | Self::ClientKill
            | Self::Busy
            | Self::ScriptFlush
            | Self::Revoked
            | Self::Oom
            | Self::Misconf
            | Self::NoReplicas
            | Self::Cut
            | Self::Reset
            | Self::Late
            | Self::Close
            | Self::Down
            | Self::Trickle
            | Self::ClientPause
            | Self::LoggedOut
            | Self::Rewrite
            | Self::ProcessStopped
            | Self::ProcessKilled => Duration::ZERO,
        }
    }
}

impl Set {
    pub const ALL: [Self; 4] = [Self::Within, Self::Memory, Self::Clock, Self::Beyond];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Memory => "memory",
            Self::Clock => "clock",
            Self::Beyond => "beyond",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        named.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("no fault `{name}`: there are {}", all.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(set: Set) -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| kind.set() == set).collect()
    }

    #[test]
    fn a_seed_means_the_same_faults() {
        let row =
            |seed| Faults::draw(seed, kinds(Set::Within), ms(100)).take(50).collect::<Vec<_>>();
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
    }

    #[test]
    fn each_kind_comes_once_a_round_and_strikes_a_minority() {
        let all = kinds(Set::Within);
        let row: Vec<_> = Faults::draw(3, all.clone(), ms(100)).take(all.len()).collect();
        let mut met: Vec<_> = row.iter().map(|fault| fault.kind).collect();
        met.sort();
        assert_eq!(met, all);
        assert!(row.iter().all(|fault| (1..=2).contains(&fault.nodes.len())));
    }

    #[test]
    fn what_forgets_is_let_alone_for_longer_than_any_lock_lives() {
        let mut row = Faults::draw(3, kinds(Set::Memory), ms(0)).take(20);
        assert!(row.all(|fault| fault.rest > MAX_TTL));
    }
}
