//! Many who want a free key at the same instant: how long until one has it.
//!
//! Beside it the round trips to measure it by: an acquire that nobody competes
//! with, while nothing else happens, and while all the others have one too,
//! each on a key of its own. On loopback the first is next to no time, and what
//! so many clients have to do is nearly all; so both again with a network
//! between.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use redlock_quorum_benches::{
    common::{Result, millis, quantile},
    network::Network,
    report::Target,
    table::median,
};
use tokio::{
    sync::{Barrier, mpsc},
    task::JoinSet,
    time::sleep,
};

use crate::{
    Stand,
    client::{Client, Held, Library},
    versus::{Rounds, Versus},
};

const CLIENTS: usize = 50;
const KEY: &str = "start";

/// How far away servers are with a network between, one way.
const DELAY: Duration = Duration::from_millis(2);

/// How long what was dropped may still be on its way to the servers.
const SETTLE: Duration = Duration::from_millis(5);
const SETTLE_AWAY: Duration = Duration::from_millis(20);

/// How much is done in each round.
pub struct Plan {
    pub starts: usize,
    pub alone: usize,
    pub together: usize,
}

pub async fn section(
    stand: &Stand,
    rounds: usize,
    plan: &Plan,
    plan_away: &Plan,
) -> Result<Vec<Target>> {
    let servers = stand.servers.urls();
    let taken = all_rounds(stand, &servers, SETTLE, rounds, plan).await?;
    println!("\n## {CLIENTS} clients start at once, one key, {} times a round\n", plan.starts);
    print(&taken);
    let network = Network::to(&servers, DELAY).await?;
    let away = all_rounds(stand, network.urls(), SETTLE_AWAY, rounds, plan_away).await?;
    println!("\n## The same, servers {DELAY:?} away, {} times a round\n", plan_away.starts);
    print_away(&away);
    let mut targets = targets(&taken);
    targets.extend(targets_away(&away));
    Ok(targets)
}

/// Of both libraries, in the order of [`Library::BOTH`].
async fn all_rounds(
    stand: &Stand,
    urls: &[String],
    settle: Duration,
    rounds: usize,
    plan: &Plan,
) -> Result<[Vec<Taken>; 2]> {
    let [ours, theirs] = Library::BOTH.map(|library| library.clients(urls, CLIENTS));
    let clients = [ours.await?, theirs.await?];
    let mut taken: [Vec<Taken>; 2] = Default::default();
    for round in 0..rounds {
        for library in Library::turns(round) {
            let side = library as usize;
            taken[side].push(one_round(stand, settle, library, &clients[side], plan).await?);
        }
    }
    Ok(taken)
}

async fn one_round(
    stand: &Stand,
    settle: Duration,
    library: Library,
    clients: &[Client],
    plan: &Plan,
) -> Result<Taken> {
    let client = clients.first().ok_or("no clients")?.clone();
    let mut alone = tokio::spawn(alone(client, plan.alone)).await??;
    let mut together = Vec::with_capacity(plan.together * CLIENTS);
    for _ in 0..plan.together {
        together.extend(all_their_own(clients).await?);
    }
    let mut firsts = Vec::with_capacity(plan.starts);
    let mut keys_left = 0;
    for _ in 0..plan.starts {
        firsts.push(first_of(clients).await?);
        keys_left += clear(stand, library, settle).await?;
    }
    Ok(Taken {
        alone: millis(quantile(&mut alone, 0.5)),
        together: millis(quantile(&mut together, 0.5)),
        firsts: [0.5, 0.99, 1.0].map(|share| millis(quantile(&mut firsts, share))),
        keys_left,
    })
}

/// Uncontended acquires of one client.
async fn alone(client: Client, pairs: usize) -> Result<Vec<Duration>> {
    let mut acquires = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let begun = Instant::now();
        let held = client.acquire(KEY).await?;
        acquires.push(begun.elapsed());
        held.release().await?;
    }
    Ok(acquires)
}

/// One uncontended acquire of each client, all begun at once.
async fn all_their_own(clients: &[Client]) -> Result<Vec<Duration>> {
    let barrier = Arc::new(Barrier::new(clients.len()));
    let mut running = JoinSet::new();
    for (number, client) in clients.iter().cloned().enumerate() {
        let barrier = Arc::clone(&barrier);
        running.spawn(async move {
            let key = format!("own:{number}");
            barrier.wait().await;
            let begun = Instant::now();
            let held = client.acquire(&key).await?;
            let taken = begun.elapsed();
            held.release().await?;
            Result::Ok(taken)
        });
    }
    let mut acquires = Vec::with_capacity(clients.len());
    while let Some(done) = running.join_next().await {
        acquires.push(done??);
    }
    Ok(acquires)
}

