//! What must hold, whatever goes wrong. It is checked after every step, and once
//! more at the end. What a call may answer is checked in `answers`.
//!
//! The oracle compares what clients believe with what is true on the stage. It
//! never asks a guard a question that would change it.

use std::time::Duration;

use redlock_quorum::{
    Error, ErrorKind, Unreleased,
    sim::{Driver, Load, Peek},
};

use crate::{
    numbers::Numbers,
    plan::{Plan, Planned, SECOND},
    quarantine::Quarantines,
    stage::Truth,
    trace::{Kind, Lane},
    violation::{Check, Violation},
};

/// For so long after a fault a client may still say that a node fails. An attempt
/// to connect takes up to 1 s, the pause before it up to 0.5 s, and messages that
/// were held back arrive up to 0.2 s late.
const RECOVERY: u64 = 2 * SECOND;

/// For so long after the last fault and the last call a key may stay. Attempts to
/// release are at most 2 s apart; an attempt to connect takes up to 1 s, and the
/// pause before it up to 0.5 s.
pub const SETTLED_AFTER: u64 = 6 * SECOND;

/// So much longer a key may stay where segments are lost for good: the client
/// gives a connection up after 10 s of silence.
pub const UNTIL_GIVEN_UP: u64 = 10 * SECOND;

pub struct Oracle {
    beliefs: Vec<Belief>,
    next: u64,
    /// By client and node.
    trouble: Vec<Vec<Trouble>>,
    /// Tokens that nobody will release.
    excused: Vec<Vec<u8>>,
    /// Tokens of locks that another client has taken over.
    taken_over: Vec<Vec<u8>>,
    pub violation: Option<Violation>,
    /// By how much a call may be late: the granularity of the level's clock.
    pub tick: Duration,
    /// How long after a fault its effects may last.
    pub recovery: u64,
    /// Whether a node has done something since the last look at its keys.
    pub unchecked: bool,
    steps: u32,
    /// When a node's clock was set last.
    pub clock_set_at: Option<u64>,
    /// Whether a node came back with keys that had been deleted.
    pub resurrected: bool,
    pub numbers: Numbers,
    pub quarantines: Quarantines,
}

/// A lock that a user has in hand.
struct Belief {
    id: u64,
    client: usize,
    key: Vec<u8>,
    peek: Peek,
    /// Whether it was held when last looked at.
    held: bool,
    /// Whether a violation beyond the assumptions was counted for it.
    counted: bool,
    /// Whether it is work under `run`, which must stop when the lock is over.
    is_work: bool,
    /// When it was seen to be over.
    over_at: u64,
    /// Since when it has been over without its process standing still.
    over_since: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Trouble {
    active: u32,
    until: Option<u64>,
}

impl Oracle {
    pub fn new(plan: &Plan) -> Self {
        Self {
            beliefs: Vec::new(),
            next: 0,
            trouble: vec![vec![Trouble::default(); plan.nodes.len()]; plan.clients.len()],
            excused: Vec::new(),
            taken_over: Vec::new(),
            violation: None,
            tick: Duration::from_millis(1),
            recovery: RECOVERY,
            unchecked: true,
            steps: 0,
            clock_set_at: None,
            resurrected: false,
            numbers: Numbers::new(plan.clients.iter().map(|client| client.wall_ahead)),
            quarantines: Quarantines::new(plan.nodes.len()),
        }
    }

    pub fn excuse(&mut self, token: &[u8]) {
        self.excused.push(token.to_vec());
    }
}

impl Truth {
    pub fn violate(&mut self, check: Check, what: String) {
        if self.oracle.violation.is_none() {
            self.trace.note(self.now, Lane::World, Kind::Violation, || what.clone());
            self.oracle.violation = Some(Violation { check, what });
        }
    }

    /// What is wrong, as text.
    pub fn verdict(&self) -> &str {
        self.oracle.violation.as_ref().map_or("nothing is wrong", |violation| &violation.what)
    }

    /// Notes that something between a client and a node begins to be wrong, or has
    /// ceased to. `None` means all clients, or all nodes.
    pub fn trouble(&mut self, client: Option<usize>, node: Option<usize>, begins: bool) {
        let now = self.now;
        for (c, row) in self.oracle.trouble.iter_mut().enumerate() {
            for (n, trouble) in row.iter_mut().enumerate() {
                if client.is_none_or(|client| client == c) && node.is_none_or(|node| node == n) {
                    if begins {
                        trouble.active += 1;
                    } else {
                        trouble.active = trouble.active.saturating_sub(1);
                        trouble.until = Some(now);
                    }
                }
            }
        }
    }

    /// A client has asked a server that was the node before, or its connection breaks now though
    /// the fault is over. It may say for a while that the node fails.
    pub fn lets_down(&mut self, client: usize, node: usize) {
        self.oracle.trouble[client][node].until = Some(self.now);
    }

