//! How the contenders compare, on a machine that is never quiet: rounds of all
//! of them back to back in turning order, ratios to the fan-out within each
//! round, and the medians of those. About a minute.
//!
//! `cargo bench -p redlock-quorum-benches --bench ratios`

mod common;
mod contenders;
mod table;

use std::time::Duration;

use common::{Observer, Result, five_servers, quantile};
use contenders::{Contender, Latencies, burst, latencies, warm_up};
use redlock_quorum::testing::Cluster;
use table::median;

const CONTENDERS: usize = 3;

/// How much is done in each round. Odd numbers of rounds have a median.
struct Plan {
    rounds: usize,
    pairs: usize,
    burst_pairs: [(usize, usize); 3],
    hung_pairs: usize,
    hung_pairs_fan_out: usize,
}

const FULL: Plan = Plan {
    rounds: 7,
    pairs: 1500,
    burst_pairs: [(1, 1500), (64, 8000), (256, 8000)],
    hung_pairs: 1000,
    hung_pairs_fan_out: 1,
};

/// Only shows that it runs: for `cargo test --benches`, which passes no
/// `--bench`.
const TRIAL: Plan = Plan {
    rounds: 1,
    pairs: 20,
    burst_pairs: [(1, 20), (64, 128), (256, 512)],
    hung_pairs: 20,
    hung_pairs_fan_out: 1,
};

fn main() -> Result<()> {
    let full = std::env::args().any(|arg| arg == "--bench");
    let plan = if full { FULL } else { TRIAL };
    common::runtime()?.block_on(run(&plan))
}

async fn run(plan: &Plan) -> Result<()> {
    let servers = five_servers().await?;
    let observer = Observer::connect(&servers.urls()).await?;
    let version = observer.version().await?;
    let cores = std::thread::available_parallelism()?;
    println!("{version}, servers and client on the same {cores} cores");
    println!(
        "medians of {} rounds; ×: to the fan-out in the same round, least to most",
        plan.rounds
    );

    for nodes in [1, 3, 5] {
        let contenders = Contender::all(&servers.urls()[..nodes]).await?;
        warm_up(&contenders).await?;
        println!("\n## N = {nodes}, one task, µs\n");
        let mut table = Table::new(&contenders);
        latency_rows(plan, &contenders, &observer, &mut table).await?;
        table::print(&table.rows);
    }

    let contenders = Contender::all(&servers.urls()).await?;
    warm_up(&contenders).await?;
    println!("\nN = 1 is fast where client and server happen to share a core, and slow where not.");

    println!("\n## N = 5, pairs a second\n");
    let mut table = Table::new(&contenders);
    for (tasks, pairs) in plan.burst_pairs {
        burst_row(plan, &contenders, &observer, tasks, pairs, &mut table).await?;
    }
    table::print(&table.rows);

    println!("\n## N = 5, the third node hung, one task, µs\n");
    let mut table = Table::new(&contenders);
    hung_rows(plan, &contenders, &observer, &servers, &mut table).await?;
    table::print(&table.rows);
    Ok(())
}

/// Whose turn it is in `round`: each goes first equally often.
fn turns(round: usize) -> impl Iterator<Item = usize> {
    (0..CONTENDERS).map(move |turn| (turn + round) % CONTENDERS)
}

async fn latency_rows(
    plan: &Plan,
    contenders: &[Contender; CONTENDERS],
    observer: &Observer,
    table: &mut Table,
) -> Result<()> {
    let mut taken = Taken::default();
    let mut keys_left = [0; CONTENDERS];
    for round in 0..plan.rounds {
        for turn in turns(round) {
            let measured = latencies(&contenders[turn], "one", plan.pairs).await?;
            taken[turn].push(measured);
            keys_left[turn] += observer.keys_left().await?;
        }
    }
    table.row("acquire p50", quantiles(&mut taken, acquires, 0.5));
    table.row("acquire p99", quantiles(&mut taken, acquires, 0.99));
    table.row("release p50", quantiles(&mut taken, releases, 0.5));
    table.row("release p99", quantiles(&mut taken, releases, 0.99));
    table.plain("keys left", keys_left.map(|keys| keys.to_string()));
    Ok(())
}

