//! All that follows from a profile for the plan of a run, as traits. `draw` draws plans by these
//! alone.

use std::ops::RangeInclusive;

use super::{Family, Profile};
use crate::plan::MS;

/// All families that are within the assumptions.
const ALL_WITHIN: [Family; 6] =
    [Family::Links, Family::Cuts, Family::Nodes, Family::Errors, Family::Pauses, Family::Drops];

/// What follows from a profile. Where there are several values, the seed decides.
pub struct Traits {
    /// Whether all that happens is within what docs/safety.md assumes. If not,
    /// two holders are counted and are no violation.
    pub within_assumptions: bool,
    /// Whether every clock runs at a rate of its own.
    pub drifts: bool,
    /// Whether all users want the same key.
    pub one_key: bool,
    pub clients: RangeInclusive<usize>,
    /// How many users each client has.
    pub users: RangeInclusive<usize>,
    /// How long a message takes one way, in nanoseconds: at least, at most.
    pub latency: [(u64, u64); 2],
    /// Whether a client may say that a node failed though none did, since it asks
    /// for more at once than a node answers in time.
    pub slow_anyway: bool,
    /// In milliseconds. Long ttls show keys that are left behind, short ones show
    /// locks that are held too long.
    pub ttl: &'static [u64],
    /// How many locks each user asks for.
    pub locks: RangeInclusive<usize>,
    /// How long a user thinks before each lock at most, in milliseconds.
    pub think: &'static [u64],
    /// Out of 1000: a call's future is dropped before the call is over.
    pub drop_call: &'static [u32],
    /// Out of 1000: a guard is dropped instead of released.
    pub drop_guard: u32,
    /// Out of 1000: a lock is left to its ttl.
    pub forget: u32,
    /// Out of 1000: a lock is handed to another client.
    pub hand_over: &'static [u32],
    /// Out of 1000: a lock is asked for with a fencing number.
    pub fenced: &'static [u32],
    /// How far wall clocks are from true time at most, in microseconds.
    pub walls: &'static [i64],
    /// Out of 1000: after a lock, the client is shut down.
    pub shutdown: u32,
    pub most_faults: usize,
    pub faults: &'static [Family],
}

impl Profile {
    /// All that follows from the profile.
    pub fn traits(self) -> Traits {
        let usual = Traits::usual();
        let trouble = Traits { most_faults: 5, ..Traits::usual() };
        match self {
            Self::Calm => Traits { hand_over: &[0, 100], shutdown: 60, ..usual },
            Self::Crowd => Traits { one_key: true, clients: 3..=5, ..usual },
            Self::Line => Traits {
                one_key: true,
                clients: 1..=3,
                users: 3..=9,
                drop_call: &[0, 100, 400],
                most_faults: 2,
                faults: &[Family::Links, Family::Nodes, Family::Errors],
                ..usual
            },
            Self::Burst => Traits {
                clients: 1..=1,
                users: 36..=48,
                slow_anyway: true,
                locks: 1..=1,
                think: &[0],
                ..usual
            },
            Self::Links => Traits {
                latency: [(MS / 10, MS / 2), (MS / 2, 5 * MS)],
                ttl: &[500, 3_000, 30_000, 30_000],
                faults: &[Family::Links],
                ..trouble
            },
            Self::Cuts => Traits { faults: &[Family::Cuts], ..trouble },
            Self::Nodes => Traits { faults: &[Family::Nodes], ..trouble },
            Self::Errors => Traits { faults: &[Family::Errors], ..trouble },
            Self::Clocks => Traits { drifts: true, ttl: &[60, 200, 500, 1_000, 3_000], ..usual },
            Self::Pauses => Traits {
                drifts: true,
                latency: [(MS / 10, MS / 2), (4 * MS / 5, 3 * MS / 2)],
                ttl: &[60, 200, 500, 1_000, 3_000],
                most_faults: 8,
                faults: &[Family::Pauses],
                ..usual
            },
            Self::Drops => Traits {
                ttl: &[500, 3_000, 30_000, 30_000],
                faults: &[Family::Drops],
                ..trouble.with_drops()
            },
            Self::Storm => Traits {
                drifts: true,
                latency: [(MS / 10, MS / 2), (MS / 2, 5 * MS)],
                most_faults: 8,
                faults: &ALL_WITHIN,
                ..trouble.with_drops()
            },
            Self::Amnesia => {
                Traits { within_assumptions: false, faults: &[Family::Amnesia], ..trouble }
            }
            Self::Steps => {
                Traits { within_assumptions: false, faults: &[Family::Steps], ..trouble }
            }
            Self::Moves => Traits {
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[500, 3_000, 30_000, 30_000],
                faults: &[
                    Family::Moves,
                    Family::Moves,
                    Family::Moves,
                    Family::Links,
                    Family::Nodes,
                    Family::Errors,
                ],
                ..trouble
            },
            Self::Failover => Traits {
                one_key: true,
                users: 1..=2,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[2_000, 5_000, 30_000],
                ..usual
            },
            Self::Numbers => Traits {
                one_key: true,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[60, 300, 1_000, 30_000],
                fenced: &[500, 900, 1_000],
                walls: &[10_000_000, 1_800_000_000],
                hand_over: &[0, 100],
                faults: &[Family::Links, Family::Nodes, Family::Pauses],
                ..trouble
            },
            Self::Strict => Traits {
                // Two holders are a violation all the same: see `Plan::excludes`.
                within_assumptions: false,
                drifts: true,
                one_key: true,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[100, 300, 1_000, 1_000, 30_000],
                locks: 2..=6,
                think: &[0, 30, 300],
                hand_over: &[0, 0, 100],
                most_faults: 2,
                faults: &[Family::Links, Family::Cuts, Family::Nodes, Family::Pauses],
                ..usual
            },
            Self::Grace => Traits {
                drifts: true,
                one_key: true,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[100, 300, 1_000, 3_000],
                locks: 2..=6,
                hand_over: &[0, 0, 100],
                most_faults: 2,
                faults: &[Family::Links, Family::Cuts, Family::Nodes, Family::Pauses],
                ..usual
            },
            Self::Rush => Traits {
                one_key: true,
                clients: 2..=6,
                users: 1..=1,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[2_000, 5_000, 30_000],
                ..usual
            },
            Self::Watch => Traits {
                one_key: true,
                users: 1..=3,
                latency: [(MS / 50, MS / 10), (MS / 2, 5 * MS / 2)],
                ttl: &[30_000],
                ..usual
            },
        }
    }
}

impl Traits {
    fn usual() -> Self {
        Self {
            within_assumptions: true,
            drifts: false,
            one_key: false,
            clients: 2..=4,
            users: 1..=2,
            latency: [(MS / 50, MS / 10), (MS / 10, MS / 2)],
            slow_anyway: false,
            ttl: &[60, 300, 1_000, 5_000, 30_000],
            locks: 1..=4,
            think: &[0, 3, 30],
            drop_call: &[0],
            drop_guard: 200,
            forget: 0,
            hand_over: &[0],
            fenced: &[0, 0, 500, 1_000],
            walls: &[0, 100_000, 10_000_000, 1_800_000_000],
            shutdown: 0,
            most_faults: 0,
            faults: &[],
        }
    }

    fn with_drops(self) -> Self {
        Self {
            drop_call: &[100, 400, 800],
            drop_guard: 500,
            forget: 50,
            hand_over: &[100],
            shutdown: 60,
            ..self
        }
    }
}
