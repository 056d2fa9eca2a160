//! What waiters cost while nothing happens: commands a second, over all of a span.
//!
//! One behind a holder of this library, that renews a ttl of 30 s; many of them,
//! each behind a key of its own; and one behind a value that is on a bare majority
//! of the nodes, beside one behind the same on all of them: where some nodes are
//! free, a waiter that tries instead of looking leaves votes there that it has to
//! take back. Each has five servers of its own, and all of them the same minute.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redlock_quorum::{LockGuard, Redlock};
use redlock_quorum_benches::{
    commands::Stats,
    common::Result,
    contenders::{TTL, release},
    report::{Target, figure},
    table,
};
use tokio::{task::JoinHandle, time::sleep};

use crate::Stand;

/// A token as this library makes them.
const VALUE: &str = "vX3kQ8yB0aZ~t5LmR2wJd7e";

const BARE: usize = 3;
const ALL: usize = 5;

pub struct Plan {
    pub keys: usize,
    pub span: Duration,
}

pub async fn section(plan: &Plan) -> Result<Vec<Target>> {
    let (one, many, bare, full) = tokio::try_join!(
        behind_a_holder(1, plan.span),
        behind_a_holder(plan.keys, plan.span),
        behind_a_value(BARE, plan.span),
        behind_a_value(ALL, plan.span),
    )?;
    println!("\n## Waiters while nothing happens, five nodes, {:?}\n", plan.span);
    let header = ["", "commands a second", "of them scripts", "a node and waiter", "SETs a node"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let many_name = format!("{} behind a holder each", plan.keys);
    for (name, waiters, idle) in [
        ("one behind a holder", 1, &one),
        (&many_name, plan.keys, &many),
        ("one behind a bare majority", 1, &bare),
        ("one behind the same on all nodes", 1, &full),
    ] {
        let each = idle.of_waiters() / (ALL * waiters) as f64;
        let cells = [idle.commands, idle.scripts, each, idle.sets / ALL as f64];
        rows.push([name.to_owned()].into_iter().chain(cells.map(figure)).collect());
    }
    table::print(&rows);
    let left = [&one, &many, &bare, &full].iter().map(|idle| idle.keys_left).sum();
    Ok(vec![
        Target::at_most("idle: SETs a second and node, bare majority", 0.5, bare.sets / 5.0),
        Target::none("idle: keys left", left),
    ])
}

/// Of all nodes together, a second. Scripts are renewals, and votes taken back.
struct Idle {
    commands: f64,
    scripts: f64,
    sets: f64,
    keys_left: u64,
}

impl Idle {
    fn of_waiters(&self) -> f64 {
        self.commands - self.scripts
    }
}

/// One client holds and renews all keys, and a task of another waits for each.
async fn behind_a_holder(keys: usize, span: Duration) -> Result<Idle> {
    let stand = Stand::new().await?;
    let urls = stand.servers.urls();
    let holder = Redlock::builder().nodes(&urls).ttl(TTL).build()?;
    let waiter = Redlock::builder().nodes(&urls).build()?;
    let keys: Vec<_> = (0..keys).map(|number| format!("idle:{number}")).collect();
    let locking = keys.iter().map(async |key| holder.lock(key).renew().await);
    let held = try_join_all(locking).await?;
    stand.observer.filled((keys.len() * ALL) as u64).await?;
    let waiting = wait_for(&stand, &waiter, &keys).await?;
    let idle = look_on(&stand, span).await?;
    for guard in held {
        release(guard).await?;
    }
    for waiting in waiting {
        release(waiting.await??).await?;
    }
    Ok(Idle { keys_left: stand.observer.keys_left().await?, ..idle })
}

/// The same value on so many of the nodes.
async fn behind_a_value(nodes: usize, span: Duration) -> Result<Idle> {
    let stand = Stand::new().await?;
    let waiter = Redlock::builder().nodes(stand.servers.urls()).build()?;
    for _ in 0..5 {
        release(waiter.lock("warm-up").await?).await?;
    }
    let key = "idle".to_owned();
    let taken = &stand.servers.nodes()[..nodes];
    for node in taken {
        node.command(&["SET", &key, VALUE, "PX", "600000"]).await?;
    }
    let waiting = wait_for(&stand, &waiter, std::slice::from_ref(&key)).await?;
    let idle = look_on(&stand, span).await?;
    for node in taken {
        node.command(&["DEL", &key]).await?;
    }
    for waiting in waiting {
        release(waiting.await??).await?;
    }
    Ok(Idle { keys_left: stand.observer.keys_left().await?, ..idle })
}

/// Returns when all of them listen on all nodes, and have had time to become slow.
async fn wait_for(
    stand: &Stand,
    waiter: &Redlock,
    keys: &[String],
) -> Result<Vec<JoinHandle<std::result::Result<LockGuard, redlock_quorum::Error>>>> {
    let lock = |key| tokio::spawn(waiter.lock(key).into_future());
    let waiting = keys.iter().map(lock).collect();
    let begun = Instant::now();
    let mut channels = redis::cmd("PUBSUB");
    channels.arg("CHANNELS").arg("redlock:*");
    while !stand
        .observer
        .ask_all::<Vec<Vec<u8>>>(&channels)
        .await?
        .iter()
        .all(|channels| channels.len() >= keys.len())
    {
        if begun.elapsed() > Duration::from_secs(5) {
            return Err("the waiters do not listen".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(500)).await;
    Ok(waiting)
}

async fn look_on(stand: &Stand, span: Duration) -> Result<Idle> {
    let (begun, before) = (Instant::now(), stand.observer.stats().await?);
    sleep(span).await;
    let after = stand.observer.stats().await?;
    let seconds = begun.elapsed().as_secs_f64();
    let sum = |stats: &[Stats], value: &dyn Fn(&Stats) -> u64| stats.iter().map(value).sum::<u64>();
    let a_second =
        |value: &dyn Fn(&Stats) -> u64| (sum(&after, value) - sum(&before, value)) as f64 / seconds;
    Ok(Idle {
        commands: a_second(&Stats::written),
        scripts: a_second(&|stats| stats.of("eval") + stats.of("evalsha")),
        sets: a_second(&|stats| stats.of("set")),
        keys_left: 0,
    })
}
