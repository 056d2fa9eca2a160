//! How long one task's calls take.

use redlock_quorum_benches::{
    common::Result,
    contenders::{Kind, TTL},
    measure::latencies,
};

use crate::{
    figures::{ACQUIRE, Case, FAILED, Figures, KEYS_LEFT, Part, RELEASE},
    plan::{Plan, turns},
    stand::{Stand, connect_all},
    tables,
};

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    for nodes in plan.nodes.iter().copied() {
        let case = Case::new(Part::Latency, nodes, 1);
        let contenders = connect_all(&Kind::ALL, &stand.urls()[..nodes], TTL).await?;
        for round in 0..plan.rounds {
            for kind in turns(&Kind::ALL, round) {
                let taken = latencies(&contenders[kind as usize], plan.pairs).await?;
                figures.add_latencies(case, kind, taken);
                stand.count_keys_left(figures, case, kind, KEYS_LEFT).await?;
            }
        }
        print(figures, case);
    }
    println!("\nN = 1 is fast where client and server happen to share a core, and slow where not.");
    Ok(())
}

fn print(figures: &Figures, case: Case) {
    for (call, names) in [("acquire", ACQUIRE), ("release", RELEASE)] {
        println!("\n## N = {}, one task: {call}, µs\n", case.nodes);
        let mut columns = vec![
            figures.versus("p50", case, names.p50),
            figures.versus("p99", case, names.p99),
            figures.versus("p999", case, names.p999),
        ];
        if call == "release" {
            columns.push(figures.total("failed", case, FAILED));
            columns.push(figures.total("keys left", case, KEYS_LEFT));
        }
        tables::print(&Kind::ALL, &columns);
    }
}