async fn burst_row(
    plan: &Plan,
    contenders: &[Contender; CONTENDERS],
    observer: &Observer,
    tasks: usize,
    pairs: usize,
    table: &mut Table,
) -> Result<()> {
    let mut rates = [const { Vec::new() }; CONTENDERS];
    let mut commands = [0; CONTENDERS];
    for round in 0..plan.rounds {
        for turn in turns(round) {
            let (taken, executed) = burst(&contenders[turn], observer, tasks, pairs).await?;
            rates[turn].push(pairs as f64 / taken.as_secs_f64());
            commands[turn] += executed;
        }
    }
    let name = if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") };
    table.row(&name, rates);
    // Two for each of five nodes. Fewer mean that a node so far behind that it
    // owed an answer for a node timeout was left out for a while.
    let per_pair = commands.map(|sum| format!("{:.2}", sum as f64 / (plan.rounds * pairs) as f64));
    table.plain("- commands a pair", per_pair);
    Ok(())
}

async fn hung_rows(
    plan: &Plan,
    contenders: &[Contender; CONTENDERS],
    observer: &Observer,
    servers: &Cluster,
    table: &mut Table,
) -> Result<()> {
    let hung = &servers.nodes()[2];
    let mut taken: Taken = std::array::from_fn(|_| vec![Latencies::default()]);
    let mut keys_left = [0; CONTENDERS];
    for round in 0..plan.rounds {
        for turn in turns(round) {
            let pairs = match contenders[turn] {
                Contender::FanOut(_) => plan.hung_pairs_fan_out,
                _ => plan.hung_pairs,
            };
            hung.pause().await?;
            let measured = latencies(&contenders[turn], "one", pairs).await?;
            hung.resume().await?;
            // All rounds in one: a tail that comes once a round must not be
            // lost in a median.
            taken[turn][0].acquires.extend(measured.acquires);
            taken[turn][0].releases.extend(measured.releases);
            keys_left[turn] += observer.keys_left().await?;
        }
    }
    let pairs = taken.each_ref().map(|rounds| rounds[0].acquires.len().to_string());
    table.row("acquire p50", quantiles(&mut taken, acquires, 0.5));
    table.row("acquire p99", quantiles(&mut taken, acquires, 0.99));
    table.row("acquire max", quantiles(&mut taken, acquires, 1.0));
    table.row("release p50", quantiles(&mut taken, releases, 0.5));
    table.row("release max", quantiles(&mut taken, releases, 1.0));
    table.plain("pairs", pairs);
    table.plain("keys left", keys_left.map(|keys| keys.to_string()));
    Ok(())
}

/// What each contender took, round by round.
type Taken = [Vec<Latencies>; CONTENDERS];

fn acquires(taken: &mut Latencies) -> &mut [Duration] {
    &mut taken.acquires
}

fn releases(taken: &mut Latencies) -> &mut [Duration] {
    &mut taken.releases
}

/// One quantile of each round, in microseconds.
fn quantiles(
    taken: &mut Taken,
    half: fn(&mut Latencies) -> &mut [Duration],
    share: f64,
) -> [Vec<f64>; CONTENDERS] {
    taken.each_mut().map(|rounds| {
        let micros = |round| quantile(half(round), share).as_secs_f64() * 1e6;
        rounds.iter_mut().map(micros).collect()
    })
}

/// Rows of one value per contender, and its ratio to the fan-out's.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(contenders: &[Contender; CONTENDERS]) -> Self {
        let mut header = vec![String::new()];
        for contender in contenders {
            header.push(contender.to_string());
            if !matches!(contender, Contender::FanOut(_)) {
                header.push("×".to_owned());
            }
        }
        Self { rows: vec![header] }
    }

    /// The values of all rounds, for each contender.
    fn row(&mut self, name: &str, values: [Vec<f64>; CONTENDERS]) {
        let [base, others @ ..] = &values;
        let mut row = vec![name.to_owned(), format!("{:.0}", median(base))];
        for values in others {
            let ratios: Vec<_> =
                values.iter().zip(base).map(|(value, base)| value / base).collect();
            row.push(format!("{:.0}", median(values)));
            row.push(spread(&ratios));
        }
        self.rows.push(row);
    }

    /// What no ratio is made of.
    fn plain(&mut self, name: &str, [base, others @ ..]: [String; CONTENDERS]) {
        let mut row = vec![name.to_owned(), base];
        for value in others {
            row.extend([value, String::new()]);
        }
        self.rows.push(row);
    }
}

fn spread(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    match ratios.len() {
        1 => format!("{:.3}", median(ratios)),
        _ => format!("{:.2} ({least:.2}–{most:.2})", median(ratios)),
    }
}
