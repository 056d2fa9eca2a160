//! Locks that many want, and many locks, beside rslock: rounds of both back to
//! back in turning order, medians of the rounds, and ratios within each. In the
//! end what this library promises, and whether it held. Under five minutes.
//!
//! `cargo bench -p redlock-quorum-benches --bench contention`; with
//! `-- one`, `many`, `away`, `start` or `held` only that part, and with an odd number
//! so many rounds.

mod client;
mod held;
mod start;
mod traffic;
mod versus;

use std::time::Duration;

use redlock_quorum::testing::Cluster;
use redlock_quorum_benches::{
    arguments::Arguments,
    common::{Result, five_servers, runtime},
    machine::machine,
    observer::Observer,
    process,
    report::{self, Target},
};
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
const PARTS: [&str; 5] = ["held", "one", "many", "away", "start"];

/// How far away the servers are in `away`, one way.
const AWAY: Duration = Duration::from_millis(2);

/// The servers, and who looks at them.
struct Stand {
    servers: Cluster,
    observer: Observer,
}

fn main() -> Result<()> {
    process::count_allocations();
    let asked = Arguments::parse(std::env::args().skip(1), &PARTS)?;
    let mut plan = if asked.full { FULL } else { TRIAL };
    plan.rounds = asked.rounds.unwrap_or(plan.rounds);
    let targets = runtime()?.block_on(run(&plan, &asked.parts))?;
    if asked.full {
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
    println!("{version}, five servers and all clients on the same {}", machine()?);
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
            "away" => {
                let through = Through::ClientEachAway(AWAY);
                traffic::section(&stand, through, plan.rounds, plan.traffic).await?
            }
            _ => start::section(&stand, plan.rounds, &plan.start, &plan.start_away).await?,
        });
    }
    Ok(targets)
}