    pub fn had_trouble(&self, client: usize, node: usize, since: u64) -> bool {
        let trouble = self.oracle.trouble[client][node];
        trouble.active > 0
            || trouble.until.is_some_and(|until| until + self.oracle.recovery >= since)
    }

    /// From now on a client has a lock in hand.
    pub fn believe(&mut self, client: usize, key: &[u8], peek: Peek, is_work: bool) -> u64 {
        self.counts.acquired += 1;
        let id = self.oracle.next;
        self.oracle.next += 1;
        let votes = self.votes(key, peek.token());
        self.trace.note(self.now, Lane::Client(client), Kind::Held, || {
            format!("#{id} {} by {votes} votes", String::from_utf8_lossy(key))
        });
        let key = key.to_vec();
        self.oracle.unchecked = true;
        let (held, counted, over_at, over_since) = (true, false, 0, None);
        self.note_grant();
        self.enter(client, &key);
        let belief = Belief { id, client, key, peek, held, counted, is_work, over_at, over_since };
        self.oracle.beliefs.push(belief);
        self.check_beliefs();
        id
    }

    /// The client lets go of the lock with this number.
    pub fn let_go(&mut self, id: u64) {
        if let Some(place) = self.oracle.beliefs.iter().position(|belief| belief.id == id) {
            let belief = self.oracle.beliefs.swap_remove(place);
            self.leave(belief.client, &belief.key);
            self.trace
                .note(self.now, Lane::Client(belief.client), Kind::Ended, || format!("#{id}"));
        }
    }

    /// Whether anyone has a lock on `key` in hand.
    pub fn is_in_hand(&self, key: &[u8]) -> bool {
        self.oracle.beliefs.iter().any(|belief| belief.key == key)
    }

    /// A client has taken over a lock that nobody had in hand.
    pub fn adopt(&mut self, client: usize, token: &[u8]) {
        self.oracle.excused.retain(|excused| excused != token);
        self.oracle.taken_over.push(token.to_vec());
        self.owners.insert(token.to_vec(), client);
    }

    /// Like [`Self::adopt`], for a client that knows nothing but the token. It misses
    /// an acquire that arrives very late, so the token stays excused where messages
    /// can be that late.
    pub fn take_by_token(&mut self, client: usize, token: &[u8]) {
        if self.plan.faults.is_empty() && !self.plan.slow_anyway {
            self.adopt(client, token);
        }
    }

    /// A client's process is gone, and with it all that it had in hand.
    pub fn forget_client(&mut self, client: usize) {
        self.oracle.beliefs.retain(|belief| belief.client != client);
        self.clients[client].abandoned = true;
    }

    /// Compares what clients believe to hold with the nodes' keys, after every step.
    pub fn check_beliefs(&mut self) {
        if self.oracle.beliefs.is_empty() {
            return;
        }
        // Keys change when a node carries out a command. Those that expire by time
        // are noticed a few steps later.
        self.oracle.steps = self.oracle.steps.wrapping_add(1);
        let look =
            std::mem::take(&mut self.oracle.unchecked) || self.oracle.steps.is_multiple_of(8);
        let mut beliefs = std::mem::take(&mut self.oracle.beliefs);
        for place in 0..beliefs.len() {
            self.check_belief(&mut beliefs, place, look);
        }
        self.oracle.beliefs = beliefs;
    }

    fn check_belief(&mut self, beliefs: &mut [Belief], place: usize, look: bool) {
        let Belief { id, client, ref peek, held, over_at, .. } = beliefs[place];
        if self.now < over_at {
            return; // at the slower level another host's time may be behind
        }
        let holds = self.clock(client) < peek.until();
        if holds && !held {
            let what = format!("lock #{id} of client {client} was over and is held again");
            self.violate(Check::LostAndHeld, what);
        }
        if held && !holds {
            self.trace.note(self.now, Lane::Client(client), Kind::Ended, || format!("#{id} over"));
        }
        beliefs[place].held = holds;
        if held && !holds {
            beliefs[place].over_at = self.now;
        }
        if !holds {
            return self.check_stopped(&mut beliefs[place]);
        }
        let belief = &beliefs[place];
        let quorum = self.plan.quorum();
        let votes = if look { self.votes(&belief.key, belief.peek.token()) } else { quorum };
        let others = |other: &&Belief| other.id < id && other.held && other.key == belief.key;
        let other = beliefs[..].iter().find(others).map(|other| other.client);
        let wrong = match other {
            Some(other) => {
                Some((Check::TwoHolders, format!("clients {other} and {client} both hold")))
            }
            None if votes < quorum && self.has_strayed(belief) => {
                Some((Check::VoteOfReplica, format!("client {client} counts a replica's vote")))
            }
            None if votes < quorum => {
                Some((Check::TooFewNodes, format!("client {client} holds by {votes} nodes")))
            }
            None => None,
        };
        let Some((check, what)) = wrong else { return };
        let excludes = check == Check::TwoHolders && self.plan.excludes();
        let is_wrong = excludes || self.plan.within_assumptions();
        if is_wrong {
            let key = String::from_utf8_lossy(&belief.key);
            self.violate(check, format!("{what} `{key}` (lock #{id})"));
        } else if !belief.counted {
            beliefs[place].counted = true;
            *self.counts.counted.entry(check.to_string()).or_default() += 1;
            self.note_excess(check);
        }
    }