/// From the barrier to the first acquire that returned. All the others are
/// dropped, and only then is it released.
async fn first_of(clients: &[Client]) -> Result<Duration> {
    let barrier = Arc::new(Barrier::new(clients.len()));
    let opened = Arc::new(OnceLock::new());
    let (winner, mut winners) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for client in clients {
        let client = client.clone();
        let (barrier, opened, winner) = (Arc::clone(&barrier), Arc::clone(&opened), winner.clone());
        running.spawn(async move {
            barrier.wait().await;
            let begun = *opened.get_or_init(Instant::now);
            let held = client.acquire(KEY).await;
            let _ = winner.send((begun.elapsed(), held));
        });
    }
    let (taken, held): (Duration, Result<Held>) = winners.recv().await.ok_or("nobody won")?;
    let held = held?;
    running.shutdown().await;
    if winners.try_recv().is_ok_and(|(_, other)| other.is_ok()) {
        return Err("two held one lock at once".into());
    }
    held.release().await?;
    Ok(taken)
}

/// Sees to it that no key is left; how many there were that nobody would have
/// deleted before their ttl.
async fn clear(stand: &Stand, library: Library, settle: Duration) -> Result<u64> {
    sleep(settle).await;
    if library == Library::Quorum {
        return stand.observer.keys_left().await;
    }
    let left = stand.observer.keys().await?;
    while stand.observer.keys().await? > 0 {
        let mut del = redis::cmd("DEL");
        stand.observer.ask_all::<u64>(del.arg(KEY)).await?;
        sleep(settle).await;
    }
    Ok(left)
}

/// What one round of one library came to; times in milliseconds.
struct Taken {
    alone: f64,
    together: f64,
    firsts: [f64; 3],
    keys_left: u64,
}

fn each(taken: &[Vec<Taken>; 2], value: impl Fn(&Taken) -> f64) -> Rounds {
    taken.each_ref().map(|rounds| rounds.iter().map(&value).collect())
}

fn in_alone(taken: &Taken) -> f64 {
    taken.firsts[1] / taken.alone
}

fn in_together(taken: &Taken) -> f64 {
    taken.firsts[1] / taken.together
}

fn print(taken: &[Vec<Taken>; 2]) {
    let mut table = Versus::new();
    add_firsts(&mut table, taken);
    table.row("acquire alone p50, ms", &each(taken, |taken| taken.alone));
    table.row("acquire together p50, ms", &each(taken, |taken| taken.together));
    table.row("p50 in acquires alone", &each(taken, |taken| taken.firsts[0] / taken.alone));
    table.row("p99 in acquires alone", &each(taken, in_alone));
    table.row("p50 in acquires together", &each(taken, |taken| taken.firsts[0] / taken.together));
    table.row("p99 in acquires together", &each(taken, in_together));
    add_keys_left(&mut table, taken);
    table.print();
}

fn print_away(taken: &[Vec<Taken>; 2]) {
    let mut table = Versus::new();
    add_firsts(&mut table, taken);
    table.row("round trip: acquire alone p50, ms", &each(taken, |taken| taken.alone));
    table.row("acquire together p50, ms", &each(taken, |taken| taken.together));
    table.row("p50 in round trips", &each(taken, |taken| taken.firsts[0] / taken.alone));
    table.row("p99 in round trips", &each(taken, in_alone));
    add_keys_left(&mut table, taken);
    table.print();
}

fn add_firsts(table: &mut Versus, taken: &[Vec<Taken>; 2]) {
    table.row("first winner p50, ms", &each(taken, |taken| taken.firsts[0]));
    table.row("first winner p99, ms", &each(taken, |taken| taken.firsts[1]));
    table.row("first winner max, ms", &each(taken, |taken| taken.firsts[2]));
}

fn add_keys_left(table: &mut Versus, taken: &[Vec<Taken>; 2]) {
    let left = [0, 1].map(|side| keys_left(taken, side).to_string());
    table.plain("keys left by what was dropped", left);
}

fn keys_left(taken: &[Vec<Taken>; 2], side: usize) -> u64 {
    taken[side].iter().map(|taken| taken.keys_left).sum()
}

fn targets(taken: &[Vec<Taken>; 2]) -> Vec<Target> {
    let [alone, _] = each(taken, in_alone);
    let [together, _] = each(taken, in_together);
    vec![
        Target::under("start: p99, in acquires alone", 20.0, median(&alone)),
        Target::under("start: p99, in acquires together", 20.0, median(&together)),
        Target::none("start: keys left", keys_left(taken, 0)),
    ]
}

fn targets_away(taken: &[Vec<Taken>; 2]) -> Vec<Target> {
    let [round_trips, _] = each(taken, in_alone);
    let name = format!("start, {} ms away", DELAY.as_millis());
    vec![
        Target::under(&format!("{name}: p99, in round trips"), 20.0, median(&round_trips)),
        Target::none(&format!("{name}: keys left"), keys_left(taken, 0)),
    ]
}
