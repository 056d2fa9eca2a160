//! What waiting and being refused cost, who gets a lock that several want, and
//! whether anybody does; in the end what is promised, and whether it held.
//!
//! `make bench-waiting`, which builds the program and says where it is; with
//! `PART=` only that part, with `ROUNDS=` an odd number of rounds of the parts
//! that have a median. Five minutes.

mod counter;
mod foreign;
mod hosts;
mod idle;
mod monitor;
mod pollers;
mod polling;
mod refused;
mod rounds;

use std::time::Duration;

use redlock_quorum::testing::Cluster;
use redlock_quorum_benches::{
    arguments::Arguments,
    common::{Result, five_servers, runtime},
    machine::machine,
    observer::Observer,
    report::{self, Target},
};

/// How much is done. Odd numbers of rounds have a median.
struct Plan {
    rounds: usize,
    counter: usize,
    /// Tries of some hosts at once, on as many fresh keys, and where a node is
    /// away, and through the service.
    tries: rounds::Plan,
    refused: usize,
    idle: idle::Plan,
    foreign: foreign::Plan,
    pollers: pollers::Plan,
}

const FULL: Plan = Plan {
    rounds: 3,
    counter: 100,
    tries: rounds::Plan { well: 1000, away: 300, named: 300, served: 400 },
    refused: 2000,
    idle: idle::Plan { keys: 300, span: Duration::from_secs(60) },
    foreign: foreign::Plan { keys: 30, settled: Duration::from_secs(1) },
    pollers: pollers::Plan { lanes: 10, acquires: 300, tries: 11 },
};

/// Only shows that it runs, and that nothing is lost or left: for
/// `cargo test --benches`, which passes no `--bench`.
const TRIAL: Plan = Plan {
    rounds: 1,
    counter: 5,
    tries: rounds::Plan { well: 3, away: 1, named: 2, served: 2 },
    refused: 20,
    idle: idle::Plan { keys: 10, span: Duration::from_millis(300) },
    foreign: foreign::Plan { keys: 3, settled: Duration::from_millis(300) },
    pollers: pollers::Plan { lanes: 2, acquires: 2, tries: 2 },
};

const PARTS: [&str; 6] = ["counter", "refused", "idle", "foreign", "rounds", "pollers"];

/// The servers, and who looks at them.
struct Stand {
    servers: Cluster,
    observer: Observer,
}

impl Stand {
    async fn new() -> Result<Self> {
        let servers = five_servers().await?;
        let observer = Observer::connect(&servers.urls()).await?;
        Ok(Self { servers, observer })
    }

    /// The first of the servers.
    fn urls(&self, nodes: usize) -> Vec<String> {
        self.servers.urls()[..nodes].to_vec()
    }
}

fn main() -> Result<()> {
    let asked = Arguments::parse(std::env::args().skip(1), &PARTS)?;
    let mut plan = if asked.full { FULL } else { TRIAL };
    plan.rounds = asked.rounds.unwrap_or(plan.rounds);
    let targets = runtime()?.block_on(run(&plan, &asked))?;
    if asked.full {
        println!("\n## Targets\n");
        report::print_targets(&targets);
        return Ok(());
    }
    report::check_none(&targets)
}

async fn run(plan: &Plan, asked: &Arguments) -> Result<Vec<Target>> {
    let stand = Stand::new().await?;
    let version = stand.observer.version().await?;
    println!("{version}, all servers and all clients on the same {}", machine()?);
    let mut targets = Vec::new();
    for part in PARTS.into_iter().filter(|part| asked.parts.contains(part)) {
        targets.extend(match part {
            "counter" => counter::section(&stand, plan.counter).await?,
            "refused" => refused::section(&stand, plan.rounds, plan.refused).await?,
            "idle" => idle::section(&plan.idle).await?,
            "foreign" => foreign::section(&stand, plan.rounds, &plan.foreign).await?,
            "rounds" => rounds::section(&plan.tries, asked.full).await?,
            _ => pollers::section(&stand, &plan.pollers).await?,
        });
    }
    Ok(targets)
}
