//! What is true in a run: the nodes, the clients' clocks, and what each client
//! believes. Both levels play on this stage; the clients never see it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redlock_quorum::sim::Sent;

use crate::{
    names::{Line, Place},
    node::Node,
    oracle::Oracle,
    plan::{ClientPlan, Plan},
    profile::Profile,
    quarantine::{self, Met},
    scene::Progress,
    script,
    trace::{Kind, Lane, Trace},
};

/// A handle on the stage.
pub type Shared = Arc<Stage>;

pub struct Stage {
    truth: Mutex<Truth>,
    /// The time of the host that runs now, if a simulation keeps the time.
    clock: fn() -> Option<u64>,
}

impl Stage {
    /// A stage whose time the level sets.
    pub fn new(plan: Plan, record: bool) -> Shared {
        Self::within(plan, record, || None)
    }

    /// A stage whose time a simulation keeps.
    pub fn within(plan: Plan, record: bool, clock: fn() -> Option<u64>) -> Shared {
        Arc::new(Self { truth: Mutex::new(Truth::new(plan, record)), clock })
    }

    /// Locks the stage. The lock is never held across an await, and never taken twice.
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = (self.clock)() {
            truth.now = now;
        }
        truth
    }
}

pub struct Truth {
    pub plan: Plan,
    /// True time, in nanoseconds since the run began. All clocks are off from it.
    pub now: u64,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    pub oracle: Oracle,
    pub trace: Trace,
    /// The client that each value on a node came from.
    pub owners: BTreeMap<Vec<u8>, usize>,
    /// By client and node: the next message breaks its connection, and is carried
    /// out up to so much later. (Only the slower level uses it.)
    pub breaks: BTreeMap<(usize, usize), u64>,
    /// By client and key: the calls and locks of that client there.
    pub crowds: BTreeMap<(usize, Vec<u8>), Crowd>,
    pub next_call: u64,
    /// By key: when any node was last sent a command about it.
    pub asked_at: BTreeMap<Vec<u8>, u64>,
    /// By token: when its lock was last extended.
    pub extended_at: BTreeMap<Vec<u8>, u64>,
    /// Locks on their way from one client to another.
    pub handed_over: Vec<redlock_quorum::LockParts>,
    /// What has come of the scene, if the run is one.
    pub progress: Progress,
    pub counts: Counts,
}

/// What one client's process has been through.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// For how long it had stood still in all when it last went on.
    stalled: u64,
    stalled_since: Option<u64>,
    /// By how many microseconds its wall clock is ahead of true time.
    pub wall_ahead: i64,
    /// Whether its driver is gone, or was told to take no more requests.
    pub closed: bool,
    /// Whether its keys may stay, since nobody is left to release them.
    pub abandoned: bool,
    /// By key: when nodes carried out its acquires.
    pub asked: BTreeMap<Vec<u8>, Vec<u64>>,
    /// By node and key: what the nodes told it.
    pub told: BTreeMap<(usize, Vec<u8>), Told>,
}

impl Client {
    fn new(plan: &ClientPlan) -> Self {
        Self { wall_ahead: plan.wall_ahead, ..Self::default() }
    }
}

/// The calls of one client for one key, and the locks it has there.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    pub size: u32,
    /// The numbers of the calls that stand in line, in the order in which they came.
    pub line: Vec<u64>,
    /// When a call or lock of the crowd last ended.
    pub left_at: Option<u64>,
}

/// What a node did for a client's acquires of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub granted: u64,
    pub refused: u64,
    /// How often another's value was there.
    pub locked: u64,
    /// How often the node told for how long a key still lives.
    pub alive: u64,
    /// How often it gave no vote, since it had forgotten.
    pub quarantined: u64,
}

