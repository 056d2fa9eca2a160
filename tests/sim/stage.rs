//! What is true in a run: the nodes, the clients' clocks, who believes what.
//! Both levels play on it; clients never see it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redlock_quorum::sim::Sent;

use crate::{
    node::Node,
    oracle::Oracle,
    plan::Plan,
    trace::{Kind, Lane, Trace},
};

/// The stage, as everyone on it has it.
pub type Shared = Arc<Stage>;

pub struct Stage {
    truth: Mutex<Truth>,
    /// Where there is one, what the time is for whoever runs now.
    clock: fn() -> Option<u64>,
}

impl Stage {
    /// A stage whose time whoever plays on it sets.
    pub fn new(plan: Plan, record: bool) -> Shared {
        Self::within(plan, record, || None)
    }

    /// A stage whose time is that of a simulation.
    pub fn within(plan: Plan, record: bool, clock: fn() -> Option<u64>) -> Shared {
        Arc::new(Self { truth: Mutex::new(Truth::new(plan, record)), clock })
    }

    /// Locks it: never across an await, and never twice.
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
    /// Nanoseconds since the beginning: the time that all clocks are off from.
    pub now: u64,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    pub oracle: Oracle,
    pub trace: Trace,
    /// Which client each value on a node came from.
    pub owners: BTreeMap<Vec<u8>, usize>,
    /// By client and node: the next message ends its connection, and is
    /// carried out up to so much later. (Of the slower level.)
    pub breaks: BTreeMap<(usize, usize), u64>,
    /// Who of each client is at, or after, each key.
    pub crowds: BTreeMap<(usize, Vec<u8>), Crowd>,
    pub next_call: u64,
    /// When a node was last asked for anything to do with each key.
    pub asked_at: BTreeMap<Vec<u8>, u64>,
    /// When the lock of each token was extended last.
    pub extended_at: BTreeMap<Vec<u8>, u64>,
    /// Locks on their way from one client to another.
    pub handed_over: Vec<redlock_quorum::LockParts>,
    pub counts: Counts,
}

/// What one client's process has been through.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// How long it has stood still, up to its last awakening.
    stalled: u64,
    stalled_since: Option<u64>,
    /// Its driver is gone, or was told to take no more.
    pub closed: bool,
    /// Its keys may stay: nobody is left to release them.
    pub abandoned: bool,
    /// What nodes told it, by node and key.
    pub told: BTreeMap<(usize, Vec<u8>), Told>,
}

/// The calls of one client for one key, and the locks it has there.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    pub size: u32,
    /// The numbers of the calls that stand in line, in the order they came.
    pub line: Vec<u64>,
    /// When one of them ended last.
    pub left_at: Option<u64>,
}

/// What a node did for a client's acquires of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    pub granted: u64,
    pub refused: u64,
    /// How often it told how long a key lives.
    pub alive: u64,
}

/// What a campaign adds up.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub seeds: u64,
    pub virtual_nanos: u64,
    pub acquired: u64,
    pub commands: u64,
    pub calls: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    /// Two holders at once, where the assumptions were broken.
    pub counted: BTreeMap<String, u64>,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.virtual_nanos += other.virtual_nanos;
        self.acquired += other.acquired;
        self.commands += other.commands;
        add(&mut self.calls, &other.calls);
        add(&mut self.faults, &other.faults);
        add(&mut self.counted, &other.counted);
    }
}

fn add<K: Ord + Clone>(ours: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (name, count) in theirs {
        *ours.entry(name.clone()).or_default() += count;
    }
}

impl Truth {
    fn new(plan: Plan, record: bool) -> Self {
        let counts = Counts { seeds: 1, ..Counts::default() };
        Self {
            now: 0,
            nodes: plan
                .nodes
                .iter()
                .zip(&plan.flavors)
                .map(|(rate, is)| Node::new(*rate, *is))
                .collect(),
            clients: vec![Client::default(); plan.clients.len()],
            oracle: Oracle::new(&plan),
            trace: Trace::new(record),
            owners: BTreeMap::new(),
            breaks: BTreeMap::new(),
            crowds: BTreeMap::new(),
            next_call: 0,
            asked_at: BTreeMap::new(),
            extended_at: BTreeMap::new(),
            handed_over: Vec::new(),
            counts,
            plan,
        }
    }

