//! The runs: who takes part, what each may do, and how many states that makes at least.

use crate::{
    check::{self, Plan, Played},
    model::Fencing,
    rules::Rules,
    seen::Event::{self, *},
    world::CLAIMS,
};

/// To whom a lock is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    Fenced,
    Plain,
}

/// What a claim may do, how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// It begins as a plain client's.
    pub plain: bool,
    /// Rounds with a higher number, after the first.
    pub rounds: u8,
    pub insists: u8,
    pub renewals: u8,
    pub heals: u8,
    pub heirs: &'static [Heir],
    /// It begins when this claim is over, as the next call of the same process.
    pub after: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// Numbers go from 1 to this.
    pub top: u8,
    /// So many lock keys end by themselves. Without, no two may hold the lock at once.
    pub expiries: u8,
    /// The fences that earlier calls have left behind.
    pub left: [u8; 3],
    /// The first claim has the lock already.
    pub begun: bool,
    /// What it must have come across.
    pub must_see: &'static [Event],
    /// So many states there are at least: less, and the model has gone blind.
    pub least: usize,
    /// It stops after so many transitions, which bounds its memory, and says so.
    pub cap: usize,
}

const CALL: Role =
    Role { plain: false, rounds: 0, insists: 0, renewals: 0, heals: 0, heirs: &[], after: None };
const AGAIN: Role = Role { rounds: 1, ..CALL };
const INSISTS: Role = Role { rounds: 1, insists: 1, ..CALL };
const HEALS: Role = Role { heals: 1, ..CALL };
const HANDS_ON: Role = Role { rounds: 1, heirs: &[Heir::Fenced], ..CALL };
const KEEPS: Role = Role { renewals: 1, heals: 1, heirs: &[Heir::Fenced], ..CALL };
const PLAIN: Role = Role { plain: true, ..CALL };
const PLAIN_TO_FENCED: Role = Role { plain: true, heirs: &[Heir::Fenced], ..CALL };
const THERE_AND_BACK: Role = Role { heals: 1, heirs: &[Heir::Plain, Heir::Fenced], ..CALL };

const HANDS_ON_TWICE: Role = Role { heirs: &[Heir::Fenced, Heir::Fenced], ..HANDS_ON };
const PLAIN_HEALS: Role = Role { heals: 1, ..PLAIN_TO_FENCED };
const AFTER: Role = Role { after: Some(1), ..CALL };

const RUN: Run = Run {
    name: "",
    roles: &[],
    top: 3,
    expiries: 1,
    left: [0; 3],
    begun: false,
    must_see: &[],
    least: 0,
    cap: 400_000_000,
};