/// What a campaign adds up.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub seeds: u64,
    pub virtual_nanos: u64,
    pub acquired: u64,
    /// How many of them with a fencing number.
    pub fenced: u64,
    pub commands: u64,
    pub calls: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    /// By check: violations of runs that break the assumptions.
    pub counted: BTreeMap<String, u64>,
    /// How many runs there were of each profile.
    pub profiles: BTreeMap<Profile, u64>,
    /// What runs are about that should not be in vain, and how often it was met.
    pub met: BTreeMap<Met, u64>,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.virtual_nanos += other.virtual_nanos;
        self.acquired += other.acquired;
        self.fenced += other.fenced;
        self.commands += other.commands;
        add(&mut self.calls, &other.calls);
        add(&mut self.faults, &other.faults);
        add(&mut self.counted, &other.counted);
        add(&mut self.profiles, &other.profiles);
        add(&mut self.met, &other.met);
    }
}

fn add<K: Ord + Clone>(ours: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (name, count) in theirs {
        *ours.entry(name.clone()).or_default() += count;
    }
}

impl Truth {
    fn new(plan: Plan, record: bool) -> Self {
        let profiles = BTreeMap::from([(plan.profile, 1)]);
        let counts = Counts { seeds: 1, profiles, ..Counts::default() };
        Self {
            now: 0,
            nodes: (0..plan.nodes.len()).map(|node| Node::of(&plan, node)).collect(),
            clients: plan.clients.iter().map(Client::new).collect(),
            oracle: Oracle::new(&plan),
            trace: Trace::new(record),
            owners: BTreeMap::new(),
            breaks: BTreeMap::new(),
            crowds: BTreeMap::new(),
            next_call: 0,
            asked_at: BTreeMap::new(),
            extended_at: BTreeMap::new(),
            handed_over: Vec::new(),
            progress: Progress::default(),
            counts,
            plan,
        }
    }

    /// What a client's clock shows.
    pub fn clock(&self, client: usize) -> u64 {
        let plan = &self.plan.clients[client];
        plan.clock_start + at_rate(self.now, plan.rate_ppm)
    }

    /// How much true time passes while `span` passes on a client's clock.
    pub fn true_span(&self, client: usize, span: Duration) -> u64 {
        let rate = 1_000_000 + i128::from(self.plan.clients[client].rate_ppm);
        let nanos = span.as_nanos().min(u64::MAX as u128 / 2) as i128;
        // It is rounded up, so that no timer is early.
        ((nanos * 1_000_000 + rate - 1) / rate) as u64
    }

    /// For how long a client has stood still in all, on its own clock.
    pub fn stalled(&self, client: usize) -> u64 {
        let state = &self.clients[client];
        let more = state.stalled_since.map_or(0, |since| self.now - since);
        at_rate(state.stalled + more, self.plan.clients[client].rate_ppm)
    }

    pub fn stall(&mut self, client: usize) {
        self.clients[client].stalled_since.get_or_insert(self.now);
    }

    pub fn resume(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if let Some(since) = state.stalled_since.take() {
            state.stalled += self.now - since;
        }
    }

    pub fn is_stalled(&self, client: usize) -> bool {
        self.clients[client].stalled_since.is_some()
    }

    /// How many nodes have `token` at `key` now, up or down.
    pub fn votes(&self, key: &[u8], token: &[u8]) -> usize {
        self.nodes.iter().filter(|node| node.value(self.now, key) == Some(token)).count()
    }

    /// Carries out one command of a client at a node, or at a server that was the node
    /// before. `None` means that the server hangs up.
    pub fn execute(&mut self, line: Line, command: &[Vec<u8>], draw: u32) -> Option<Sent> {
        let Line { client, to: Place { node, term }, conn } = line;
        self.counts.commands += 1;
        let is_master = self.nodes[node].is_master(term);
        let sent = if is_master {
            self.nodes[node].execute(conn, self.now, command, draw)
        } else {
            self.lets_down(client, node);
            self.nodes[node].execute_deposed((term, conn), self.now, command)
        };
        self.oracle.unchecked = true;
        let reply = sent.as_ref().map(|sent| &*sent.reply);
        // What a server does by itself that is the node no more, the node never hears of.
        if !self.nodes[node].is_stray(term) {
            self.learn(client, node, command, reply);
        }
        self.trace.mix(sum(reply.unwrap_or_default()));
        self.trace.note(self.now, Lane::Node(node), Kind::Command, || {
            let words: Vec<_> = command.iter().take(3).map(|word| shorten(word)).collect();
            let answer = reply.map_or("hangs up".into(), shorten);
            let place = if is_master { "" } else { " (a replica)" };
            format!("c{client}: {} -> {answer}{place}", words.join(" "))
        });
        for (to, message) in sent.iter().flat_map(|sent| &sent.messages) {
            self.trace.mix(*to);
            self.trace.mix(sum(message));
        }
        sent
    }

