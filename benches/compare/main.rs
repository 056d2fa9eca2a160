//! How fast it is, beside raw fan-outs and rslock: rounds of all of them back
//! to back in turning order, medians of the rounds, and ratios to floor A within
//! each. In the end what this library promises, and whether it held. Under ten
//! minutes; a table of each part, all figures as JSON, and a plot of some.
//!
//! `cargo bench -p redlock-quorum-benches --bench compare`; with `-- latency`,
//! `tasks`, `faults`, `memory`, `held`, `distance` or `fenced` only that part, with an odd
//! number so many rounds, and with `--out DIR` (in the repository, unless it is
//! absolute) the files there instead of in `target/compare`.
//!
//! The floors, all of them redis-rs and one multiplexed connection a node: A
//! waits for all nodes, B for a quorum of them while the rest goes on in a task,
//! and C has one node only, whatever N is.

mod distance;
mod faults;
mod fenced;
mod figures;
mod held;
mod latency;
mod memory;
mod output;
mod plan;
mod plot;
mod stand;
mod tables;
mod targets;
mod tasks;

use std::path::PathBuf;

use figures::Figures;
use plan::{FULL, Plan, TRIAL};
use redlock_quorum_benches::{
    arguments::{self, Arguments},
    common::{Result, runtime},
    process, report,
};

#[global_allocator]
static ALLOCATOR: process::Counting = process::Counting;

/// In the order they run.
const PARTS: [&str; 7] = ["latency", "tasks", "faults", "memory", "held", "distance", "fenced"];

fn main() -> Result<()> {
    let mut args: Vec<_> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == memory::HOLD) {
        return memory::hold(&args[1..]);
    }
    let out = arguments::take(&mut args, "--out")?.map(PathBuf::from);
    let asked = Arguments::parse(args, &PARTS)?;
    let mut plan = if asked.full { FULL } else { TRIAL };
    plan.rounds = asked.rounds.unwrap_or(plan.rounds);

    let runtime = runtime()?;
    let about = runtime.block_on(output::about(&plan))?;
    about.print();
    let figures = runtime.block_on(run(&plan, &asked.parts))?;
    let targets = targets::targets(&figures, plan.locks);
    let json = output::json(&about, &figures, &targets)?;
    let svg = plot::svg(&plan, &about, &figures)?;
    if !asked.full {
        return report::check_none(&targets);
    }
    println!("\n## Targets\n");
    report::print_targets(&targets);
    output::write(out, &json, &svg)
}

async fn run(plan: &Plan, parts: &[&str]) -> Result<Figures> {
    let mut figures = Figures::default();
    for part in PARTS.into_iter().filter(|part| parts.contains(part)) {
        match part {
            "latency" => latency::run(plan, &mut figures).await?,
            "tasks" => tasks::run(plan, &mut figures).await?,
            "faults" => faults::run(plan, &mut figures).await?,
            "memory" => memory::run(plan, &mut figures).await?,
            "held" => held::run(plan, &mut figures).await?,
            "fenced" => fenced::run(plan, &mut figures).await?,
            _ => distance::run(plan, &mut figures).await?,
        }
    }
    Ok(figures)
}
