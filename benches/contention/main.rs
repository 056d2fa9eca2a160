//! Locks that many want, and many locks, beside rslock: rounds of both back to
//! back in turning order, medians of the rounds, and ratios within each. In the
//! end what this library promises, and whether it held. Under four minutes.
//!
//! `cargo bench -p redlock-quorum-benches --bench contention`; with
//! `-- one`, `many`, `start` or `held` only that part, and with an odd number
//! so many rounds.

#[path = "../common.rs"]
mod common;
#[path = "../table.rs"]
mod table;

mod client;
mod held;
mod network;
mod process;
mod report;
mod start;
mod traffic;

use std::time::Duration;

use common::{Observer, Result, five_servers};
use redlock_quorum::testing::Cluster;
use report::Target;
use traffic::Through;

#[global_allocator]
static ALLOCATOR: process::Counting = process::Counting;

/// How much is done. Odd numbers of rounds have a median.
struct Plan {
    rounds: usize,
    traffic: Duration,
    start: start::Plan,
    start_away: start::Plan,
    held: held::Plan,
}

const FULL: Plan = Plan {
    rounds: 3,
    traffic: Duration::from_secs(5),
    start: start::Plan { starts: 200, alone: 500, together: 20 },
    start_away: start::Plan { starts: 100, alone: 100, together: 10 },
    held: held::Plan {
        locks: 100_000,
        ttl: Duration::from_secs(10),
        span: Duration::from_secs(60),
    },
};

/// Only shows that it runs, and that nothing is lost or left: for
/// `cargo test --benches`, which passes no `--bench`.
const TRIAL: Plan = Plan {
    rounds: 1,
    traffic: Duration::from_millis(500),
    start: start::Plan { starts: 5, alone: 20, together: 2 },
    start_away: start::Plan { starts: 5, alone: 5, together: 2 },
    held: held::Plan {
        locks: 2000,
        ttl: Duration::from_secs(3),
        span: Duration::from_millis(2500),
    },
};

/// In the order they run: memory is measured while there is none that others
/// have left.
const PARTS: [&str; 4] = ["held", "one", "many", "start"];

/// The servers, and who looks at them.
struct Stand {
    servers: Cluster,
    observer: Observer,
}

fn main() -> Result<()> {
    let full = std::env::args().any(|arg| arg == "--bench");
    let mut plan = if full { FULL } else { TRIAL };
    let mut parts = Vec::new();
    for arg in std::env::args().skip(1).filter(|arg| !arg.starts_with('-')) {
        match (arg.parse(), PARTS.iter().find(|part| **part == arg)) {
            (Ok(rounds), _) if rounds % 2 == 1 => plan.rounds = rounds,
            (_, Some(part)) => parts.push(*part),
            // Without `--bench` it may be the name of a test.
            _ if !full => {}
            _ => return Err(format!("`{arg}` is none of {PARTS:?} and no odd number").into()),
        }
    }
    if parts.is_empty() {
        parts.extend(PARTS);
    }
    let targets = common::runtime()?.block_on(run(&plan, &parts))?;
    if full {
        println!("\n## Targets\n");
        report::print_targets(&targets);
        return Ok(());
    }
    report::check_none(&targets)
}

async fn run(plan: &Plan, parts: &[&str]) -> Result<Vec<Target>> {
    let servers = five_servers().await?;
    let observer = Observer::connect(&servers.urls()).await?;
    let version = observer.version().await?;
    let cores = std::thread::available_parallelism()?;
    println!("{version}, five servers and all clients on the same {cores} cores{}", machine());
    println!("medians of {} rounds; ×: to rslock in the same round, least to most", plan.rounds);
    let stand = Stand { servers, observer };
    let mut targets = Vec::new();
    for part in PARTS.into_iter().filter(|part| parts.contains(part)) {
        targets.extend(match part {
            "held" => held::section(&stand, &plan.held).await?,
            "one" => {
                traffic::section(&stand, Through::OneClient, plan.rounds, plan.traffic).await?
            }
            "many" => {
                traffic::section(&stand, Through::ClientEach, plan.rounds, plan.traffic).await?
            }
            _ => start::section(&stand, plan.rounds, &plan.start, &plan.start_away).await?,
        });
    }
    Ok(targets)
}

/// What this machine is, and how busy it is already, where that can be read.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    match (model, load.split(' ').next()) {
        (Some((_, model)), Some(load)) => format!(" ({model}, load {load} before)"),
        _ => String::new(),
    }
}
