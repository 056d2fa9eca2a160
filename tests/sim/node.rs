//! A simulated node: the in-memory store behind a clock of its own, and the
//! ways in which it can answer wrongly or not at all.
//!
//! `tests/it/fixture.rs` compares the same store with real servers.

mod memory;

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt as _, rngs::SmallRng};
use redlock_quorum::sim::{Flavor, Sent, Store, WALL};

use self::memory::run_id;
use crate::{
    draw::chance,
    plan::{Deposed, MS, Memory, Plan, Refusal},
    script::{self, EPOCH},
    stage::at_rate,
};

/// What a node's clock shows when the run begins, so that it can be set back.
const BEGINS_AT: Duration = Duration::from_secs(3_600);

/// The number of a connection that no client has.
const NOBODY: u64 = u64::MAX;

pub struct Node {
    place: usize,
    store: Store,
    /// The kind of server that the node is now, and will be after its next restart.
    flavors: [Flavor; 2],
    /// What it knows if it forgets.
    empty: Store,
    /// What the disk has: the store as it was when it was last saved.
    on_disk: Store,
    rate_ppm: i64,
    step_millis: i64,
    /// How many of its crashes are not over.
    crashed: u32,
    gone_since: Option<u64>,
    /// What the node will know when they are. Until then its keys count as there:
    /// nobody can ask it, so no other client can get its vote.
    memory: Memory,
    /// Whether the host does not answer either while the node is down.
    pub silent: bool,
    pub hung: u32,
    refusals: Vec<(Refusal, u32)>,
    /// For each fault that cuts logins: how many out of 1000.
    cut_logins: Vec<u32>,
    /// The names of the processes that the node has been, the present one last.
    run_ids: Vec<String>,
    servers: Servers,
}

/// The servers that the node is and was, by their terms: the first is 0.
#[derive(Default)]
struct Servers {
    term: u8,
    /// The server that the node's name leads to.
    named: u8,
    /// How many failovers the name does not know of yet.
    unknown: u32,
    /// Those that closed their connections when they ceased to be the node.
    hung_up: Vec<u8>,
    /// What those have that go on writing.
    strays: BTreeMap<u8, Store>,
}

impl Node {
    pub fn of(plan: &Plan, node: usize) -> Self {
        let wall = (WALL - BEGINS_AT).as_micros() as i64 + plan.node_walls[node];
        let empty = Store::new(Duration::from_micros(wall as u64));
        let (mut store, flavors) = (empty.clone(), plan.flavors[node]);
        store.set_flavor(flavors[0]);
        let run_id = run_id(node, 0);
        store.set_run_id(run_id.clone());
        if let Some(epoch) = plan.epoch(&run_id) {
            store.execute(NOBODY, BEGINS_AT, &[b"SET", EPOCH, epoch.as_bytes()]);
        }
        Self {
            place: node,
            on_disk: store.clone(),
            store,
            flavors,
            empty,
            run_ids: vec![run_id],
            rate_ppm: plan.nodes[node],
            step_millis: 0,
            crashed: 0,
            gone_since: None,
            memory: Memory::Kept,
            silent: false,
            hung: 0,
            refusals: Vec::new(),
            cut_logins: Vec::new(),
            servers: Servers::default(),
        }
    }

    /// What its clock shows.
    fn clock(&self, now: u64) -> Duration {
        let run = BEGINS_AT.as_nanos() as u64 + at_rate(now, self.rate_ppm);
        Duration::from_nanos(run.saturating_add_signed(self.step_millis * MS as i64))
    }

    /// The value at `key`, if it lives.
    pub fn value(&self, now: u64, key: &[u8]) -> Option<&[u8]> {
        self.store.value(self.clock(now), key)
    }

    /// All locks' keys and values that live. Fences stay for a day, and an epoch for ever.
    pub fn living(&self, now: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
        let is_lock = |key: &[u8]| !key.ends_with(b":fence") && key != EPOCH;
        self.store.living(self.clock(now)).filter(move |(key, _)| is_lock(key))
    }

    pub fn step(&mut self, millis: i64) {
        self.step_millis += millis;
    }

