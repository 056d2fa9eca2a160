//! The plan of one run: its clients, nodes and users, and what goes wrong when.
//! `draw` draws plans from seeds.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use redlock_quorum::sim::Flavor;

use crate::{profile::Profile, scene::Scene};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

/// What a node knows when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Kept,
    Gone,
    Stale,
}

/// How a node answers instead of doing what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Loading,
    ReadOnly,
    OutOfMemory,
    /// The node lets nobody publish or subscribe, and does all else.
    NoPubSub,
    Busy,
    /// The node does what was asked, and answers an error that says nothing.
    Unclear,
    /// The node does what was asked, and answers bytes that are no reply.
    Garbage,
    /// The node closes the connection.
    HangUp,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between a client and a node, in the directions named.
    Cut {
        client: usize,
        node: usize,
        up: bool,
        down: bool,
    },
    /// The connection breaks. What was on its way to the node arrives up to `late`
    /// nanoseconds later.
    Break {
        client: usize,
        node: usize,
        late: u64,
    },
    /// Packets of a node are lost, and sent again.
    Loss {
        node: usize,
        per_mille: u32,
    },
    /// All that goes to or comes from a node takes longer.
    Slow {
        node: usize,
        by: u64,
    },
    /// The node accepts connections, and reads nothing.
    Hang {
        node: usize,
    },
    /// The node goes down. Its connections close, unless the host is silent too.
    Crash {
        node: usize,
        memory: Memory,
        silent: bool,
    },
    Refuse {
        node: usize,
        how: Refusal,
        per_mille: u32,
    },
    ForgetScripts {
        node: usize,
    },
    /// The node's clock is set forward or back.
    Step {
        node: usize,
        millis: i64,
    },
    /// The client's process stands still.
    Pause {
        client: usize,
    },
    /// The client's process ends, whatever it was doing.
    Kill {
        client: usize,
    },
    /// The runtime that the driver runs on ends, and the callers live on.
    EndRuntime {
        client: usize,
    },
}

impl Fault {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cut { up: true, down: true, .. } => "cut",
            Self::Cut { .. } => "one-way cut",
            Self::Break { .. } => "broken connection",
            Self::Loss { .. } => "packet loss",
            Self::Slow { .. } => "slow node",
            Self::Hang { .. } => "hung node",
            Self::Crash { memory: Memory::Kept, .. } => "crash, memory kept",
            Self::Crash { memory: Memory::Gone, .. } => "crash, memory gone",
            Self::Crash { memory: Memory::Stale, .. } => "crash, memory stale",
            Self::Refuse { .. } => "error replies",
            Self::ForgetScripts { .. } => "scripts forgotten",
            Self::Step { .. } => "node clock set",
            Self::Pause { .. } => "client paused",
            Self::Kill { .. } => "client killed",
            Self::EndRuntime { .. } => "runtime ended",
        }
    }

    /// The client that the fault ends for good, if it does.
    pub fn ends(self) -> Option<usize> {
        match self {
            Self::Kill { client } | Self::EndRuntime { client } => Some(client),
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Crash { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Step { .. }
            | Self::Pause { .. } => None,
        }
    }

    /// Whether a node comes back without anything that it had granted.
    pub fn forgets(self) -> bool {
        match self {
            Self::Crash { memory: Memory::Gone, .. } => true,
            Self::Crash { memory: Memory::Kept | Memory::Stale, .. } => false,
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Step { .. }
            | Self::Pause { .. }
            | Self::Kill { .. }
            | Self::EndRuntime { .. } => false,
        }
    }

    /// Whether a client's process stands still. No message is late or lost because
    /// of that.
    pub fn is_pause(self) -> bool {
        match self {
            Self::Pause { .. } => true,
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Crash { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Step { .. }
            | Self::Kill { .. }
            | Self::EndRuntime { .. } => false,
        }
    }
}

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

    /// The address of a node.
    pub fn address(node: usize) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, u8::try_from(node).unwrap_or(u8::MAX)).into()
    }

    /// The node that has such an address.
    pub fn node_of(address: IpAddr) -> Option<usize> {
        let IpAddr::V4(address) = address else { return None };
        Some(address.octets()[3].into())
    }

    /// Keeps a node that forgets its keys down until all of them have ended, as the
    /// assumptions ask for.
    pub fn stay_away(&self, planned: &mut Planned) {
        if planned.fault.forgets() && self.profile.within_assumptions() {
            let longest = self.habits.ttl.mul_f64(self.longest_extension()).as_nanos() as u64;
            planned.lasts = planned.lasts.max(longest + longest / 50);
        }
    }

    /// An extension asks for up to so many times the ttl of the acquire. Short locks
    /// become so long that a key that is left behind is noticed.
    pub fn longest_extension(&self) -> f64 {
        if self.habits.ttl < Duration::from_secs(2) { 20.0 } else { 1.5 }
    }

    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

/// The address of the node that has such a name.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let node = Plan::node_at(host).ok_or(io::ErrorKind::NotFound)?;
    Ok(vec![Plan::address(node)])
}
