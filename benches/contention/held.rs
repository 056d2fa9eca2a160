//! One client that holds very many locks and renews them: what it costs, and
//! whether one is lost.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use redlock_quorum::{LockGuard, Redlock, Released};
use redlock_quorum_benches::{
    common::Result,
    contenders::{self, Locker},
    many::acquire_many,
    process,
    report::{Target, figure},
    table::{self, median},
};
use tokio::{task::JoinSet, time::sleep};

use crate::Stand;

/// So many acquire, and later release, at once.
const TASKS: usize = 256;

/// What the library calls its thread.
const DRIVER: &str = "redlock-driver";

pub struct Plan {
    pub locks: usize,
    pub ttl: Duration,
    pub span: Duration,
}

pub async fn section(stand: &Stand, plan: &Plan) -> Result<Vec<Target>> {
    let urls = stand.servers.urls();
    let redlock = Redlock::builder().nodes(&urls).ttl(plan.ttl).driver_thread().build()?;
    for _ in 0..100 {
        redlock.lock("warm-up").await?.release().await?;
    }
    let (allocated, resident) = (process::allocated(), process::resident());

    let begun = Instant::now();
    let guards = acquire_many(&Renewing(redlock), 0..plan.locks, TASKS).await?;
    let acquiring = begun.elapsed();
    let holding = hold(stand, plan.span, allocated).await?;
    let resident_now = process::resident();
    let keys = stand.observer.keys().await?;

    let not_held = guards.iter().filter(|guard| !guard.is_held()).count();
    let warnings = guards.iter().filter_map(LockGuard::warning);
    let warned = warnings.clone().count();
    if let Some(first) = warnings.clone().next() {
        println!("\nthe first renewal that failed last: {first}");
    }
    let begun = Instant::now();
    let (lost, found) = release_all(guards).await?;
    let releasing = begun.elapsed();
    let keys_left = stand.observer.keys_left().await?;

    let locks = plan.locks as f64;
    let resident = resident_now.zip(resident);
    let resident = resident.map(|(after, before)| (after as f64 - before as f64) / locks);
    let outcome = Outcome {
        acquiring,
        releasing,
        keys: keys as f64 / locks,
        not_held,
        warned,
        lost,
        found,
        keys_left,
        allocated: holding.allocated / locks,
        resident,
    };
    print(plan, &outcome, &holding);
    Ok(targets(&outcome, &holding))
}

/// Each lock is renewed every third of the ttl from when it is had.
#[derive(Clone)]
struct Renewing(Redlock);

impl Locker for Renewing {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        Ok(self.0.lock(key).renew().await?)
    }

    async fn release(&self, guard: LockGuard) -> Result<()> {
        contenders::release(guard).await
    }
}

/// Looks on for `span`, and at memory once a second meanwhile: there is always
/// something on its way, not always the same.
async fn hold(stand: &Stand, span: Duration, base: isize) -> Result<Holding> {
    let before = Seen::now(stand).await?;
    let begun = Instant::now();
    let mut allocated = Vec::new();
    while begun.elapsed() < span {
        sleep(Duration::from_secs(1).min(span)).await;
        allocated.push(process::allocated() as f64 - base as f64);
    }
    let after = Seen::now(stand).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let commands = (after.commands - before.commands) as f64;
    let driver = after.driver.zip(before.driver);
    Ok(Holding {
        allocated: median(&allocated),
        driver: driver.map(|(after, before)| (after - before).as_secs_f64() / seconds),
        servers: (after.servers - before.servers).as_secs_f64() / seconds,
        per_second: commands / seconds,
        per_read: commands / (after.reads - before.reads),
    })
}

/// Counters, of which only differences say something.
struct Seen {
    driver: Option<Duration>,
    commands: u64,
    reads: f64,
    servers: Duration,
}

impl Seen {
    async fn now(stand: &Stand) -> Result<Self> {
        Ok(Self {
            driver: process::thread_time(DRIVER),
            commands: stand.observer.commands().await?,
            reads: stand.observer.sum("stats", &["total_reads_processed:"]).await?,
            servers: stand.observer.cpu().await?,
        })
    }
}

/// How many were lost by when it was their turn, and how many more by what the
/// release found.
async fn release_all(mut guards: Vec<LockGuard>) -> Result<(usize, usize)> {
    let mut running = JoinSet::new();
    let share = guards.len().div_ceil(TASKS).max(1);
    while !guards.is_empty() {
        let mine = guards.split_off(guards.len().saturating_sub(share));
        running.spawn(async move {
            let (mut lost, mut found) = (0, 0);
            for guard in mine {
                let was_held = guard.is_held();
                let released = guard.release().await? == Released::Released;
                lost += usize::from(!was_held);
                found += usize::from(was_held && !released);
            }
            Result::Ok((lost, found))
        });
    }
    let (mut lost, mut found) = (0, 0);
    while let Some(done) = running.join_next().await {
        let (lost_here, found_here) = done??;
        lost += lost_here;
        found += found_here;
    }
    Ok((lost, found))
}

/// While all were held.
struct Holding {
    allocated: f64,
    driver: Option<f64>,
    servers: f64,
    per_second: f64,
    per_read: f64,
}

/// In the end. Keys and bytes are per lock.
struct Outcome {
    acquiring: Duration,
    releasing: Duration,
    keys: f64,
    not_held: usize,
    warned: usize,
    lost: usize,
    found: usize,
    keys_left: u64,
    allocated: f64,
    resident: Option<f64>,
}

fn print(plan: &Plan, outcome: &Outcome, holding: &Holding) {
    let Plan { locks, ttl, span } = plan;
    println!("\n## {locks} locks held for {span:?}, ttl {ttl:?}, driver on its own thread\n");
    let known = |value: Option<f64>| value.map_or("unknown".to_owned(), figure);
    let rate = |taken: Duration| figure(*locks as f64 / taken.as_secs_f64());
    let rows = [
        ["acquires a second", &rate(outcome.acquiring)],
        ["keys a lock", &figure(outcome.keys)],
        ["lost: not held at the end", &outcome.not_held.to_string()],
        ["lost: not held when released", &outcome.lost.to_string()],
        ["lost: found so by the release", &outcome.found.to_string()],
        ["last renewal failed", &outcome.warned.to_string()],
        ["bytes allocated a lock", &figure(outcome.allocated)],
        ["bytes resident a lock", &known(outcome.resident)],
        ["driver thread, cores", &known(holding.driver)],
        ["servers together, cores", &figure(holding.servers)],
        ["commands a second", &figure(holding.per_second)],
        ["commands a server reads at once", &figure(holding.per_read)],
        ["releases a second", &rate(outcome.releasing)],
        ["keys left", &outcome.keys_left.to_string()],
    ];
    let header = [String::new(), "redlock-quorum".to_owned()];
    let rows = rows.map(|row| row.map(str::to_owned));
    table::print(&[header].into_iter().chain(rows).map(Vec::from).collect::<Vec<_>>());
}

fn targets(outcome: &Outcome, holding: &Holding) -> Vec<Target> {
    let lost = (outcome.lost + outcome.found) as u64;
    vec![
        Target::none("held: lost", lost),
        Target::at_most("held: bytes allocated a lock", 300.0, outcome.allocated),
        Target::at_most("held: bytes resident a lock", 300.0, outcome.resident.unwrap_or(f64::NAN)),
        Target::under("held: driver thread, cores", 1.0, holding.driver.unwrap_or(f64::NAN)),
        Target::none("held: keys left", outcome.keys_left),
    ]
}