    pub fn crash(&mut self, now: u64, memory: Memory, silent: bool) {
        self.crashed += 1;
        self.gone_since.get_or_insert(now);
        self.silent = silent;
        if memory != Memory::Kept {
            self.memory = memory;
        }
    }

    /// One of its crashes is over. After the last one the node is back.
    pub fn restart(&mut self) {
        self.crashed -= 1;
        if self.crashed > 0 {
            return;
        }
        (self.silent, self.gone_since) = (false, None);
        match std::mem::replace(&mut self.memory, Memory::Kept) {
            Memory::Kept => {}
            Memory::Gone => self.store = self.empty.clone(),
            Memory::Stale => self.store = self.on_disk.clone(),
        }
        self.become_another_process();
    }

    fn become_another_process(&mut self) {
        self.store.restart();
        self.flavors.reverse();
        self.store.set_flavor(self.flavors[0]);
        self.run_as(run_id(self.place, self.run_ids.len()));
    }

    fn run_as(&mut self, run_id: String) {
        self.store.set_run_id(run_id.clone());
        self.run_ids.push(run_id);
    }

    /// Another server is the node from now on, which has all its keys, or, if it `lags`, those that
    /// it had when it was saved last. The node's name does not know of it before
    /// [`Self::be_named`].
    pub fn fail_over(&mut self, deposed: Deposed, lags: bool) {
        if lags {
            self.store = self.on_disk.clone();
        }
        let servers = &mut self.servers;
        let before = servers.term;
        match deposed {
            Deposed::Stays => {}
            Deposed::HangsUp => servers.hung_up.push(before),
            Deposed::Writes => {
                servers.hung_up.push(before);
                let mut stray = self.store.clone();
                stray.set_replica(true);
                servers.strays.insert(before, stray);
            }
        }
        (servers.term, servers.unknown) = (before + 1, servers.unknown + 1);
        self.become_another_process();
        if lags {
            self.come_back();
        }
    }

    /// The name has heard of one of the failovers. After the last one it leads to the node.
    pub fn be_named(&mut self) {
        let servers = &mut self.servers;
        servers.unknown -= 1;
        if servers.unknown == 0 {
            servers.named = servers.term;
        }
    }

    /// The server that the node's name leads to now.
    pub fn named(&self) -> u8 {
        self.servers.named
    }

    /// Whether this server is the node, and not its replica.
    pub fn is_master(&self, term: u8) -> bool {
        term == self.servers.term
    }

    /// Whether this server has closed the connections that it had when it was the node.
    pub fn has_hung_up(&self, term: u8) -> bool {
        self.servers.hung_up.contains(&term)
    }

    /// Whether a server that was the node before has granted that `key` to `token`, all by itself.
    pub fn strayed(&self, now: u64, key: &[u8], token: &[u8]) -> bool {
        let clock = self.clock(now);
        self.servers.strays.values().any(|stray| stray.value(clock, key) == Some(token))
    }

    /// Whether there is such a server.
    pub fn has_strays(&self) -> bool {
        !self.servers.strays.is_empty()
    }

    /// Whether this server goes on writing though it is the node no more.
    pub fn is_stray(&self, term: u8) -> bool {
        self.servers.strays.contains_key(&term)
    }

    pub fn cut_logins(&mut self, per_mille: u32, begins: bool) {
        if begins {
            self.cut_logins.push(per_mille);
        } else if let Some(place) = self.cut_logins.iter().position(|other| *other == per_mille) {
            self.cut_logins.remove(place);
        }
    }

    /// After how many bytes a new connection breaks, if it does.
    pub fn cut_at(&self, rng: &mut SmallRng) -> Option<usize> {
        let per_mille = self.cut_logins.iter().max()?;
        let is_first = chance(rng, 250);
        let at = rng.random_range(0..LONGEST_LOGIN);
        // Right at the greeting is where it matters most.
        chance(rng, *per_mille).then_some(if is_first { 0 } else { at })
    }

    /// Since when the node is down, if it is.
    pub fn gone_since(&self) -> Option<u64> {
        self.gone_since
    }

    pub fn is_down(&self) -> bool {
        self.crashed > 0
    }

    pub fn forget_scripts(&mut self) {
        self.store.forget_scripts();
    }

    pub fn refuse(&mut self, how: Refusal, per_mille: u32) {
        self.refusals.push((how, per_mille));
    }

