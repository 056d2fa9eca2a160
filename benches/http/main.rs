//! What HTTP costs: pairs a second through `redlock serve` beside those of the
//! library itself, on the same servers, in rounds back to back. In the end what is
//! promised, and whether it held. Under two minutes.
//!
//! `make bench-http`, which builds the program and says where it is. With an odd
//! number that many rounds, with `1` or `64` only so many callers.

use std::time::Duration;

use redlock_quorum_benches::{
    arguments::Arguments,
    common::{Result, five_servers, micros, quantile, runtime},
    contenders::{Contender, Kind, TTL},
    machine::machine,
    measure::{Burst, Until, burst, latencies, warm_up},
    observer::Observer,
    program::Program,
    report::{self, Target, figure, ratios, spread},
    table::{self, median},
};

/// Callers: tasks of the library, connections to the service.
const CALLERS: [(&str, usize); 2] = [("1", 1), ("64", 64)];

/// The share of the library's own pairs a second that the service must reach.
const SHARE: f64 = 0.5;

struct Plan {
    rounds: usize,
    span: Duration,
    /// One caller's pairs, each timed.
    pairs: usize,
}

const FULL: Plan = Plan { rounds: 5, span: Duration::from_secs(4), pairs: 2000 };

/// Only shows that it runs, and that nothing is lost or left.
const TRIAL: Plan = Plan { rounds: 1, span: Duration::from_millis(300), pairs: 50 };

/// One contender's figures with so many callers, a value a round.
#[derive(Default)]
struct Figures {
    pairs_a_second: Vec<f64>,
    /// Of a pair: who calls (for the library it is in that), the service, Redis.
    caller_cpu: Vec<f64>,
    service_cpu: Vec<f64>,
    redis_cpu: Vec<f64>,
    failed: u64,
    left: u64,
}

impl Figures {
    fn add(&mut self, burst: &Burst, service_cpu: Duration) {
        let each = |span: Duration| micros(span) / burst.pairs.max(1) as f64;
        self.pairs_a_second.push(burst.pairs as f64 / burst.taken.as_secs_f64());
        self.caller_cpu.push(each(burst.client_cpu));
        self.service_cpu.push(each(service_cpu));
        self.redis_cpu.push(each(burst.server_cpu));
        self.failed += burst.failed;
        self.left += burst.keys_left;
    }
}

fn main() -> Result<()> {
    let asked = Arguments::parse(std::env::args().skip(1), &CALLERS.map(|(name, _)| name))?;
    let mut plan = if asked.full { FULL } else { TRIAL };
    plan.rounds = asked.rounds.unwrap_or(plan.rounds);
    runtime()?.block_on(run(&plan, &asked))
}

async fn run(plan: &Plan, asked: &Arguments) -> Result<()> {
    println!(
        "{}, five servers of this machine, the client and the service on it too\n",
        machine()?
    );
    let servers = five_servers().await?;
    let observer = Observer::connect(&servers.urls()).await?;
    let program = Program::start(&servers.urls()).await?;
    let contenders = [
        Kind::Quorum.connect(&servers.urls(), TTL).await?,
        Contender::served(program.address),
        Contender::idle(program.address),
    ];
    for contender in &contenders {
        warm_up(contender).await?;
    }
    let mut targets = Vec::new();
    for (_, callers) in CALLERS.iter().filter(|(name, _)| asked.parts.contains(name)) {
        let figures = pairs(plan, &contenders, &observer, &program, *callers).await?;
        print(*callers, &figures);
        targets.extend(check(*callers, &figures));
    }
    if asked.parts.contains(&CALLERS[0].0) {
        print_latencies(plan, &contenders).await?;
    }
    println!("\n## Targets\n");
    report::print_targets(&targets);
    report::check_none(&targets)
}

async fn pairs(
    plan: &Plan,
    contenders: &[Contender; 3],
    observer: &Observer,
    program: &Program,
    callers: usize,
) -> Result<[Figures; 3]> {
    let mut figures: [Figures; 3] = Default::default();
    for round in 0..plan.rounds {
        for turn in (0..3).map(|turn| (round + turn) % 3) {
            let until = Until::Elapsed(plan.span);
            let before = program.cpu();
            let done = burst(&contenders[turn], observer, callers, until).await?;
            figures[turn].add(&done, program.cpu() - before);
        }
    }
    Ok(figures)
}

fn print(callers: usize, [library, service, idle]: &[Figures; 3]) {
    println!("\n## {callers} callers\n");
    let shares = ratios(&service.pairs_a_second, &library.pairs_a_second);
    let row = |name: &str, figures: &Figures, share: String| {
        let cpu = [&figures.caller_cpu, &figures.service_cpu, &figures.redis_cpu];
        let cpu = cpu.map(|each| figure(median(each))).join(" + ");
        vec![name.to_owned(), spread(&figures.pairs_a_second), share, cpu]
    };
    let header =
        ["", "pairs a second", "× the library", "CPU a pair: caller + service + Redis, µs"];
    table::print(&[
        header.map(str::to_owned).to_vec(),
        row("library", library, "1".to_owned()),
        row("redlock serve", service, spread(&shares)),
        row(
            Kind::Idle.name(),
            idle,
            spread(&ratios(&idle.pairs_a_second, &library.pairs_a_second)),
        ),
    ]);
}

fn check(callers: usize, [library, service, idle]: &[Figures; 3]) -> Vec<Target> {
    let share = median(&ratios(&service.pairs_a_second, &library.pairs_a_second));
    let mut targets = vec![
        Target::none(&format!("calls failed, callers: {callers}"), library.failed + service.failed),
        Target::none(&format!("keys left, callers: {callers}"), library.left + service.left),
    ];
    if callers > 1 {
        // What there is if both are done, one after the other.
        let bound = |(locks, requests)| 1.0 / (1.0 / locks + 1.0 / requests);
        let both = library.pairs_a_second.iter().copied().zip(idle.pairs_a_second.iter().copied());
        let bounds: Vec<f64> = both.map(bound).collect();
        let of_bound = median(&ratios(&service.pairs_a_second, &bounds));
        println!(
            "\n{} of what the library and two such requests, one after the other, reach",
            figure(of_bound)
        );
        let name = format!("pairs a second × the library, callers: {callers}");
        targets.insert(0, Target::at_least(&name, SHARE, share));
    }
    targets
}

/// How long one call takes, where there is no other.
async fn print_latencies(plan: &Plan, contenders: &[Contender; 3]) -> Result<()> {
    println!("\n## One caller's call, µs\n");
    let mut rows = vec![["", "lock p50", "p99", "unlock p50", "p99"].map(str::to_owned).to_vec()];
    for contender in contenders {
        let mut taken = latencies(contender, plan.pairs).await?;
        let mut row = vec![contender.kind.name().to_owned()];
        for spans in [&mut taken.acquires, &mut taken.releases] {
            row.extend([0.5, 0.99].map(|share| figure(micros(quantile(spans, share)))));
        }
        rows.push(row);
    }
    table::print(&rows);
    Ok(())
}
