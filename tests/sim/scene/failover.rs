//! The scene of failovers: nodes become other servers while all clients ask for one key again
//! and again. What the old servers answer, and how logins end meanwhile, is drawn; once all is
//! over, somebody must get the lock soon.

use std::time::Duration;

use rand::{RngExt as _, rngs::SmallRng};

use crate::{
    draw::{chance, pick},
    plan::{Deposed, Fault, MS, Plan, Planned, Refusal, SECOND},
    stage::Truth,
    users::User,
    violation::Check,
};

const KEY: &[u8] = b"f";

/// When the first node fails over, at the earliest: all clients are connected then.
const FIRST: u64 = SECOND / 2;

/// When all is well, somebody gets the lock within this: a client that was told the last wrong
/// thing pauses for up to 0.5 s before it connects, and a release that was lost with a
/// connection is sent again by then.
const SPAN: u64 = 2 * SECOND;

/// No hold, wait or thought of a user is longer than this.
const LONGEST: Duration = Duration::from_millis(300);

/// What happens in the scene, beside the faults of the plan.
#[derive(Clone, Debug)]
pub struct Failover {
    /// When the names lead to the nodes, and no login is cut any more.
    pub well_from: u64,
    /// Out of 1000: a user thinks for so long that its connections are idle meanwhile.
    pub idles: u32,
}

impl Plan {
    pub(super) fn direct_failover(&mut self, rng: &mut SmallRng) -> Failover {
        for client in &mut self.clients {
            client.node_timeout = pick(rng, &[None, Some(250)]).map(Duration::from_millis);
        }
        let all = self.nodes.len();
        let moved = if chance(rng, 600) { all } else { rng.random_range(1..=all) };
        let first = rng.random_range(0..all);
        let spread = *pick(rng, &[0, 30 * MS, SECOND]);
        let times = *pick(rng, &[1, 1, 2]);
        for node in (first..first + moved).map(|place| place % all) {
            // Some old servers write, and so logins must greet them to know.
            let deposed = *pick(rng, &[Deposed::Stays, Deposed::HangsUp, Deposed::Writes]);
            let is_cut = deposed != Deposed::Writes && chance(rng, 500);
            for number in 0..times {
                let at = FIRST + number * 5 * SECOND / 2 + rng.random_range(0..=spread);
                let lasts = *pick(rng, &[1, 20 * MS, 300 * MS, SECOND]);
                let fault = Fault::Failover { node, deposed, lags: false };
                self.faults.push(Planned { at, lasts, fault });
                if is_cut {
                    let fault = Fault::CutLogin { node, per_mille: *pick(rng, &[500, 1000]) };
                    let lasts = rng.random_range(100 * MS..3 * SECOND / 2);
                    self.faults.push(Planned { at, lasts, fault });
                }
            }
        }
        let over = self.faults.iter().map(|planned| planned.at + planned.lasts);
        let well_from = over.max().unwrap_or_default();
        if chance(rng, 250) {
            self.put_proxies(well_from + SPAN);
        }
        self.faults.sort_by_key(|planned| planned.at);
        Failover { well_from, idles: *pick(rng, &[0, 300]) }
    }

    /// All nodes where no old server writes are behind proxies that hang up when they are
    /// greeted, until the scene is over: locks must be had through these, too.
    fn put_proxies(&mut self, until: u64) {
        let writes = |planned: &Planned| match planned.fault.deposed() {
            Some((node, Deposed::Writes)) => Some(node),
            Some((_, Deposed::Stays | Deposed::HangsUp)) | None => None,
        };
        let writing: Vec<_> = self.faults.iter().filter_map(writes).collect();
        for node in (0..self.nodes.len()).filter(|node| !writing.contains(node)) {
            let fault = Fault::Refuse { node, how: Refusal::Greeting, per_mille: 1000 };
            self.faults.push(Planned { at: 0, lasts: until, fault });
        }
    }
}

impl User {
    /// Asks for the lock again and again, until this user has it after all, or somebody should
    /// have had it for sure.
    pub(super) async fn live_on(mut self, failover: Failover) {
        let until = failover.well_from + SPAN + self.stage.truth().tick_nanos();
        while self.stage.truth().now < until {
            let wait = *pick(&mut self.rng, &[Duration::ZERO, LONGEST / 6, LONGEST]);
            let lock = self.redlock.lock(KEY);
            let lock = if chance(&mut self.rng, 300) { lock.renew() } else { lock };
            if let Some(holding) = self.ask(lock, KEY, Some(wait)).await {
                let is_over = self.stage.truth().note_regained(&failover);
                let share = *pick(&mut self.rng, &[0.0, 0.1, 1.0]);
                self.world.sleep(LONGEST.mul_f64(share)).await;
                self.release(holding).await;
                if is_over {
                    break;
                }
            }
            let share = if chance(&mut self.rng, failover.idles) { 1.0 } else { 0.3 };
            let thought = LONGEST.mul_f64(share * self.rng.random_range(0.1..1.0));
            self.world.sleep(thought).await;
        }
        if self.stage.truth().now >= until {
            self.stage.truth().check_regained();
        }
    }
}

impl Truth {
    /// Somebody has got the lock. Returns whether that was after all failovers.
    fn note_regained(&mut self, failover: &Failover) -> bool {
        let is_over = self.now >= failover.well_from;
        self.progress.regained += u64::from(is_over && self.now <= failover.well_from + SPAN);
        is_over
    }

    fn check_regained(&mut self) {
        if self.progress.regained == 0 {
            let what = "all failovers were over, and nobody got the lock in time".to_owned();
            self.violate(Check::NotRegained, what);
        }
    }
}
