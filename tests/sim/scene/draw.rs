//! Draws the directions of a scene. It has a source of chance of its own, so that
//! no other run depends on what is drawn here.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    Scene,
    rush::{Round, Rush},
    watch::{COME, End, HOLDER, UNTIL_QUIET, Watch},
};
use crate::{
    draw::{chance, pick},
    plan::{Fault, MS, Memory, Plan, Planned, Refusal, SECOND},
    profile::Profile,
};

/// When the first round of a rush begins, and how long each may take.
const FIRST_ROUND: u64 = 3 * SECOND / 2;
const ROUND: u64 = 2 * SECOND;

/// For so long after a fault a client may be without a connection to a node: the
/// pause before it connects is up to 0.5 s.
const RECONNECTED: u64 = SECOND;

/// The slower level plays no fault that is as long. Connections of those who only
/// listen do not break there, so they would not know that they are deaf.
const NOT_AT_LEVEL_B: u64 = 10 * SECOND;

/// Why those who wait do not hear of a release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deaf {
    Not,
    /// Their connections break.
    Broken,
    /// Their connections break, and they may not listen on the next ones.
    Mute,
    /// Nodes go down for a moment.
    Crashed,
}

impl Plan {
    /// Draws the directions, if the plan is one of a scene.
    pub fn direct(&mut self) {
        let mut rng = SmallRng::seed_from_u64(self.seed ^ 0x0073_6365_6e65);
        let scene = if self.profile == Profile::Rush {
            Scene::Rush(self.direct_rush(&mut rng))
        } else if self.profile == Profile::Watch {
            Scene::Watch(self.direct_watch(&mut rng))
        } else if self.profile == Profile::Failover {
            Scene::Failover(self.direct_failover(&mut rng))
        } else {
            return;
        };
        self.slow_anyway = false;
        if chance(&mut rng, 500) {
            for (client, letter) in self.clients.iter_mut().zip('a'..='z') {
                client.alias = Some(letter);
            }
        }
        self.scene = Some(scene);
    }

    fn direct_rush(&mut self, rng: &mut SmallRng) -> Rush {
        for client in &mut self.clients {
            let timeout = pick(rng, &[None, Some(100), Some(250)]);
            client.node_timeout = timeout.map(Duration::from_millis);
        }
        let trip = 2 * self.latency.1;
        let rounds: Vec<_> = (0..rng.random_range(2..=3))
            .map(|number| Round {
                at: FIRST_ROUND + number * ROUND,
                spread: *pick(rng, &[0, 0, trip / 2, trip]),
                some_wait: chance(rng, 250),
                holds: Duration::from_millis(rng.random_range(0..50)),
            })
            .collect();
        let spare = self.nodes.len() - self.quorum();
        if chance(rng, 500) && spare > 0 {
            let node = rng.random_range(0..self.nodes.len());
            let crash = |silent| Fault::Crash { node, memory: Memory::Kept, silent };
            let fault = *pick(rng, &[Fault::Hang { node }, crash(false), crash(true)]);
            let lasts = FIRST_ROUND + rounds.len() as u64 * ROUND;
            self.faults = vec![Planned { at: 0, lasts, fault }];
        }
        Rush { rounds }
    }

    fn direct_watch(&mut self, rng: &mut SmallRng) -> Watch {
        for client in &mut self.clients {
            client.node_timeout = pick(rng, &[None, Some(250)]).map(Duration::from_millis);
        }
        self.clients[HOLDER].users = 1;
        let foreign = match chance(rng, 500) {
            true => {
                let all = self.nodes.len();
                let some = if chance(rng, 250) { self.quorum() } else { all };
                let first = rng.random_range(0..all);
                (0..some).map(|place| (first + place) % all).collect()
            }
            false => Vec::new(),
        };
        let end = if chance(rng, 250) { End::Expire } else { End::Release };
        let ends = rng.random_range(8 * SECOND..16 * SECOND);
        let ttl = if end == End::Expire { ends } else { 30 * SECOND };
        self.habits.ttl = Duration::from_millis(ttl / MS);
        let is_own = foreign.is_empty() && end == End::Release;
        let renews = is_own && chance(rng, 500);
        let mut watch = Watch {
            foreign,
            renews,
            end,
            ends,
            quiet: Vec::new(),
            polled: None,
            then_holds: None,
            well_from: 0,
        };
        let came = 2 * COME;
        if watch.foreign.is_empty() {
            watch.quiet = vec![(came + UNTIL_QUIET, ends - SECOND / 2)];
        }
        if watch.foreign.len() == self.nodes.len() {
            watch.polled = Some((came + UNTIL_QUIET, ends - SECOND / 2));
        }
        if is_own {
            self.deafen(&mut watch, rng);
        }
        let mute = self.faults.iter().any(|fault| matches!(fault.fault, Fault::Refuse { .. }));
        if !mute && chance(rng, 300) {
            // All ttls are longer.
            watch.then_holds = Some(Duration::from_secs(6));
        }
        watch
    }

    /// Those who wait may be deaf when the lock is released, or were so before.
    fn deafen(&mut self, watch: &mut Watch, rng: &mut SmallRng) {
        use Deaf as D;
        let deaf = *pick(rng, &[D::Not, D::Not, D::Broken, D::Mute, D::Crashed]);
        // Too few nodes are left that could tell of a release.
        let enough = self.nodes.len() - self.quorum() + 1;
        let nodes = *pick(rng, &[enough, self.nodes.len()]);
        let first = rng.random_range(0..self.nodes.len());
        let long_ago = deaf != D::Mute && chance(rng, 300);
        let before = *pick(rng, &[MS, 30 * MS, 100 * MS, 300 * MS, SECOND]);
        let at = watch.ends - if long_ago { 5 * SECOND } else { rng.random_range(0..=before) };
        let down = rng.random_range(20 * MS..300 * MS);
        for node in (first..first + nodes).map(|node| node % self.nodes.len()) {
            let break_off = |client| Fault::Break { client, node, late: 20 * MS };
            let broken = (HOLDER + 1..self.clients.len()).map(break_off);
            let broken = broken.map(|fault| Planned { at, lasts: MS, fault });
            match deaf {
                D::Not => return,
                D::Broken => self.faults.extend(broken),
                D::Mute => {
                    let fault = Fault::Refuse { node, how: Refusal::NoPubSub, per_mille: 1000 };
                    self.faults.push(Planned { at, lasts: NOT_AT_LEVEL_B, fault });
                    self.faults.extend(broken);
                }
                D::Crashed => {
                    let fault = Fault::Crash { node, memory: Memory::Kept, silent: false };
                    self.faults.push(Planned { at, lasts: down, fault });
                }
            }
        }
        let well_again = if deaf == D::Crashed { at + down } else { at };
        watch.well_from = well_again + RECONNECTED;
        let before = watch.quiet.first().map_or(0, |(from, _)| *from);
        watch.quiet = vec![(before, at), (watch.well_from + UNTIL_QUIET, watch.ends)];
        watch.quiet.retain(|(from, until)| from < until);
    }
}
