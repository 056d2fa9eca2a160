//! Whether commands are counted right: what the servers have counted, less what
//! scripts ran, beside what `MONITOR` shows of each server.
//!
//! The clients wait and are refused, hold, hand over, renew and release, so that
//! each command that they know is among them.

use std::time::Duration;

use redlock_quorum::{ErrorKind, Redlock};
use redlock_quorum_benches::{
    common::Result,
    contenders::{Kind, TTL, release},
    measure::warm_up,
    report::Target,
    table,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Stand,
    monitor::{Monitor, Shown},
};

const KEY: &str = "counted";
const END: &str = "that-was-all";

pub async fn section(stand: &Stand, times: usize) -> Result<Vec<Target>> {
    let urls = stand.servers.urls();
    let clients = [quorum(&urls)?, quorum(&urls)?];
    for kind in [Kind::Quorum, Kind::Rslock] {
        warm_up(&kind.connect(&urls, TTL).await?).await?;
    }
    let mut monitors = Vec::with_capacity(urls.len());
    for url in &urls {
        monitors.push(Monitor::of(url).await?);
    }
    // So that what was under way before is under way no more.
    stand.observer.keys_left().await?;
    let begin = format!("{END}-yet");
    stand.observer.ask_all::<String>(redis::cmd("ECHO").arg(&begin)).await?;
    let before = stand.observer.stats().await?;
    for monitor in &mut monitors {
        monitor.until(&begin).await?;
    }

    use_them(&clients, times).await?;
    let keys_left = stand.observer.keys_left().await?;
    for client in clients {
        client.shutdown(Duration::from_secs(5)).await?;
    }

    let after = stand.observer.stats().await?;
    stand.observer.ask_all::<String>(redis::cmd("ECHO").arg(END)).await?;
    let (mut counted, mut shown) = (Vec::new(), Vec::new());
    for ((before, after), monitor) in before.iter().zip(&after).zip(&mut monitors) {
        counted.push(after.written() - before.written());
        shown.push(monitor.until(END).await?);
    }
    print(&counted, &shown);
    let written: u64 = shown.iter().map(|shown| shown.by_clients).sum();
    let both = || counted.iter().zip(shown.iter().map(|shown| shown.by_clients));
    let missed = both().map(|(counted, shown)| shown.saturating_sub(*counted)).sum();
    let too_many: u64 = both().map(|(counted, shown)| counted.saturating_sub(shown)).sum();
    let share = too_many as f64 / written as f64;
    Ok(vec![
        Target::none("counter: commands not counted", missed),
        Target::at_most("counter: counted too many, share", 0.01, share),
        Target::none("counter: keys left", keys_left),
    ])
}

fn quorum(urls: &[String]) -> Result<Redlock> {
    Ok(Redlock::builder().nodes(urls).ttl(TTL).build()?)
}

/// Two clients of ours, with tasks that want the same key in turn, and that are
/// refused where one holds it for longer.
async fn use_them(clients: &[Redlock; 2], times: usize) -> Result<()> {
    let mut running = JoinSet::new();
    for task in 0..8 {
        let client = clients[task % 2].clone();
        running.spawn(async move {
            for _ in 0..times {
                let guard = client.lock(KEY).await?;
                sleep(Duration::from_millis(2)).await;
                release(guard).await?;
            }
            Result::Ok(())
        });
    }
    let [holder, refused] = clients;
    let guard = holder.lock("held").renew_every(Duration::from_millis(20)).await?;
    for _ in 0..times {
        match refused.try_lock("held").await {
            Err(error) if error.kind() == ErrorKind::Contended => {}
            other => return Err(format!("held, but tried for: {other:?}").into()),
        }
        let wait = Duration::from_millis(5);
        refused.lock("held").wait(wait).await.err().ok_or("it was held")?;
        refused.inspect("held").await?;
    }
    release(guard).await?;
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

fn print(counted: &[u64], shown: &[Shown]) {
    println!("\n## What clients wrote, as it is counted and as MONITOR shows it\n");
    let header = ["server", "counted", "shown", "and by scripts"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    for (server, (counted, shown)) in counted.iter().zip(shown).enumerate() {
        let cells = [server as u64 + 1, *counted, shown.by_clients, shown.by_scripts];
        rows.push(cells.map(|cell| cell.to_string()).to_vec());
    }
    table::print(&rows);
}
