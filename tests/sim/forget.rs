//! Plans of strict nodes, which forget, and of graces, within which nodes' clocks are set forward.
//! It says what goes wrong there and which settings clients have; what must hold then is said in
//! `quarantine.rs` and in the oracle. What safety.md lists as not covered is never drawn.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::{Builder, Redlock, sim};

use crate::{
    draw::{chance, pick},
    plan::{Deposed, Fault, MS, Memory, Plan, Planned},
    profile::Profile,
};

/// The longest ttl of clients whose nodes are not strict: longer than any that is drawn, and much
/// shorter than the default.
const LONGEST_TTL: Duration = Duration::from_secs(60);

/// How nodes are strict.
#[derive(Clone, Copy, Debug)]
pub struct Strict {
    /// Whether somebody has said of the nodes that they are new.
    pub bootstrapped: bool,
    /// Out of 1000: right when a lock was extended, all nodes are flushed, and the holder goes on
    /// to its deadline.
    pub flushed: u32,
    /// How far all nodes' clocks are set forward after that, once, in milliseconds.
    pub stepped: u64,
}

/// What nodes keep locks' keys for beyond their ttl.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    pub span: Duration,
    /// Whether each call asks for it, and not the client for all of its locks.
    pub by_call: bool,
    /// Whether nodes' clocks are set forward by more, so that two may hold.
    pub exceeded: bool,
}

/// How nodes forget, in one wave.
#[derive(Clone, Copy)]
enum Way {
    Restart(Memory),
    Flush,
    Swap,
    Evict,
    Follow,
    FailOver,
}

const WAYS: [Way; 10] = [
    Way::Restart(Memory::Gone),
    Way::Restart(Memory::Stale),
    Way::Restart(Memory::Stale),
    Way::Restart(Memory::Kept),
    Way::Flush,
    Way::Flush,
    Way::Swap,
    Way::Evict,
    Way::Follow,
    Way::FailOver,
];

impl Plan {
    /// Draws how nodes forget and by how much their clocks are set, where the run is about that. It
    /// has a chance of its own, so that all else is as it would be without.
    pub fn forget(&mut self) {
        let mut rng = SmallRng::seed_from_u64(self.seed ^ 0x6570_6f63_6873);
        if self.profile == Profile::Strict {
            self.forget_in_waves(&mut rng);
        } else if self.profile == Profile::Grace {
            self.step_within_grace(&mut rng);
        } else {
            return;
        }
        // The usual faults were drawn before it was known for how long a key lives.
        let mut faults = std::mem::take(&mut self.faults);
        faults.iter_mut().for_each(|planned| self.stay_away(planned));
        faults.sort_by_key(|planned| planned.at);
        self.faults = faults;
    }

    fn forget_in_waves(&mut self, rng: &mut SmallRng) {
        let is_short = self.habits.ttl <= Duration::from_secs(1);
        let flushed = if is_short { *pick(rng, &[0, 0, 300]) } else { 0 };
        let mut strict = Strict { bootstrapped: chance(rng, 900), flushed, stepped: 0 };
        if chance(rng, 400) {
            let span = Duration::from_millis(*pick(rng, &[50, 200, 500]));
            self.grace = Some(Grace { span, by_call: false, exceeded: false });
            // A step is a key forgotten, but within the grace.
            let millis = span.as_millis() as u64;
            match flushed {
                0 => self.step_forward(rng, millis),
                _ => strict.stepped = millis,
            }
        }
        self.strict = Some(strict);
        let horizon = self.horizon();
        for _ in 0..rng.random_range(1..=3) {
            let (at, way) = (rng.random_range(0..horizon), *pick(rng, &WAYS));
            let apart = *pick(rng, &[1, MS, 50 * MS, horizon / 4]);
            self.forget_at(rng, at, way, apart);
        }
        if chance(rng, 150) {
            let node = rng.random_range(0..self.nodes.len());
            let fault = Fault::Step { node, millis: *pick(rng, &[-500, -40_000]) };
            self.faults.push(Planned { at: rng.random_range(0..horizon), lasts: 0, fault });
        }
    }

    /// Some nodes forget, a quorum of them as a rule, each up to so long after the one before.
    fn forget_at(&mut self, rng: &mut SmallRng, mut at: u64, way: Way, apart: u64) {
        let all = self.nodes.len();
        let many = *pick(rng, &[1, self.quorum(), self.quorum(), all, all]);
        let first = rng.random_range(0..all);
        for node in (first..first + many).map(|place| place % all) {
            at += rng.random_range(0..=apart);
            let lasts = *pick(rng, &[1, 20 * MS, 300 * MS]);
            let other = (node + rng.random_range(1..=all)) % all;
            let (fault, lasts) = match way {
                Way::Restart(memory) => {
                    (Fault::Crash { node, memory, silent: chance(rng, 100) }, lasts)
                }
                Way::Follow if other != node => (Fault::Follow { node, of: other }, 0),
                Way::Flush | Way::Follow => (Fault::Flush { node }, 0),
                Way::Swap => (Fault::Swap { node }, 0),
                Way::Evict => (Fault::Evict { node }, 0),
                Way::FailOver => {
                    let deposed = *pick(rng, &[Deposed::Stays, Deposed::HangsUp]);
                    (Fault::Failover { node, deposed, lags: true }, lasts)
                }
            };
            self.faults.push(Planned { at, lasts, fault });
        }
    }

