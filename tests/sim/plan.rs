//! The plan of one run: its clients, nodes and users, and what goes wrong when.
//! `draw` draws plans from seeds.

use std::time::Duration;

use redlock_quorum::sim::Flavor;

pub use crate::fault::{Deposed, Fault, Memory, Refusal};
use crate::{
    forget::{Grace, Strict},
    profile::Profile,
    scene::Scene,
};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

/// A fault, when it begins, and how long it lasts, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: u64,
    pub lasts: u64,
    pub fault: Fault,
}

/// One client: a process of its own.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// By how many millionths its clock is fast.
    pub rate_ppm: i64,
    /// What its clock shows when the run begins, in nanoseconds.
    pub clock_start: u64,
    /// By how many microseconds its wall clock is ahead of true time when the run begins.
    pub wall_ahead: i64,
    pub node_timeout: Option<Duration>,
    /// It knows all nodes by names that end in this letter, and not by their own.
    pub alias: Option<char>,
    pub users: usize,
}

/// What all users of a run do.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How many locks each user asks for.
    pub locks: usize,
    pub ttl: Duration,
    pub think: Duration,
    /// Out of 1000: a call's future is dropped before it is over.
    pub drop_call: u32,
    /// Out of 1000: a guard is dropped instead of released.
    pub drop_guard: u32,
    /// Out of 1000: a lock is left to its ttl.
    pub forget: u32,
    /// Out of 1000: a lock is handed to another client.
    pub hand_over: u32,
    /// Out of 1000: a held lock is renewed in the background.
    pub renew: u32,
    /// Out of 1000: a lock is asked for with a fencing number.
    pub fenced: u32,
    /// Out of 1000: a held lock is extended by hand.
    pub extend: u32,
    /// Out of 1000: after a lock, the client is shut down.
    pub shutdown: u32,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    pub keys: usize,
    /// By how many millionths each node's clock is fast.
    pub nodes: Vec<i64>,
    /// By how many microseconds each node's wall clock is ahead of true time when the run begins.
    pub node_walls: Vec<i64>,
    /// The two kinds of server that each node is by turns, from restart to restart.
    pub flavors: Vec<[Flavor; 2]>,
    pub clients: Vec<ClientPlan>,
    pub habits: Habits,
    /// How long a message takes one way, in nanoseconds: at least, at most.
    pub latency: (u64, u64),
    pub faults: Vec<Planned>,
    /// Whether a client may say that a node failed though none did, because of the
    /// latency alone.
    pub slow_anyway: bool,
    /// Whether all clients' wall clocks show true time, as an adoption needs.
    pub walls_agree: bool,
    /// Whether two wall clocks may be over an hour apart, so that a node may find a fencing number
    /// to be ahead of all clocks.
    pub walls_apart: bool,
    /// How the nodes are strict, if they are.
    pub strict: Option<Strict>,
    /// What they keep locks' keys for beyond their ttl, if they do.
    pub grace: Option<Grace>,
    /// What the users do instead of living as they like.
    pub scene: Option<Scene>,
}

impl Plan {
    /// The node timeout of a client for a lock of `ttl`, as documented.
    pub fn node_timeout(&self, client: usize, ttl: Duration) -> Duration {
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(200));
        let tenth = Duration::from_millis(ttl.as_millis() as u64 / 10).clamp(least, most);
        self.clients[client].node_timeout.unwrap_or(tenth)
    }

    /// The name by which a client knows a node.
    pub fn host(&self, client: usize, node: usize) -> String {
        match self.clients[client].alias {
            Some(letter) => format!("n{node}-{letter}"),
            None => format!("n{node}"),
        }
    }

    /// The node that has such a name.
    pub fn node_at(host: &str) -> Option<usize> {
        host.split('-').next()?.strip_prefix('n')?.parse().ok()
    }

    /// Keeps a node that forgets its keys down until all of them have ended, as the
    /// assumptions ask for.
    pub fn stay_away(&self, planned: &mut Planned) {
        if planned.fault.forgets() && self.within_assumptions() {
            let longest = self.longest_life().as_nanos() as u64;
            planned.lasts = planned.lasts.max(longest + longest / 50);
        }
    }

    /// An extension asks for up to so many times the ttl of the acquire. Short locks
    /// become so long that a key that is left behind is noticed; but not where all that nodes may
    /// have forgotten is waited for.
    pub fn longest_extension(&self) -> f64 {
        if self.strict.is_some() || self.grace.is_some() {
            return 1.5;
        }
        if self.habits.ttl < Duration::from_secs(2) { 20.0 } else { 1.5 }
    }

    /// How many servers a node is, one after the other.
    pub fn servers(&self, node: usize) -> u8 {
        let moved = self.faults.iter().filter_map(|planned| planned.fault.deposed());
        let times = moved.filter(|(moved, _)| *moved == node).count();
        u8::try_from(1 + times).unwrap_or(u8::MAX)
    }

    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}