    /// Notes what a node's reply says, and which client a value belongs to.
    fn learn(&mut self, client: usize, node: usize, command: &[Vec<u8>], reply: Option<&[u8]>) {
        let call = script::Call::of(command);
        let key = call.as_ref().map_or(command.get(1).map_or(&[][..], |key| key), |call| call.key);
        self.asked_at.insert(key.to_vec(), self.now);
        if let Some(call) = call.as_ref().filter(|call| call.extends()) {
            self.extended_at.insert(call.token.to_vec(), self.now);
        }
        if let Some(call) = call.as_ref().filter(|call| call.known.is_some()) {
            self.note_strict(node, call.heals, reply.unwrap_or_default());
        }
        let told = self.clients[client].told.entry((node, key.to_vec())).or_default();
        match reply {
            Some(reply) if call.as_ref().is_some_and(|call| call.acquires()) => match reply {
                b":0\r\n" | b"+OK\r\n" => told.granted += 1,
                b"$-1\r\n" | [b':', b'-', ..] => {
                    (told.refused, told.locked) = (told.refused + 1, told.locked + 1)
                }
                _ if quarantine::is_in(reply) => told.quarantined += 1,
                [b':', ..] => told.refused += 1,
                _ => {}
            },
            Some(reply) if matches!(&*command[0], b"SET" | b"PTTL" | b"GETRANGE") => match reply {
                b"+OK\r\n" => told.granted += 1,
                b"$-1\r\n" => (told.refused, told.locked) = (told.refused + 1, told.locked + 1),
                [b':' | b'$', b'1'..=b'9', ..] => told.alive += 1,
                _ => {}
            },
            _ => {}
        }
        let asks = match (&call, command) {
            (Some(call), _) => Some(call.token).filter(|_| call.acquires()),
            (None, [name, _, token, ..]) => Some(&**token).filter(|_| name == b"SET"),
            _ => None,
        };
        if let Some(token) = asks {
            self.owners.entry(token.to_vec()).or_insert(client);
            self.clients[client].asked.entry(key.to_vec()).or_default().push(self.now);
            self.note_set(client, key, token);
        }
        if &*command[0] == b"PUBLISH" {
            self.note_publish();
        }
    }

    /// From now on a call or a lock of a client is at a key.
    pub fn enter(&mut self, client: usize, key: &[u8]) {
        self.crowds.entry((client, key.to_vec())).or_default().size += 1;
    }

    pub fn leave(&mut self, client: usize, key: &[u8]) {
        let crowd = self.crowds.entry((client, key.to_vec())).or_default();
        crowd.size -= 1;
        crowd.left_at = Some(self.now);
    }

    /// What a node has told a client so far about `key`.
    pub fn told(&self, client: usize, node: usize, key: &[u8]) -> Told {
        self.clients[client].told.get(&(node, key.to_vec())).copied().unwrap_or_default()
    }
}

/// What passes on a clock that is fast by `ppm` millionths while `span` passes in
/// truth.
pub fn at_rate(span: u64, ppm: i64) -> u64 {
    // A run is far shorter than the days after which this would overflow.
    span.saturating_add_signed(span as i64 * ppm / 1_000_000)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(*byte))
}

fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim_end().split("\r\n").next().unwrap_or("");
    line.chars().take(12).collect()
}
