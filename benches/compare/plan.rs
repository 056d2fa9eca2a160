//! How much is done, and the order in which it is.

use std::time::Duration;

use redlock_quorum_benches::contenders::Kind;

/// Odd numbers of rounds have a median.
pub struct Plan {
    pub rounds: usize,
    pub nodes: &'static [usize],
    /// Pairs of one task in a round: enough for a p999 to be one.
    pub pairs: usize,
    pub tasks: &'static [usize],
    /// How long tasks take new locks in a round.
    pub span: Duration,
    pub fault_pairs: usize,
    /// For those whom a hung node costs a second a pair.
    pub fault_pairs_slow: usize,
    /// Locks that are held for their memory.
    pub locks: usize,
    /// Locks that are held while others are taken.
    pub held: &'static [usize],
    pub held_pairs: usize,
    /// Turns that plain and fenced locks take in a round, and pairs of one task in a turn.
    pub fenced: (usize, usize),
    /// Microseconds added to a round trip, and pairs of one task in a round.
    pub distances: &'static [(usize, usize)],
}

pub const FULL: Plan = Plan {
    rounds: 3,
    nodes: &[1, 3, 5],
    pairs: 3000,
    tasks: &[1, 16, 64, 256, 1024],
    span: Duration::from_millis(700),
    fault_pairs: 1000,
    fault_pairs_slow: 2,
    locks: 100_000,
    held: &[0, 10_000, 100_000],
    held_pairs: 1000,
    fenced: (10, 300),
    distances: &[(200, 1000), (1000, 400), (5000, 100)],
};

/// Only shows that it runs, and that nothing of ours is left.
pub const TRIAL: Plan = Plan {
    rounds: 1,
    nodes: &[1, 3, 5],
    pairs: 20,
    tasks: &[1, 64],
    span: Duration::from_millis(20),
    fault_pairs: 20,
    fault_pairs_slow: 1,
    locks: 1000,
    held: &[0, 200],
    held_pairs: 20,
    fenced: (2, 20),
    distances: &[(1000, 5)],
};

/// Whose turn it is in `round`: each goes first equally often.
pub fn turns(kinds: &[Kind], round: usize) -> impl Iterator<Item = Kind> {
    let count = kinds.len();
    (0..count).map(move |turn| kinds[(turn + round) % count])
}