    /// What a client's clock shows.
    pub fn clock(&self, client: usize) -> u64 {
        let plan = &self.plan.clients[client];
        plan.clock_start + at_rate(self.now, plan.rate_ppm)
    }

    /// How much passes in truth while `span` passes on a client's clock.
    pub fn true_span(&self, client: usize, span: Duration) -> u64 {
        let rate = 1_000_000 + i128::from(self.plan.clients[client].rate_ppm);
        let nanos = span.as_nanos().min(u64::MAX as u128 / 2) as i128;
        // Rounded up: nobody is woken before it is time.
        ((nanos * 1_000_000 + rate - 1) / rate) as u64
    }

    /// How long a client has stood still in all, on its own clock.
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

    /// Carries out one command of a client at a node, on a connection that has
    /// a number there. `None`: it hangs up.
    pub fn execute(
        &mut self,
        (client, node, conn): (usize, usize, u64),
        command: &[Vec<u8>],
        draw: u32,
    ) -> Option<Sent> {
        self.counts.commands += 1;
        let sent = self.nodes[node].execute(conn, self.now, command, draw);
        self.oracle.unchecked = true;
        let reply = sent.as_ref().map(|sent| &*sent.reply);
        self.learn(client, node, command, reply);
        self.trace.mix(sum(reply.unwrap_or_default()));
        self.trace.note(self.now, Lane::Node(node), Kind::Command, || {
            let words: Vec<_> = command.iter().take(3).map(|word| shorten(word)).collect();
            let answer = reply.map_or("hangs up".into(), shorten);
            format!("c{client}: {} -> {answer}", words.join(" "))
        });
        for (to, message) in sent.iter().flat_map(|sent| &sent.messages) {
            self.trace.mix(*to);
            self.trace.mix(sum(message));
        }
        sent
    }

    /// What a node's reply says, and whose a value is.
    fn learn(&mut self, client: usize, node: usize, command: &[Vec<u8>], reply: Option<&[u8]>) {
        // A script's key comes after its text and its number of keys.
        let place = if matches!(&*command[0], b"EVAL" | b"EVALSHA") { 3 } else { 1 };
        let key = command.get(place).map_or(&[][..], |key| key);
        self.asked_at.insert(key.to_vec(), self.now);
        if let [name, _, _, _, token, _lifetime, _heals] = command
            && matches!(&**name, b"EVAL" | b"EVALSHA")
        {
            self.extended_at.insert(token.clone(), self.now);
        }
        if matches!(&*command[0], b"SET" | b"PTTL") {
            let told = self.clients[client].told.entry((node, key.to_vec())).or_default();
            match reply {
                Some(b"+OK\r\n") => told.granted += 1,
                Some(b"$-1\r\n") => told.refused += 1,
                Some([b':', b'1'..=b'9', ..]) => told.alive += 1,
                _ => {}
            }
        }
        if let [name, _, token, ..] = command
            && name == b"SET"
        {
            self.owners.entry(token.clone()).or_insert(client);
        }
    }

    /// Someone of a client is at a key from now on.
    pub fn enter(&mut self, client: usize, key: &[u8]) {
        self.crowds.entry((client, key.to_vec())).or_default().size += 1;
    }

    pub fn leave(&mut self, client: usize, key: &[u8]) {
        let crowd = self.crowds.entry((client, key.to_vec())).or_default();
        crowd.size -= 1;
        crowd.left_at = Some(self.now);
    }

    /// What a client has been told so far about `key`.
    pub fn told(&self, client: usize, node: usize, key: &[u8]) -> Told {
        self.clients[client].told.get(&(node, key.to_vec())).copied().unwrap_or_default()
    }
}

/// What a clock shows that is fast by `ppm` millionths, after `span`.
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
