//! How much is done while the client holds very many other locks. To floor A
//! its own locks are nothing; the servers have their keys all the same.

use redlock_quorum_benches::{
    common::Result,
    contenders::{Kind, LONG_TTL},
    many::{acquire_many, release_many},
    measure::{Until, burst, latencies},
};

use crate::{
    figures::{
        ACQUIRE, ALL_FAILED, ALL_KEYS_LEFT, Case, FAILED_END, Figures, KEYS_LEFT_END,
        PAIRS_A_SECOND, Part,
    },
    plan::{Plan, turns},
    stand::{Stand, connect},
    tables,
};

const CONTENDERS: [Kind; 2] = [Kind::FloorA, Kind::Quorum];

const TASKS: usize = 64;

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    for round in 0..plan.rounds {
        for kind in turns(&CONTENDERS, round) {
            one_turn(&stand, plan, kind, figures).await?;
        }
    }
    print(plan, figures);
    Ok(())
}

async fn one_turn(stand: &Stand, plan: &Plan, kind: Kind, figures: &mut Figures) -> Result<()> {
    let nodes = stand.servers.len();
    let contender = connect(kind, &stand.urls(), LONG_TTL).await?;
    let mut all = Vec::new();
    for held in plan.held.iter().copied() {
        all.extend(acquire_many(&contender, all.len()..held, TASKS).await?);
        stand.observer.filled((held * nodes) as u64).await?;
        let case = Case::new(Part::Held, nodes, held);
        figures.add_latencies(case, kind, latencies(&contender, plan.held_pairs).await?);
        let until = Until::Elapsed(plan.span);
        let done = burst(&contender, &stand.observer, TASKS, until).await?;
        figures.add_burst(case, kind, &done);
    }
    let held = all.len();
    let failed = release_many(&contender, all, TASKS).await;
    let case = Case::new(Part::Held, nodes, held);
    figures.add(case, kind.name(), FAILED_END, failed as f64);
    stand.count_keys_left(figures, case, kind, KEYS_LEFT_END).await
}

fn print(plan: &Plan, figures: &Figures) {
    for (what, name) in [
        ("acquire p50 at one task, µs", ACQUIRE.p50),
        ("acquire p99 at one task, µs", ACQUIRE.p99),
        ("pairs a second at 64 tasks", PAIRS_A_SECOND),
    ] {
        println!("\n## N = 5, {what}, by locks that are held meanwhile\n");
        let cases = plan.held.iter().map(|held| Case::new(Part::Held, 5, *held));
        let columns = cases.map(|case| figures.versus(case.at.to_string(), case, name));
        let mut columns: Vec<_> = columns.collect();
        if name == PAIRS_A_SECOND {
            columns.push(figures.total_of("failed", Part::Held, &ALL_FAILED));
            columns.push(figures.total_of("keys left", Part::Held, &ALL_KEYS_LEFT));
        }
        tables::print(&CONTENDERS, &columns);
    }
}
