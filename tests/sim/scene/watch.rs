//! The scene of a watch: one holds a lock for long, others wait for it. Those who
//! would be told of a release have nothing to ask until then; those who would not
//! be told must notice all the same.

use std::time::Duration;

use rand::RngExt as _;

use super::Scene;
use crate::{
    plan::{MS, SECOND},
    stage::Truth,
    users::User,
    violation::Check,
};

/// The client whose user holds the lock, or directs a holder of another library.
pub const HOLDER: usize = 0;

/// The lock that all of it is about.
const KEY: &[u8] = b"w";

/// What another library writes at a key.
const FOREIGN: &[u8] = b"7d444840-9dc0-11d1-b245-5ffdce74fad2";

/// The number of no connection.
const NO_CONNECTION: u64 = u64::MAX;

/// No fault of a node is drawn by this.
const NO_FAULT: u32 = 1_999;

/// When the first of those who wait may come, and how much later the last.
pub const COME: u64 = SECOND / 2;
const COME_LATER: u64 = SECOND / 2;

/// A waiter that will be told asks no more often than this. In a quiet time it may
/// have asked twice before.
const ASK_EVERY: u64 = 4 * SECOND;
const ASKS_TO_SPARE: u64 = 2;

/// One that will not be told asks the home node alone, and no more often than this.
const POLL_EVERY: u64 = 100 * MS;
const POLLS_TO_SPARE: u64 = 3;

/// For so long after they came, or after they could not hear, those who wait may
/// ask as often as they like.
pub const UNTIL_QUIET: u64 = 2 * SECOND;

/// The longest pause of a waiter that is not told, by default.
const CEILING: u64 = 200 * MS;

/// A release must be noticed within the ceiling and so many round trips, none of
/// which counts as shorter than what the client's own timers can tell.
const ROUND_TRIPS: u64 = 10;
const SHORTEST_TRIP: u64 = 5 * MS;

/// How a lock ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is released; if it is foreign, nobody is told.
    Release,
    /// It is left to its ttl.
    Expire,
}

#[derive(Clone, Debug)]
pub struct Watch {
    /// The nodes that have the value of another library. None of them means that
    /// the holder is a user of this one.
    pub foreign: Vec<usize>,
    pub renews: bool,
    pub end: End,
    /// When the holder lets go of it. One that expires ends by its ttl.
    pub ends: u64,
    /// From when to when those who wait have no reason to ask.
    pub quiet: Vec<(u64, u64)>,
    /// From when to when all nodes have what those who wait must poll for.
    pub polled: Option<(u64, u64)>,
    /// For how long the first of those who waited holds the lock, if it does not pass
    /// it on at once.
    pub then_holds: Option<Duration>,
    /// From when on all clients can ask all nodes.
    pub well_from: u64,
}

impl User {
    pub(super) async fn watch(self, watch: Watch) {
        if self.client == HOLDER {
            self.hold_for(watch).await
        } else {
            self.wait_for_it(watch).await
        }
    }

    /// Holds the lock, lets go of it, and has a look whether somebody notices.
    async fn hold_for(mut self, watch: Watch) {
        let token = if watch.foreign.is_empty() {
            let Some(token) = self.hold_own(&watch).await else { return };
            token
        } else {
            let millis = self.ttl().0.as_millis().to_string();
            let set: [&[u8]; 5] = [b"SET", KEY, FOREIGN, b"PX", millis.as_bytes()];
            self.stage.truth().meddle(&watch.foreign, &set);
            self.until(watch.ends).await;
            if watch.end == End::Release {
                self.stage.truth().meddle(&watch.foreign, &[b"DEL", KEY]);
            }
            FOREIGN.to_vec()
        };
        while self.stage.truth().has_no_room(&token) {
            self.world.sleep(Duration::from_millis(1)).await;
        }
        let by = self.stage.truth().noticed_by(&watch);
        self.until(by).await;
        self.stage.truth().check_noticed(&watch);
    }

    /// Returns the token of the lock when it has let go of it.
    async fn hold_own(&mut self, watch: &Watch) -> Option<Vec<u8>> {
        let lock = self.redlock.lock(KEY);
        let lock = if watch.renews { lock.renew() } else { lock };
        let Some(mut holding) = self.ask(lock, KEY, Some(Duration::ZERO)).await else {
            let what = "a client asked alone, and did not get the lock".to_owned();
            self.stage.truth().violate(Check::NobodyWon, what);
            return None;
        };
        let token = holding.peek.token().to_vec();
        if watch.end == End::Expire {
            self.stage.truth().oracle.excuse(&token);
            holding.end().forget();
            self.until(watch.ends).await;
        } else {
            self.until(watch.ends).await;
            self.release(holding).await;
        }
        Some(token)
    }

    /// Waits for the lock, and passes it on soon.
    async fn wait_for_it(mut self, watch: Watch) {
        let late = self.rng.random_range(0..COME_LATER);
        let wait = (self.rng.random_range(0..2) == 0).then_some(Duration::from_secs(60));
        let holds = Duration::from_millis(self.rng.random_range(0..30));
        self.until(COME + late).await;
        let got = self.ask(self.redlock.lock(KEY), KEY, wait).await;
        if let Some(holding) = got {
            let long = self.stage.truth().serve(&watch);
            self.world.sleep(long.unwrap_or(holds)).await;
            self.release(holding).await;
        }
    }
}

