//! The runs: who takes part, what each may do, how nodes forget, and how many states that
//! makes at least.

use super::{
    faults::Fault::{self, *},
    model::Strict,
    seen::Event::{self, *},
    world::CLAIMS,
};
use crate::check::{self, Plan, Played};

/// The quorum of so many nodes.
pub const QUORUM: [usize; 5] = [1, 1, 2, 2, 3];

/// What a claim may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// So often it extends its lock.
    pub extends: u8,
    /// It gives nodes back what an extension missed there.
    pub heals: bool,
    /// It begins when this claim is over, as the next attempt of the same client.
    pub after: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub name: &'static str,
    pub nodes: usize,
    pub roles: &'static [Role],
    pub ttl: u8,
    /// Keys live so much longer, and each clock may be set forward by so much in sum.
    pub grace: u8,
    pub ticks: u8,
    /// Any node may do these at any time, as often as it likes.
    pub faults: &'static [Fault],
    /// So often a node writes to its disk what it has. The disk has the beginning at first.
    pub saves: u8,
    /// A third client asks for other keys.
    pub touches: bool,
    /// A client learns a run id as it connects. Else it must be told by a node that it asks.
    pub greets: bool,
    /// Numbers go from 1 to this; 0: the locks are not fenced.
    pub top: u8,
    /// So many nodes may lose a fence that they have, one after another.
    pub forgets: usize,
    /// The first claim has the lock already.
    pub begun: bool,
    /// What it must have come across.
    pub must_see: &'static [Event],
    /// So many states there are at least: less, and the model has gone blind.
    pub least: usize,
    /// It stops after so many transitions, which bounds its memory, and says so.
    pub cap: usize,
}

const CALL: Role = Role { extends: 0, heals: false, after: None };
const HEALS: Role = Role { extends: 1, heals: true, ..CALL };
const HEALS_TWICE: Role = Role { extends: 2, ..HEALS };
const AFTER: Role = Role { after: Some(1), ..CALL };

const RUN: Run = Run {
    name: "",
    nodes: 3,
    roles: &[CALL, CALL],
    ttl: 2,
    grace: 0,
    ticks: 3,
    faults: &[],
    saves: 0,
    touches: true,
    greets: true,
    top: 0,
    forgets: 0,
    begun: false,
    must_see: &[Quarantined, WonAfterQuarantine],
    least: 0,
    cap: 100_000_000,
};
const GRACE: Run = Run { ttl: 1, grace: 1, ..RUN };
const HELD: Run = Run { roles: &[HEALS, CALL], begun: true, ..RUN };
const FENCED: Run = Run { top: 2, ..RUN };

/// Those of `make test-model`: all of them are exhausted.
pub const SMALL: &[Run] = &[
    Run { name: "restarts empty", faults: &[RestartsEmpty], least: 361_000, ..RUN },
    Run { name: "flushes", faults: &[Flushes], least: 436_000, ..RUN },
    Run {
        name: "restarts stale",
        faults: &[RestartsStale],
        saves: 1,
        ticks: 2,
        least: 1_920_000,
        ..RUN
    },
    Run { name: "replicates", faults: &[Replicates], ticks: 2, least: 1_810_000, ..RUN },
    Run { name: "evicts", faults: &[EvictsEpoch], least: 832_000, ..RUN },
    Run {
        name: "is told",
        greets: false,
        faults: &[RestartsEmpty],
        ttl: 1,
        ticks: 2,
        must_see: &[Quarantined, Learnt],
        least: 205_000,
        ..RUN
    },
    Run {
        name: "heals",
        faults: &[Flushes],
        must_see: &[Quarantined, Extended, HealedInQuarantine],
        least: 462_000,
        ..HELD
    },
    Run {
        name: "heals, restarts stale",
        faults: &[RestartsStale],
        ticks: 2,
        must_see: &[Quarantined, Extended, HealedInQuarantine],
        least: 543_000,
        ..HELD
    },
    Run { name: "grace", ttl: 2, must_see: &[SetForward], least: 97_000, ..GRACE },
    Run {
        name: "grace, flushes",
        faults: &[Flushes],
        must_see: &[Quarantined, WonAfterQuarantine],
        least: 1_390_000,
        ..GRACE
    },
    Run {
        name: "grace, heals",
        roles: &[HEALS, CALL],
        begun: true,
        faults: &[Flushes],
        ticks: 2,
        must_see: &[Quarantined, Extended, HealedInQuarantine],
        least: 548_000,
        ..GRACE
    },
    Run { name: "fenced", faults: &[EvictsBoth, Flushes], ticks: 2, least: 1_280_000, ..FENCED },
    Run {
        name: "fenced, forgets",
        faults: &[Flushes],
        forgets: 3,
        must_see: &[ForgotFence, WonAfterQuarantine],
        ticks: 2,
        least: 1_450_000,
        ..FENCED
    },
    Run {
        name: "fenced, four nodes",
        nodes: 4,
        ttl: 1,
        ticks: 1,
        forgets: 1,
        faults: &[Flushes],
        must_see: &[Quarantined, ForgotFence],
        least: 859_000,
        ..FENCED
    },
];

/// Those that `make model` plays besides.
pub const LARGE: &[Run] = &[
    Run {
        name: "restarts stale, three ticks",
        faults: &[RestartsStale],
        saves: 1,
        least: 4_270_000,
        ..RUN
    },
    Run { name: "replicates, three ticks", faults: &[Replicates], least: 3_680_000, ..RUN },
    Run {
        name: "is told, three ticks",
        greets: false,
        faults: &[RestartsEmpty, Flushes],
        must_see: &[Quarantined, Learnt],
        least: 9_000_000,
        ..RUN
    },
    Run {
        name: "one attempt after another",
        roles: &[CALL, CALL, AFTER],
        faults: &[Flushes],
        least: 9_320_000,
        ..RUN
    },
    Run {
        name: "heals twice",
        roles: &[HEALS_TWICE, CALL],
        faults: &[RestartsEmpty, RestartsStale, Flushes],
        ticks: 4,
        least: 7_000_000,
        ..HELD
    },
    Run {
        name: "two that heal",
        roles: &[HEALS, HEALS],
        faults: &[Flushes],
        least: 1_160_000,
        ..HELD
    },
];

impl Run {
    /// The ways to rename claims of one role.
    pub fn alike(&self) -> Vec<[usize; CLAIMS]> {
        let role = |claim: usize| self.roles.get(claim);
        if self.roles.iter().any(|role| role.after.is_some()) {
            return Vec::new();
        }
        let orders = [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]];
        let same = |order: &[usize; CLAIMS]| (0..CLAIMS).all(|i| role(i) == role(order[i]));
        orders.into_iter().filter(same).collect()
    }

    /// Numbers must rise where so few nodes forget that any two quorums share one that has not.
    pub fn keeps_order(&self) -> bool {
        self.top > 0 && self.nodes + self.forgets < 2 * QUORUM[self.nodes]
    }

    pub fn may_replicate(&self) -> bool {
        self.faults.contains(&Replicates)
    }

    pub fn named(name: &str) -> Option<Self> {
        SMALL.iter().chain(LARGE).find(|run| run.name == name).copied()
    }
}

impl Plan for Run {
    fn name(&self) -> &'static str {
        self.name
    }

    fn play(&self, threads: usize) -> Played {
        check::play(Strict::new(*self, None), threads)
    }
}