    fn step_within_grace(&mut self, rng: &mut SmallRng) {
        // The drift of a grace is taken off the ttl, of which something must be left.
        let is_long = self.habits.ttl >= Duration::from_secs(1);
        let longest = if is_long { 20_000 } else { 1_000 };
        let span = Duration::from_millis(*pick(rng, &[50, 200, longest, longest]));
        let by_call = self.habits.hand_over == 0 && chance(rng, 500);
        let exceeded = chance(rng, 200);
        self.grace = Some(Grace { span, by_call, exceeded });
        let millis = span.as_millis() as u64;
        match exceeded {
            true => self.step_forward(rng, 2 * millis + self.habits.ttl.as_millis() as u64),
            false => self.step_forward(rng, millis),
        }
    }

    /// Most nodes' clocks are set forward, each by so many milliseconds in sum at most.
    fn step_forward(&mut self, rng: &mut SmallRng, millis: u64) {
        let (horizon, together) = (self.horizon(), chance(rng, 500));
        let common = rng.random_range(0..horizon);
        for node in 0..self.nodes.len() {
            if chance(rng, 100) {
                continue;
            }
            let steps = if together { 1 } else { rng.random_range(1..=3) };
            for _ in 0..steps {
                let at = if together { common } else { rng.random_range(0..horizon) };
                let fault = Fault::Step { node, millis: (millis / steps) as i64 };
                self.faults.push(Planned { at, lasts: 0, fault });
            }
        }
    }

    /// In how long a node begins to forget, or fails over, as is planned next after `now`.
    pub fn next_to_forget(&self, now: u64) -> Option<Duration> {
        let forgets = |planned: &&Planned| {
            matches!(
                planned.fault,
                Fault::Crash { .. } | Fault::Flush { .. } | Fault::Failover { .. }
            )
        };
        let next = self.faults.iter().filter(forgets).find(|planned| planned.at >= now)?;
        Some(Duration::from_nanos(next.at - now))
    }

    /// Within this time users live, and nodes forget.
    fn horizon(&self) -> u64 {
        (3 * self.habits.ttl.as_nanos() as u64).clamp(400 * MS, 3_000 * MS)
    }

    /// What nodes keep locks' keys for beyond their ttl.
    pub fn grace_span(&self) -> Duration {
        self.grace.map_or(Duration::ZERO, |grace| grace.span)
    }

    /// The grace that each call asks for, if they do so.
    pub fn grace_by_call(&self) -> Option<Duration> {
        self.grace.filter(|grace| grace.by_call).map(|grace| grace.span)
    }

    /// The longest that any key lives, and so the length of a quarantine.
    pub fn longest_life(&self) -> Duration {
        self.habits.ttl.mul_f64(self.longest_extension()) + self.grace_span()
    }

    /// A client's settings that are about how long locks live.
    pub fn keep_locks(&self, builder: Builder) -> Builder {
        // How long a client looks after an adopted lock depends on the longest ttl.
        let builder = match self.strict {
            None => builder.max_ttl(LONGEST_TTL),
            // The default ttl may be longer than the longest of these.
            Some(_) => builder.strict(self.longest_life()).ttl(self.habits.ttl),
        };
        match self.grace {
            Some(Grace { span, by_call: false, .. }) => builder.grace(span),
            _ => builder,
        }
    }

    /// The epoch of a node that has never forgotten anything, as the process `run_id`.
    pub fn epoch(&self, run_id: &str) -> Option<String> {
        self.strict.filter(|strict| strict.bootstrapped)?;
        let nodes = (0..self.nodes.len()).map(|node| format!("redis://n{node}"));
        sim::epoch(self.keep_locks(Redlock::builder().nodes(nodes)), run_id)
    }

    /// Whether all that happens is within what docs/safety.md assumes. If not, what depends on
    /// that is counted and is no violation.
    pub fn within_assumptions(&self) -> bool {
        let is_exceeded = self.grace.is_some_and(|grace| grace.exceeded);
        self.profile.within_assumptions() && !is_exceeded
    }

    /// Whether no two clients may hold: where nodes are strict, that is so though they forget.
    pub fn excludes(&self) -> bool {
        self.within_assumptions() || self.strict.is_some()
    }
}