impl Truth {
    /// One of those who waited has got the lock. Returns for how long it must hold it,
    /// if that matters: the others are to be quiet again.
    fn serve(&mut self, watch: &Watch) -> Option<Duration> {
        self.progress.served += 1;
        let holds = watch.then_holds.filter(|_| self.progress.served == 1)?;
        let until = self.now + holds.as_nanos() as u64;
        self.progress.quiet.push((self.now + UNTIL_QUIET, until));
        Some(holds)
    }

    /// Does something at nodes that no client of this library knows of.
    fn meddle(&mut self, nodes: &[usize], words: &[&[u8]]) {
        let command: Vec<_> = words.iter().map(|word| word.to_vec()).collect();
        for node in nodes {
            // Nobody is there to be answered.
            let _ = self.nodes[*node].execute(NO_CONNECTION, self.now, &command, NO_FAULT);
        }
    }

    /// Whether too many nodes have `token` for anyone else to get a quorum.
    fn has_no_room(&self, token: &[u8]) -> bool {
        self.votes(KEY, token) + self.plan.quorum() > self.plan.nodes.len()
    }

    /// A client has asked a node for a lock, perhaps though it would be told of its
    /// release.
    pub(super) fn note_ask(&mut self, client: usize, key: &[u8]) {
        let Some(Scene::Watch(watch)) = &self.plan.scene else { return };
        if key == KEY && watch.polled.is_some_and(|(from, until)| (from..until).contains(&self.now))
        {
            let from = watch.polled.map_or(0, |(from, _)| from);
            return self.note_poll(client, self.now - from);
        }
        let Some((place, (from, _))) = self.quiet_time(watch) else { return };
        if key != KEY || client == HOLDER {
            return;
        }
        let passed = self.now - from;
        let asks = self.progress.asks.entry((client, place)).or_default();
        *asks += 1;
        let (asks, nodes) = (*asks, self.plan.nodes.len() as u64);
        let told = self.progress.told.get(&place).copied().unwrap_or_default();
        if asks > nodes * (ASKS_TO_SPARE + told + passed / ASK_EVERY) {
            let what = format!(
                "client {client} will be told, and sent {asks} acquires to {nodes} nodes in {} ms",
                passed / MS
            );
            self.violate(Check::NeedlessAsks, what);
        }
    }

    /// The quiet time that it is now, and its place among them.
    fn quiet_time(&self, watch: &Watch) -> Option<(usize, (u64, u64))> {
        let is_now = |(from, until): &(u64, u64)| (*from..*until).contains(&self.now);
        let quiet = watch.quiet.iter().chain(&self.progress.quiet).enumerate();
        quiet.map(|(place, span)| (place, *span)).find(|(_, span)| is_now(span))
    }

    /// A client has published that it let go of a lock. Where one node is a quorum, whoever
    /// hears it has reason to ask: also of an attempt whose release is repeated.
    pub fn note_publish(&mut self) {
        let Some(Scene::Watch(watch)) = &self.plan.scene else { return };
        if self.plan.quorum() == 1
            && let Some((place, _)) = self.quiet_time(watch)
        {
            *self.progress.told.entry(place).or_default() += 1;
        }
    }

    /// A client has asked a node although it knows no better than to try.
    fn note_poll(&mut self, client: usize, passed: u64) {
        let polls = self.progress.polls.entry(client).or_default();
        *polls += 1;
        let polls = *polls;
        if polls > POLLS_TO_SPARE + passed / POLL_EVERY {
            let what = format!("client {client} has asked {polls} times in {} ms", passed / MS);
            self.violate(Check::NeedlessAsks, what);
        }
    }

    /// By when one of those who wait must have a lock that is free from now on.
    fn noticed_by(&self, watch: &Watch) -> u64 {
        let shortest = SHORTEST_TRIP.max(self.tick_nanos() * 3 / 2);
        let pause = CEILING + ROUND_TRIPS * shortest.max(2 * self.plan.latency.1);
        // An attempt of before may still wait for an answer that does not come.
        let attempt = match self.plan.faults.is_empty() {
            true => 0,
            false => self.longest_node_timeout().as_nanos() as u64,
        };
        self.now.max(watch.well_from) + attempt + pause + self.tick_nanos()
    }

    fn longest_node_timeout(&self) -> Duration {
        let all = 0..self.plan.clients.len();
        let timeouts = all.map(|client| self.plan.node_timeout(client, self.plan.habits.ttl));
        timeouts.max().unwrap_or_default()
    }

    fn check_noticed(&mut self, watch: &Watch) {
        if self.progress.served == 0 {
            let whose = if watch.foreign.is_empty() { "" } else { "another library's " };
            let what = format!("{whose}lock ended ({:?}), and nobody noticed in time", watch.end);
            self.violate(Check::Unnoticed, what);
        }
    }
}