/// Those of `make test-model`: all of them are exhausted.
pub const SMALL: &[Run] = &[
    Run {
        name: "stale",
        roles: &[AGAIN, AGAIN],
        top: 4,
        left: [2, 0, 0],
        must_see: &[WonAnew, Buried],
        least: 370_000,
        ..RUN
    },
    Run {
        name: "insist",
        roles: &[INSISTS, INSISTS],
        top: 4,
        must_see: &[Insisted, WonAnew],
        least: 360_000,
        ..RUN
    },
    Run {
        name: "hand-over",
        roles: &[HANDS_ON, HANDS_ON],
        must_see: &[HandedOn, WonAnew],
        least: 680_000,
        ..RUN
    },
    Run {
        name: "healing",
        roles: &[HEALS, CALL],
        must_see: &[Healed, CameTooLate],
        least: 300_000,
        ..RUN
    },
    Run {
        name: "keeping",
        roles: &[KEEPS, CALL],
        top: 2,
        must_see: &[HandedOn, Healed, RaisedByRenewal],
        least: 470_000,
        ..RUN
    },
    Run {
        name: "healing, three calls",
        roles: &[HEALS, CALL, CALL],
        top: 2,
        begun: true,
        must_see: &[Healed, CameTooLate],
        least: 3_000_000,
        ..RUN
    },
    Run {
        name: "healing, one call after another",
        roles: &[HEALS, CALL, AFTER],
        top: 2,
        begun: true,
        must_see: &[Healed, CameTooLate],
        least: 46_000,
        ..RUN
    },
    Run {
        name: "hand-over beside healing",
        roles: &[HANDS_ON, HEALS, AFTER],
        begun: true,
        must_see: &[HandedOn, Healed],
        least: 830_000,
        ..RUN
    },
    Run {
        name: "plain beside",
        roles: &[AGAIN, PLAIN, CALL],
        top: 2,
        begun: true,
        must_see: &[PlainWon],
        least: 340_000,
        ..RUN
    },
    Run {
        name: "plain between",
        roles: &[AGAIN, PLAIN, AFTER],
        top: 2,
        must_see: &[PlainWon, WonAnew],
        least: 98_000,
        ..RUN
    },
    Run {
        name: "plain to fenced",
        roles: &[PLAIN_TO_FENCED, AGAIN],
        must_see: &[PlainWon, HandedOn],
        least: 630_000,
        ..RUN
    },
    Run {
        name: "there and back",
        roles: &[THERE_AND_BACK],
        must_see: &[HandedToPlain, HandedOn, Healed],
        least: 8_000,
        ..RUN
    },
    Run {
        name: "one holder",
        roles: &[HANDS_ON, HANDS_ON],
        expiries: 0,
        must_see: &[HandedOn, WonAnew],
        least: 140_000,
        ..RUN
    },
    Run {
        name: "one holder, three calls",
        roles: &[CALL, CALL, CALL],
        top: 2,
        expiries: 0,
        must_see: &[Buried],
        least: 1_000_000,
        ..RUN
    },
    Run {
        name: "one holder, plain",
        roles: &[PLAIN_TO_FENCED, PLAIN],
        expiries: 0,
        must_see: &[PlainWon, HandedOn],
        least: 36_000,
        ..RUN
    },
];

/// Those that `make model` plays besides.
pub const LARGE: &[Run] = &[
    Run {
        name: "two hand-overs",
        roles: &[HANDS_ON_TWICE, HANDS_ON],
        top: 4,
        must_see: &[HandedOn, WonAnew],
        least: 9_140_000,
        ..RUN
    },
    Run {
        name: "keeping beside a call",
        roles: &[KEEPS, CALL],
        must_see: &[HandedOn, Healed, RaisedByRenewal],
        least: 4_360_000,
        ..RUN
    },
    Run {
        name: "keeping, four numbers",
        roles: &[KEEPS, AGAIN],
        top: 4,
        begun: true,
        must_see: &[HandedOn, Healed, WonAnew],
        least: 3_700_000,
        ..RUN
    },
    Run {
        name: "there and back beside a call",
        roles: &[THERE_AND_BACK, CALL],
        must_see: &[HandedToPlain, HandedOn, Healed],
        least: 4_510_000,
        ..RUN
    },
    Run {
        name: "plain heals, then fenced",
        roles: &[PLAIN_HEALS, AGAIN],
        must_see: &[PlainWon, HandedOn, Healed],
        least: 4_530_000,
        ..RUN
    },
    Run {
        name: "hand-over, two expiries",
        roles: &[HANDS_ON, HANDS_ON],
        top: 4,
        expiries: 2,
        must_see: &[HandedOn, WonAnew],
        least: 5_780_000,
        ..RUN
    },
    Run {
        name: "healing, three calls, three numbers",
        roles: &[HEALS, CALL, CALL],
        begun: true,
        must_see: &[Healed, CameTooLate],
        least: 15_800_000,
        ..RUN
    },
    Run {
        name: "there and back, insisting",
        roles: &[THERE_AND_BACK, INSISTS],
        top: 4,
        begun: true,
        must_see: &[HandedToPlain, HandedOn, Healed, WonAnew],
        least: 6_800_000,
        ..RUN
    },
    Run {
        name: "all of it",
        roles: &[KEEPS, INSISTS, PLAIN_TO_FENCED],
        must_see: &[HandedOn, Healed, PlainWon],
        cap: 40_000_000,
        least: 7_000_000,
        ..RUN
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

    pub fn named(name: &str) -> Option<Self> {
        SMALL.iter().chain(LARGE).find(|run| run.name == name).copied()
    }
}

impl Plan for Run {
    fn name(&self) -> &'static str {
        self.name
    }

    fn play(&self, threads: usize) -> Played {
        check::play(Fencing::new(*self, Rules(None)), threads)
    }
}
