//! How many instructions a client executes for one acquire and its release:
//! the figure that a busy machine does not touch. Two minutes.
//!
//! `make bench-instructions`, since it needs valgrind. Each client runs by
//! itself under callgrind, once for few pairs and once for many; what the many
//! cost more is their own, without connecting and warming up. In the end what
//! this library promises, and whether it held.

use std::{env, fs, path::Path, process::Command};

use futures_util::future::try_join_all;
use redlock_quorum::{LockGuard, Redlock};
use redlock_quorum_benches::{
    common::{Result, five_servers},
    contenders::{self, Kind, Locker, TTL},
    observer::{DRAIN, Observer},
    report::{self, Target},
    table,
};

/// Pairs of each task, in the shorter run and in the longer one.
const PAIRS: [usize; 2] = [50, 250];

/// How many tasks, and the most instructions that a pair may take then.
const TASKS: [(usize, f64); 2] = [(1, 40_000.0), (64, 15_000.0)];

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", client, tasks, pairs, ref urls @ ..] => {
            let urls: Vec<_> = urls.iter().copied().map(str::to_owned).collect();
            let (tasks, pairs) = (tasks.parse()?, pairs.parse()?);
            let kind = Kind::from_name(client).ok_or("no such client")?;
            one_thread()?.block_on(run_client(kind, tasks, pairs, &urls))
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

const CLIENTS: [Kind; 4] = [Kind::Quorum, Kind::Fenced, Kind::FloorA, Kind::Rslock];

/// This library as most use it: who acquires would wait, if need be.
#[derive(Clone)]
struct Waiting {
    redlock: Redlock,
    fenced: bool,
}

impl Locker for Waiting {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        let lock = self.redlock.lock(key);
        Ok(if self.fenced { lock.fenced().await? } else { lock.await? })
    }

    async fn release(&self, held: LockGuard) -> Result<()> {
        contenders::release(held).await
    }
}

/// What is counted: a client's whole life.
async fn run_client(kind: Kind, tasks: usize, pairs: usize, urls: &[String]) -> Result<()> {
    match kind {
        Kind::Quorum | Kind::Fenced => {
            let redlock = Redlock::builder().nodes(urls).ttl(TTL).build()?;
            pairs_of(&Waiting { redlock, fenced: kind == Kind::Fenced }, tasks, pairs).await
        }
        _ => pairs_of(&kind.connect(urls, TTL).await?, tasks, pairs).await,
    }
}

async fn pairs_of<L: Locker>(locker: &L, tasks: usize, pairs: usize) -> Result<()> {
    let running = (0..tasks).map(|number| {
        let locker = locker.clone();
        tokio::spawn(async move {
            let key = format!("instructions:{number}");
            for _ in 0..pairs {
                let held = locker.acquire(&key).await?;
                locker.release(held).await?;
            }
            Result::Ok(())
        })
    });
    try_join_all(running).await?.into_iter().collect()
}

/// Only shows that it runs.
async fn trial() -> Result<()> {
    let servers = five_servers().await?;
    for kind in CLIENTS {
        run_client(kind, 2, 2, &servers.urls()).await?;
    }
    Ok(())
}

async fn measure() -> Result<()> {
    let servers = five_servers().await?;
    let observer = Observer::connect(&servers.urls()).await?;
    println!("{}, five servers; instructions of the client for a pair", observer.version().await?);
    println!("of acquire and release, all on one thread\n");
    let names = CLIENTS.iter().map(Kind::to_string);
    let mut rows = vec![std::iter::once("tasks".to_owned()).chain(names).collect::<Vec<_>>()];
    let mut targets = Vec::new();
    for (tasks, most) in TASKS {
        let counts = CLIENTS.map(|kind| per_pair(kind, tasks, &servers.urls()));
        let counts: Vec<f64> = counts.into_iter().collect::<Result<_>>()?;
        let figures = counts.iter().map(|count| report::figure(*count));
        rows.push(std::iter::once(tasks.to_string()).chain(figures).collect());
        let figure = format!("instructions a pair, tasks: {tasks}");
        targets.push(Target::at_most(&figure, most, counts[0]));
    }
    let fences = Kind::Fenced.fences(TASKS[1].0, observer.servers());
    targets.push(Target::none("keys left", observer.drained(fences, DRAIN).await?.left));
    table::print(&rows);
    println!("\n## Targets\n");
    report::print_targets(&targets);
    report::check_none(&targets)
}

fn per_pair(kind: Kind, tasks: usize, urls: &[String]) -> Result<f64> {
    let [few, many] = PAIRS;
    let more = count(kind, tasks, many, urls)?.saturating_sub(count(kind, tasks, few, urls)?);
    Ok(more as f64 / ((many - few) * tasks) as f64)
}

/// All instructions of one client's life.
fn count(kind: Kind, tasks: usize, pairs: usize, urls: &[String]) -> Result<u64> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{kind:?}.{tasks}"));
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe()?)
        .args(["client", kind.name(), &tasks.to_string(), &pairs.to_string()])
        .args(urls)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let profile = fs::read_to_string(&out)?;
    let mut lines = profile.lines().rev();
    let total = lines.find_map(|line| line.strip_prefix("totals:"));
    Ok(total.ok_or("no total in callgrind's profile")?.trim().parse()?)
}
