//! Tries for a lock that a full majority refuses: how long one takes, and how many
//! commands it is.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use redlock_quorum::{ErrorKind, Redlock};
use redlock_quorum_benches::{
    common::{Result, micros, quantile},
    contenders::{LONG_TTL, release},
    report::{Target, spread},
    table::{self, median},
};
use tokio::time::sleep;

use crate::Stand;

const KEY: &str = "refused";

/// What one round came to; times in microseconds.
struct Sums {
    p50: f64,
    p99: f64,
    commands: f64,
}

pub async fn section(stand: &Stand, rounds: usize, calls: usize) -> Result<Vec<Target>> {
    println!("\n## A try for a lock that all nodes refuse, {calls} calls a round\n");
    let header = ["nodes", "p50, µs", "p99, µs", "commands a call"].map(str::to_owned);
    let (mut rows, mut targets) = (vec![header.to_vec()], Vec::new());
    for nodes in [3, 5] {
        let sums = all_rounds(stand, nodes, rounds, calls).await?;
        let each = |value: fn(&Sums) -> f64| sums.iter().map(value).collect::<Vec<_>>();
        let columns = [each(|sums| sums.p50), each(|sums| sums.p99), each(|sums| sums.commands)];
        let cells = columns.iter().map(|column| spread(column));
        rows.push([nodes.to_string()].into_iter().chain(cells).collect());
        targets.push(Target::at_most(
            &format!("refused, {nodes} nodes: commands a call"),
            2.0 * nodes as f64,
            median(&columns[2]),
        ));
    }
    table::print(&rows);
    targets.push(Target::none("refused: keys left", stand.observer.keys_left().await?));
    Ok(targets)
}

async fn all_rounds(stand: &Stand, nodes: usize, rounds: usize, calls: usize) -> Result<Vec<Sums>> {
    let urls = stand.urls(nodes);
    let client = || Redlock::builder().nodes(&urls).ttl(LONG_TTL).build();
    let (holder, refused) = (client()?, client()?);
    for _ in 0..5 {
        release(refused.lock("warm-up").await?).await?;
    }
    stand.observer.keys_left().await?;
    let guard = holder.lock(KEY).await?;
    stand.observer.filled(nodes as u64).await?;
    let mut sums = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let before = settled(stand).await?;
        let refused = refused.clone();
        let mut taken = tokio::spawn(async move { tries(&refused, calls).await }).await??;
        let commands = settled(stand).await? - before;
        sums.push(Sums {
            p50: micros(quantile(&mut taken, 0.5)),
            p99: micros(quantile(&mut taken, 0.99)),
            commands: commands as f64 / calls as f64,
        });
    }
    release(guard).await?;
    Ok(sums)
}

async fn tries(redlock: &Redlock, calls: usize) -> Result<Vec<Duration>> {
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        match redlock.try_lock(KEY).await {
            Err(error) if error.kind() == ErrorKind::Contended => taken.push(begun.elapsed()),
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("it was held, and could be had".into()),
        }
    }
    Ok(taken)
}

/// How many commands clients have written, once what was under way is done.
async fn settled(stand: &Stand) -> Result<u64> {
    let mut last = stand.observer.commands().await?;
    loop {
        sleep(Duration::from_millis(20)).await;
        let now = stand.observer.commands().await?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}