    pub fn stop_refusing(&mut self, how: Refusal) {
        if let Some(place) = self.refusals.iter().position(|(kind, _)| *kind == how) {
            self.refusals.remove(place);
        }
    }

    /// Saves the store to the disk, now and then.
    fn save(&mut self, draw: u32) {
        if draw.is_multiple_of(16) {
            self.on_disk = self.store.clone();
        }
    }

    /// The connection that `execute` knows by this number is over.
    pub fn hang_up(&mut self, conn: u64) {
        self.store.hang_up(conn);
    }

    /// Carries out one command of a connection, or refuses it as a fault says, which
    /// `draw` decides. `None` means that the node hangs up.
    pub fn execute(&mut self, conn: u64, now: u64, command: &[Vec<u8>], draw: u32) -> Option<Sent> {
        self.save(draw / 1000);
        let refusal = self.refusals.iter().find(|(_, per_mille)| draw % 1000 < *per_mille);
        let how = refusal.map(|(how, _)| *how);
        let Some(how) = how else { return Some(self.obey(conn, now, command, None)) };
        let instead: &[u8] = match how {
            Refusal::HangUp => {
                self.hang_up(conn);
                return None;
            }
            Refusal::Loading => return error("LOADING Redis is loading the dataset in memory"),
            Refusal::Busy => return error("BUSY Redis is busy running a script."),
            Refusal::Greeting if &*command[0] == b"HELLO" => {
                self.hang_up(conn);
                return None;
            }
            Refusal::ReadOnly if writes(command) => return error(READ_ONLY),
            Refusal::Greeting | Refusal::ReadOnly | Refusal::OutOfMemory | Refusal::NoPubSub => {
                return Some(self.obey(conn, now, command, Some(how)));
            }
            Refusal::Unclear => b"-ERR upstream timed out\r\n",
            Refusal::Garbage => b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        };
        Some(Sent { reply: instead.to_vec(), ..self.obey(conn, now, command, None) })
    }

    /// What a server answers that was the node before a failover. It has what the node has, as
    /// a replica does, and changes nothing; or it goes on by itself, and says what it is.
    pub fn execute_deposed(
        &mut self,
        (term, conn): (u8, u64),
        now: u64,
        command: &[Vec<u8>],
    ) -> Option<Sent> {
        let clock = self.clock(now);
        if let Some(stray) = self.servers.strays.get_mut(&term) {
            return Some(stray.execute(conn, clock, command));
        }
        if self.would_write(now, command) {
            return error(READ_ONLY);
        }
        self.store.set_replica(true);
        let sent = self.store.execute(conn, clock, command);
        self.store.set_replica(false);
        Some(sent)
    }

    /// Whether a replica refuses a command: a script is refused where it comes to writing.
    fn would_write(&self, now: u64, command: &[Vec<u8>]) -> bool {
        let Some(call) = script::Call::of(command) else { return writes(command) };
        if call.known.is_some_and(|known| self.value(now, EPOCH) != Some(known)) {
            return true; // it would begin a quarantine
        }
        match self.value(now, call.key) {
            Some(value) => value == call.token,
            None => call.sets_what_is_not_there(),
        }
    }

    /// Carries out a command, except for what `how` forbids.
    fn obey(&mut self, conn: u64, now: u64, command: &[Vec<u8>], how: Option<Refusal>) -> Sent {
        let (full, mute) = (Some(Refusal::OutOfMemory), Some(Refusal::NoPubSub));
        self.store.restrict(how == full, how == mute);
        self.store.execute(conn, self.clock(now), command)
    }
}

/// The answers to a login are about so many bytes.
const LONGEST_LOGIN: usize = 450;

const READ_ONLY: &str = "READONLY You can't write against a read only replica.";

/// An error reply, without carrying out anything.
fn error(text: &str) -> Option<Sent> {
    Some(Sent { reply: format!("-{text}\r\n").into_bytes(), ..Sent::default() })
}

fn writes(command: &[Vec<u8>]) -> bool {
    matches!(&*command[0], b"SET" | b"DEL" | b"DELIFEQ" | b"DELEX" | b"EVAL" | b"EVALSHA")
}
