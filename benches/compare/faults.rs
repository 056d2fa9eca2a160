//! One of five nodes hangs, or dies, after the client has connected to it.
//! Right before, the same client is measured with all nodes well.
//!
//! Floor C is left out: with its only node away there is no lock.

use redlock_quorum::testing::TestNode;
use redlock_quorum_benches::{
    common::Result,
    contenders::{Kind, TTL},
    measure::latencies,
    observer::Observer,
    report::{figure, most, ratios},
    table::median,
};

use crate::{
    figures::{ACQUIRE, Case, FAILED, Figures, KEYS_LEFT, KEYS_LEFT_LIVING, PAIRS, Part, RELEASE},
    plan::{Plan, turns},
    stand::{Stand, connect},
    tables::{self, Column, column, times},
};

const CONTENDERS: [Kind; 5] =
    [Kind::FloorA, Kind::FloorB, Kind::Rslock, Kind::Quorum, Kind::QuorumThread];

/// Which node it is.
const AWAY: usize = 2;

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    for part in [Part::Hung, Part::Dead] {
        let stand = Stand::start().await?;
        for round in 0..plan.rounds {
            for kind in turns(&CONTENDERS, round) {
                one_turn(&stand, plan, part, kind, figures).await?;
            }
        }
        print(figures, part);
    }
    Ok(())
}

/// With a client of its own, since redis-rs's connections stay broken.
async fn one_turn(
    stand: &Stand,
    plan: &Plan,
    part: Part,
    kind: Kind,
    figures: &mut Figures,
) -> Result<()> {
    let well = Case::new(part, stand.servers.len(), 0);
    let away = Case { at: 1, ..well };
    let mut living = stand.urls();
    living.remove(AWAY);
    let living = Observer::connect(&living).await?;
    let node = &stand.servers.nodes()[AWAY];

    let contender = connect(kind, &stand.urls(), TTL).await?;
    figures.add_latencies(well, kind, latencies(&contender, plan.fault_pairs).await?);
    let is_slow = part == Part::Hung && kind.waits_for_all();
    let pairs = if is_slow { plan.fault_pairs_slow } else { plan.fault_pairs };
    begin(part, node).await?;
    figures.add_latencies(away, kind, latencies(&contender, pairs).await?);
    let left = living.drained(0, kind.patience()).await?.left;
    figures.add(away, kind.name(), KEYS_LEFT_LIVING, left as f64);
    end(part, node).await?;

    // What was sent to a hung node is executed now. One that died is known by
    // none of the connections that there were.
    let all = Observer::connect(&stand.urls()).await?;
    let left = all.drained(0, kind.patience()).await?.left;
    figures.add(away, kind.name(), KEYS_LEFT, left as f64);
    all.flush().await
}

async fn begin(part: Part, node: &TestNode) -> Result<()> {
    match part {
        Part::Hung => node.pause().await?,
        _ => node.kill().await?,
    }
    Ok(())
}

async fn end(part: Part, node: &TestNode) -> Result<()> {
    match part {
        Part::Hung => node.resume().await?,
        _ => node.restart().await?,
    }
    Ok(())
}

/// To when all nodes were well, in the same round.
pub fn p99_to_well(figures: &Figures, part: Part, nodes: usize, kind: Kind) -> Option<Vec<f64>> {
    let [well, away] =
        [0, 1].map(|away| figures.rounds(Case::new(part, nodes, away), kind.name(), ACQUIRE.p99));
    Some(ratios(away?, well?))
}

fn print(figures: &Figures, part: Part) {
    let [well, away] = [0, 1].map(|at| Case::new(part, 5, at));
    println!("\n## N = 5, one node {}, one task: acquire, ms\n", part.name());
    let columns = [
        millis(figures, "all well: p50", well, ACQUIRE.p50, median),
        millis(figures, "p99", well, ACQUIRE.p99, median),
        millis(figures, "one away: p50", away, ACQUIRE.p50, median),
        millis(figures, "p99", away, ACQUIRE.p99, median),
        column("to all well", |kind| Some(times(&p99_to_well(figures, part, 5, kind)?))),
        millis(figures, "most", away, ACQUIRE.max, most),
        figures.total("pairs", away, PAIRS),
    ];
    tables::print(&CONTENDERS, &columns);
    println!("\n## N = 5, one node {}, one task: release, ms\n", part.name());
    let columns = [
        millis(figures, "one away: p50", away, RELEASE.p50, median),
        millis(figures, "p99", away, RELEASE.p99, median),
        millis(figures, "most", away, RELEASE.max, most),
        figures.total("failed", away, FAILED),
        figures.total("keys left meanwhile", away, KEYS_LEFT_LIVING),
        figures.total("keys left after", away, KEYS_LEFT),
    ];
    tables::print(&CONTENDERS, &columns);
}

/// Recorded in microseconds. The most is that of all rounds.
fn millis<'a>(
    figures: &'a Figures,
    head: &str,
    case: Case,
    name: &'a str,
    of_rounds: fn(&[f64]) -> f64,
) -> Column<'a> {
    column(head, move |kind| {
        Some(figure(of_rounds(figures.rounds(case, kind.name(), name)?) / 1e3))
    })
}
