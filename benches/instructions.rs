//! How many instructions a client executes for one acquire and its release:
//! the figure that a busy machine does not touch. Two minutes.
//!
//! `make bench-instructions`, since it needs valgrind. Each client runs by
//! itself under callgrind, once for few pairs and once for many; what the many
//! cost more is their own, without connecting and warming up. In the end what
//! this library promises, and whether it held.

#[path = "contention/client.rs"]
mod client;
mod common;
#[path = "contention/report.rs"]
mod report;
mod table;

use std::{env, fs, path::Path, process::Command};

use client::{Client, Library};
use common::{Observer, Result, five_servers};
use futures_util::future::try_join_all;
use report::Target;

/// Pairs of each task, in the shorter run and in the longer one.
const PAIRS: [usize; 2] = [50, 250];

/// How many tasks, and the most instructions that a pair may take then.
const TASKS: [(usize, f64); 2] = [(1, 40_000.0), (64, 15_000.0)];

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", library, tasks, pairs, ref urls @ ..] => {
            let urls = urls.iter().copied().map(str::to_owned).collect();
            run_client(library, tasks.parse()?, pairs.parse()?, urls)
        }
        ["--bench"] => one_thread()?.block_on(measure()),
        // For `cargo test --benches`: there may be no valgrind.
        _ => one_thread()?.block_on(trial()),
    }
}

/// All on one thread: how work moves between threads is not the client's.
fn one_thread() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What is counted.
fn run_client(library: &str, tasks: usize, pairs: usize, urls: Vec<String>) -> Result<()> {
    let library = Library::BOTH.into_iter().find(|known| known.to_string() == library);
    one_thread()?.block_on(async {
        let clients = library.ok_or("no such library")?.clients(&urls, 1).await?;
        let client = clients.first().ok_or("no client")?;
        pairs_of(client, tasks, pairs).await
    })
}

async fn pairs_of(client: &Client, tasks: usize, pairs: usize) -> Result<()> {
    let running = (0..tasks).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = format!("instructions:{number}");
            for _ in 0..pairs {
                client.acquire(&key).await?.release().await?;
            }
            Result::Ok(())
        })
    });
    try_join_all(running).await?.into_iter().collect()
}

/// Only shows that it runs.
async fn trial() -> Result<()> {
    let servers = five_servers().await?;
    for library in Library::BOTH {
        let clients = library.clients(&servers.urls(), 1).await?;
        pairs_of(clients.first().ok_or("no client")?, 2, 2).await?;
    }
    Ok(())
}

async fn measure() -> Result<()> {
    let servers = five_servers().await?;
    let observer = Observer::connect(&servers.urls()).await?;
    println!("{}, five servers; instructions of the client for a pair", observer.version().await?);
    println!("of acquire and release, all on one thread\n");
    let mut rows = vec![["tasks", "redlock-quorum", "rslock"].map(str::to_owned).to_vec()];
    let mut targets = Vec::new();
    for (tasks, most) in TASKS {
        let [ours, theirs] = [
            per_pair(Library::Quorum, tasks, &servers.urls())?,
            per_pair(Library::Rslock, tasks, &servers.urls())?,
        ];
        rows.push(vec![tasks.to_string(), report::figure(ours), report::figure(theirs)]);
        targets.push(Target::at_most(&format!("instructions a pair, {tasks} tasks"), most, ours));
    }
    targets.push(Target::none("keys left", observer.keys_left().await?));
    table::print(&rows);
    println!("\n## Targets\n");
    report::print_targets(&targets);
    report::check_none(&targets)
}

fn per_pair(library: Library, tasks: usize, urls: &[String]) -> Result<f64> {
    let [few, many] = PAIRS;
    let more = count(library, tasks, many, urls)?.saturating_sub(count(library, tasks, few, urls)?);
    Ok(more as f64 / ((many - few) * tasks) as f64)
}

/// All instructions of one client's life.
fn count(library: Library, tasks: usize, pairs: usize, urls: &[String]) -> Result<u64> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{library}.{tasks}"));
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe()?)
        .args(["client", &library.to_string(), &tasks.to_string(), &pairs.to_string()])
        .args(urls)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let profile = fs::read_to_string(&out)?;
    let total = profile
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    Ok(total.ok_or("no total in callgrind's profile")?.trim().parse()?)
}
