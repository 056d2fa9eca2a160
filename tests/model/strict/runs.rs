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
const EXTENDS: Role = Role { extends: 1, ..CALL };
const HEALS: Role = Role { extends: 1, heals: true, ..CALL };
const AFTER: Role = Role { after: Some(1), ..CALL };

const RUN: Run = Run {
    name: "",
    nodes: 3,
    roles: &[CALL, CALL],
    ttl: 2,
    grace: 0,
    ticks: 3,
    faults: &[],
    touches: true,
    greets: true,
    top: 0,
    forgets: 0,
    begun: false,
    must_see: &[],
    least: 0,
    cap: 400_000_000,
};

/// Those of `make test-model`: all of them are exhausted.
pub const SMALL: &[Run] = &[
    Run {
        name: "restarts empty",
        faults: &[RestartsEmpty],
        must_see: &[Quarantined, WonAfterQuarantine],
        ..RUN
    },
    Run {
        name: "flushes",
        faults: &[Flushes],
        must_see: &[Quarantined, WonAfterQuarantine],
        ..RUN
    },
    Run {
        name: "restarts stale",
        faults: &[RestartsStale],
        must_see: &[Quarantined, WonAfterQuarantine],
        ..RUN
    },
    Run { name: "replicates", faults: &[Replicates], must_see: &[Quarantined], ..RUN },
    Run { name: "evicts", faults: &[EvictsEpoch], must_see: &[Quarantined], ..RUN },
    Run { name: "heals", roles: &[HEALS, CALL], faults: &[Flushes], begun: true, ..RUN },
    Run { name: "grace", ttl: 1, grace: 1, must_see: &[], ..RUN },
    Run { name: "grace, flushes", ttl: 1, grace: 1, faults: &[Flushes], ..RUN },
    Run { name: "fenced", top: 2, faults: &[EvictsBoth, Flushes], ..RUN },
    Run {
        name: "fenced, four nodes",
        nodes: 4,
        top: 2,
        ttl: 1,
        ticks: 1,
        forgets: 1,
        faults: &[Flushes],
        ..RUN
    },
];

/// Those that `make model` plays besides.
pub const LARGE: &[Run] = &[];

impl Run {
    /// The ways to rename claims of one role.
    pub fn alike(&self) -> Vec<[usize; CLAIMS]> {
        let role = |claim: usize| self.roles.get(claim);
        if self.begun || self.roles.iter().any(|role| role.after.is_some()) {
            return Vec::new();
        }
        let orders = [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]];
        let same = |order: &[usize; CLAIMS]| (0..CLAIMS).all(|i| role(i) == role(order[i]));
        orders.into_iter().filter(same).collect()
    }

    /// Numbers must rise where so few nodes forget that two quorums share one that has not.
    pub fn keeps_order(&self) -> bool {
        self.top > 0 && self.forgets <= 2 * QUORUM[self.nodes] - self.nodes - 1
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
