//! How long one task's calls take with fencing numbers and on strict nodes, and without. They take
//! short turns, so that what the machine does besides meets all alike.

use redlock_quorum_benches::{
    common::Result,
    contenders::{Contender, Kind, TTL, bootstrap},
    measure::{Latencies, latencies},
    table::median,
};

use crate::{
    figures::{ACQUIRE, Case, FAILED, Figures, KEYS_LEFT, Part, RELEASE},
    plan::Plan,
    stand::{Stand, connect_all},
    tables::{self, Column, column, times},
};

/// The plain one is the measure of the others.
const CONTENDERS: [Kind; 4] = [Kind::Quorum, Kind::Fenced, Kind::Strict, Kind::StrictFenced];

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    let case = case();
    bootstrap(&stand.urls()).await?;
    let contenders = connect_all(&CONTENDERS, &stand.urls(), TTL).await?;
    let (turns, pairs) = plan.fenced;
    // All turns lock the same keys, and those of the fenced have fences from now on, as keys
    // have that are locked again and again.
    stand.observer.flush().await?;
    bootstrap(&stand.urls()).await?;
    latencies(&contenders[1], pairs).await?;
    let epochs = case.nodes as u64;
    let stays = Kind::Fenced.fences(pairs, case.nodes) + epochs;
    stand.observer.filled(stays).await?;
    for round in 0..plan.rounds {
        let taken = one_round(&contenders, round, turns, pairs).await?;
        for (kind, taken) in CONTENDERS.into_iter().zip(taken) {
            figures.add_latencies(case, kind, taken);
        }
        // Whose they would be can't be told.
        let left = stand.observer.drained(stays, Kind::Fenced.patience()).await?.left;
        figures.add(case, Kind::Fenced.name(), KEYS_LEFT, left as f64);
    }
    print(figures);
    Ok(())
}

fn case() -> Case {
    Case::new(Part::Fenced, 5, 1)
}

/// How much longer an acquire of this kind takes.
pub fn to_plain(figures: &Figures, kind: Kind) -> Option<f64> {
    let ratios = figures.ratios_to(Kind::Quorum, case(), kind.name(), ACQUIRE.p50)?;
    Some(median(&ratios))
}

async fn one_round(
    contenders: &[Contender],
    round: usize,
    turns: usize,
    pairs: usize,
) -> Result<[Latencies; CONTENDERS.len()]> {
    let mut all = CONTENDERS.map(|_| Latencies::default());
    for turn in 0..turns * all.len() {
        // a b c d, b c d a, …: each comes behind each other, and first as often as last.
        let place = (turn + turn / all.len() + round) % all.len();
        let taken = latencies(&contenders[place], pairs).await?;
        all[place].acquires.extend(taken.acquires);
        all[place].releases.extend(taken.releases);
        all[place].failed += taken.failed;
    }
    Ok(all)
}

fn print(figures: &Figures) {
    for (call, names) in [("acquire", ACQUIRE), ("release", RELEASE)] {
        println!(
            "\n## N = 5, one task: {call}, plain, with fencing numbers, and on strict nodes, µs\n"
        );
        let mut columns =
            vec![versus_plain(figures, "p50", names.p50), versus_plain(figures, "p99", names.p99)];
        if call == "release" {
            columns.push(figures.total("failed", case(), FAILED));
            columns.push(figures.total("keys left", case(), KEYS_LEFT));
        }
        tables::print(&CONTENDERS, &columns);
    }
    println!("\n×: to the plain one in the same round.");
}

fn versus_plain<'a>(figures: &'a Figures, head: &str, name: &'a str) -> Column<'a> {
    column(head, move |kind| {
        let value = figures.median(case(), kind, name)?;
        let ratios = figures.ratios_to(Kind::Quorum, case(), kind.name(), name)?;
        Some(format!("{value:.0} {}", times(&ratios)))
    })
}
