//! One lock over five nodes: it is taken, refused to another client, taken again
//! while a node is dead, extended and released.
//!
//! `cargo run --example quickstart` starts the nodes itself. To use servers
//! that run already, masters independent of each other:
//! `REDLOCK_NODES=redis://host1,redis://host2,redis://host3`.

#![expect(
    clippy::disallowed_methods,
    reason = "the library reads time in one place; not so an example"
)]

use std::{
    env,
    error::Error,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use redlock_quorum::{
    ErrorKind, LockGuard, Redlock,
    testing::{Backend, Cluster},
};

const TTL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (urls, cluster) = find_nodes().await?;
    // A key that no earlier run can have left on your servers.
    let key = format!("quickstart:{}", SystemTime::UNIX_EPOCH.elapsed()?.as_nanos());

    let redlock = Redlock::builder().nodes(&urls).ttl(TTL).build()?;
    let start = Instant::now();
    let guard = redlock.lock(&key).await?;
    step("Take the lock, connecting first", start);
    show(&guard).await;

    let start = Instant::now();
    let another = Redlock::builder().nodes(&urls).build()?;
    match another.try_lock(&key).await {
        Err(error) if error.kind() == ErrorKind::Contended => {
            step("Another client asks for it too", start);
            match error.retry_after() {
                Some(left) => println!("    refused: free in {} or sooner", seconds(left)),
                None => println!("    refused"),
            }
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("two clients hold the same lock".into()),
    }

    let start = Instant::now();
    // Dropping the guard releases too, in the background.
    guard.release().await?;
    step("Release it", start);

    match &cluster {
        Some(cluster) => {
            let node = cluster.nodes().get(2).ok_or("there is no third node")?;
            println!("\nKill node {}", node.address());
            node.kill().await?;
        }
        None => println!("\nKilling a node is skipped: these are yours"),
    }

    let start = Instant::now();
    let guard = redlock.lock(&key).wait(Duration::from_secs(3)).await?;
    step("Take the lock again", start);
    show(&guard).await;

    let start = Instant::now();
    guard.extend(3 * TTL).await?;
    step("Extend it", start);
    println!("    held for {} from now", seconds(guard.remaining()));

    let start = Instant::now();
    guard.release().await?;
    step("Release it", start);

    let start = Instant::now();
    // Nothing needs to wait for what is still being released at the dead node.
    redlock.shutdown(Duration::from_secs(1)).await?;
    step("Shut down", start);
    Ok(())
}

/// The URLs of five nodes, and the nodes themselves if they are ours to kill.
async fn find_nodes() -> Result<(Vec<String>, Option<Cluster>), Box<dyn Error>> {
    if let Ok(urls) = env::var("REDLOCK_NODES") {
        let urls: Vec<_> = urls.split(',').map(|url| url.trim().to_owned()).collect();
        println!("Nodes from REDLOCK_NODES: {}\n", urls.len());
        return Ok((urls, None));
    }
    println!("Starting five nodes (set REDLOCK_NODES to use servers of yours)");
    let start = Instant::now();
    let cluster = Cluster::builder().nodes(5).or_memory().start().await?;
    step(
        match cluster.backend() {
            Backend::Memory => "Stand-ins in this process's memory",
            _ => "Five servers on this machine",
        },
        start,
    );
    println!();
    Ok((cluster.urls(), Some(cluster)))
}

/// Shows which nodes voted. A lock is ours as soon as a majority has granted it, so
/// the last votes come in a little later: this waits for them.
async fn show(guard: &LockGuard) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let votes = guard.votes();
    for (address, latency) in votes.nodes() {
        match latency {
            Some(latency) => println!("    {address:<21} granted, {:>9}", millis(latency)),
            None => println!("    {address:<21} did not vote"),
        }
    }
    println!(
        "    {} votes, {} needed, {} to spare; held for {} more",
        votes.granted(),
        votes.needed(),
        votes.margin(),
        seconds(guard.remaining()),
    );
}

fn step(what: &str, start: Instant) {
    println!("{what:<35} {:>9}", millis(start.elapsed()));
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1000.0)
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}
