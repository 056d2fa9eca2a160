//! Profiles: the kind of trouble that a run is about. What follows from it for the plan is in
//! `profile/traits.rs`.

mod traits;

use std::{fmt, str::FromStr};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

pub use self::traits::Traits;

/// What kind of trouble a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// Nothing goes wrong, so no call may say that something did.
    Calm,
    /// Many clients want one key.
    Crowd,
    /// Many tasks of each client want one key, and some give up.
    Line,
    /// One client asks for more at once than may be in flight.
    Burst,
    /// Messages are late, connections break, and what they carried comes later.
    Links,
    /// Clients and nodes are cut off from each other, one way or both.
    Cuts,
    /// Nodes hang, crawl, crash and come back with what they knew.
    Nodes,
    /// Nodes answer errors and garbage, and forget scripts.
    Errors,
    /// Every clock runs at a rate of its own, within the bound.
    Clocks,
    /// Clients stand still, also past their deadlines.
    Pauses,
    /// Futures and guards are dropped, clients shut down, runtimes end.
    Drops,
    /// All of the above.
    Storm,
    /// Beyond the assumptions: nodes forget their keys, or bring old ones back.
    Amnesia,
    /// Beyond the assumptions: nodes' clocks are set.
    Steps,
    /// A scene: all clients ask for a key at one moment, and nobody has it.
    Rush,
    /// A scene: one holds a lock for long, and others wait for it.
    Watch,
    /// Nodes' names lead elsewhere, and logins are cut.
    Moves,
    /// A scene: nodes fail over while clients ask for a key again and again.
    Failover,
    /// Wall clocks are far apart and are set, and most locks have fencing numbers.
    Numbers,
    /// Strict nodes forget, all of them, one after the other or at once.
    Strict,
    /// Locks have a grace, and nodes' clocks are set forward by as much, or by more.
    Grace,
}

/// Faults that are drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Links,
    Cuts,
    Nodes,
    Errors,
    Pauses,
    Drops,
    Amnesia,
    Steps,
    Moves,
}

impl Profile {
    pub const ALL: [Self; 21] = [
        Self::Calm,
        Self::Crowd,
        Self::Line,
        Self::Burst,
        Self::Links,
        Self::Cuts,
        Self::Nodes,
        Self::Errors,
        Self::Clocks,
        Self::Pauses,
        Self::Drops,
        Self::Storm,
        Self::Amnesia,
        Self::Steps,
        Self::Rush,
        Self::Watch,
        Self::Moves,
        Self::Failover,
        Self::Numbers,
        Self::Strict,
        Self::Grace,
    ];

    /// The profile of a seed, unless one is asked for.
    pub fn of(seed: u64) -> Self {
        // The scenes and what came last have their seeds by number, so that no other seed is
        // another run.
        match seed % 64 {
            12 => return Self::Rush,
            60 => return Self::Watch,
            4 | 36 => return Self::Moves,
            28 => return Self::Failover,
            20 | 52 => return Self::Numbers,
            8 | 24 | 44 => return Self::Strict,
            16 | 56 => return Self::Grace,
            _ => {}
        }
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15);
        match rng.random_range(0..32u32) {
            0..2 => Self::Calm,
            2 => Self::Crowd,
            3 => Self::Line,
            4 => Self::Burst,
            5..9 => Self::Links,
            9..12 => Self::Cuts,
            12..16 => Self::Nodes,
            16..19 => Self::Errors,
            19..21 => Self::Clocks,
            21..23 => Self::Pauses,
            23..26 => Self::Drops,
            26..30 => Self::Storm,
            30 => Self::Amnesia,
            _ => Self::Steps,
        }
    }

    pub fn within_assumptions(self) -> bool {
        self.traits().within_assumptions
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::ALL.map(|profile| profile.to_string());
        Self::ALL
            .into_iter()
            .find(|profile| profile.to_string() == name)
            .ok_or_else(|| format!("no profile `{name}`: there are {}", all.join(", ")))
    }
}