    /// Whether a server that is a node no more has granted a lock.
    fn has_strayed(&self, belief: &Belief) -> bool {
        let token = belief.peek.token();
        self.nodes.iter().any(|node| node.strayed(self.now, &belief.key, token))
    }

    pub fn tick_nanos(&self) -> u64 {
        self.oracle.tick.as_nanos() as u64
    }

    /// Work must stop when its lock is over, as soon as its process runs.
    fn check_stopped(&mut self, belief: &mut Belief) {
        if !belief.is_work || self.is_stalled(belief.client) {
            belief.over_since = None;
            return;
        }
        let since = *belief.over_since.get_or_insert(self.now);
        if self.now > since + self.tick_nanos() {
            let (id, client) = (belief.id, belief.client);
            let what = format!("client {client} works on under lock #{id}, which is over");
            self.violate(Check::WorkGoesOn, what);
        }
    }

    pub fn check_load(&mut self, client: usize, load: Load) {
        if load.in_flight > Driver::MOST_IN_FLIGHT {
            let what = format!("client {client} has {} in flight to a node", load.in_flight);
            self.violate(Check::InFlight, what);
        }
    }

    /// All calls are over and all faults healed: no key may be left.
    pub fn check_leaks(&mut self) {
        if self.oracle.resurrected {
            return;
        }
        let mut leaks = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            for (key, token) in node.living(self.now) {
                let excused = self.oracle.excused.iter().any(|excused| excused == token);
                let abandoned = |client: &usize| self.clients[*client].abandoned;
                if !excused && !self.owners.get(token).is_some_and(abandoned) {
                    leaks.push(format!("node {place} has `{}`", String::from_utf8_lossy(key)));
                }
            }
        }
        leaks.sort();
        if let Some(first) = leaks.first() {
            let what = format!("a key is left when all has settled: {first}");
            self.violate(Check::Leak, what);
        }
    }

    /// An idle client must have nothing left to do where no message can be late.
    pub fn check_idle(&mut self, client: usize, load: Load) {
        let late = |planned: &Planned| !planned.fault.is_pause();
        let hands = self.plan.habits.hand_over > 0;
        if !hands && !self.plan.faults.iter().any(late) && load.operations > 0 {
            let what = format!("client {client} is idle with {} operations", load.operations);
            self.violate(Check::NotIdle, what);
        }
    }

    /// A shutdown said that all is released but what it `named`. No other key of this client
    /// may be left, but those of locks that are still held, or given away. One that is `early`
    /// must leave nothing.
    pub fn check_shut(
        &mut self,
        client: usize,
        outcome: Result<&[Unreleased], &Error>,
        is_early: bool,
    ) {
        let leaves = match outcome {
            Ok(named) => !named.is_empty(),
            Err(error) => error.kind() == ErrorKind::Timeout,
        };
        if is_early && leaves {
            let what = format!("client {client} is shut down before its limit: {outcome:?}");
            self.violate(Check::KeyOfClosed, what);
        }
        let Ok(named) = outcome else { return };
        if !self.plan.faults.is_empty() || self.plan.clients[client].users > 1 {
            return; // a late acquire may still arrive, and another user may hold a lock
        }
        let held = |token: &[u8]| self.oracle.beliefs.iter().any(|b| b.peek.token() == token);
        let ours = |token: &[u8]| self.owners.get(token) == Some(&client);
        // The acquire of a lock that was taken over may still arrive.
        let not_ours = self.oracle.excused.iter().chain(&self.oracle.taken_over);
        let excused = |token: &[u8]| not_ours.clone().any(|excused| excused == token);
        let is_named = |node, key: &[u8]| {
            let is_it = |left: &Unreleased| {
                let host = left.node().split(':').next().unwrap_or_default();
                Plan::node_at(host) == Some(node) && key.ends_with(left.key())
            };
            named.iter().any(is_it)
        };
        let left = self.nodes.iter().enumerate().any(|(node, at)| {
            at.living(self.now).any(|(key, token)| {
                ours(token) && !held(token) && !excused(token) && !is_named(node, key)
            })
        });
        if left {
            let what = format!("client {client} is shut down, and a key of it is left");
            self.violate(Check::KeyOfClosed, what);
        }
    }

    /// A driver has not ended though all handles are gone. It may have operations
    /// that never end.
    pub fn check_rest(&mut self, client: usize, load: Load) {
        if load.operations > 0 {
            let what = format!("client {client} never ends {} operations", load.operations);
            self.violate(Check::DriverNeverEnds, what);
        }
    }
}
