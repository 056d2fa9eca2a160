//! How much many tasks of one client get done, and what that costs the client
//! and the servers.

use redlock_quorum_benches::{
    common::Result,
    contenders::{Kind, TTL},
    measure::{Until, burst},
    report::figure,
};

use crate::{
    figures::{
        CLIENT_CPU, COMMANDS, Case, FAILED, Figures, KEYS_LEFT, PAIRS_A_SECOND, Part, SERVER_CPU,
    },
    plan::{Plan, turns},
    stand::{Stand, connect_all},
    tables::{self, Column, column},
};

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    for nodes in plan.nodes.iter().copied() {
        let contenders = connect_all(&Kind::ALL, &stand.urls()[..nodes], TTL).await?;
        for tasks in plan.tasks.iter().copied() {
            let case = Case::new(Part::Tasks, nodes, tasks);
            for round in 0..plan.rounds {
                for kind in turns(&Kind::ALL, round) {
                    let contender = &contenders[kind as usize];
                    let until = Until::Elapsed(plan.span);
                    let done = burst(contender, &stand.observer, tasks, until).await?;
                    figures.add_burst(case, kind, &done);
                    stand.clean(done.keys_left).await?;
                }
            }
        }
        print(plan, figures, nodes);
    }
    Ok(())
}

fn print(plan: &Plan, figures: &Figures, nodes: usize) {
    println!("\n## N = {nodes}, pairs a second by tasks\n");
    print_by_tasks(plan, nodes, |head, case| figures.versus(head, case, PAIRS_A_SECOND));
    println!("\n## N = {nodes}, CPU of the client + of all servers for a pair, µs\n");
    print_by_tasks(plan, nodes, |head, case| column(head, move |kind| cpu(figures, case, kind)));
    println!("\n## N = {nodes}, commands for a pair\n");
    print_by_tasks(plan, nodes, |head, case| figures.plain(head, case, COMMANDS));
    println!("\n## N = {nodes}, keys left, and calls that failed, in all rounds\n");
    print_by_tasks(plan, nodes, |head, case| {
        column(head, move |kind| left_and_failed(figures, case, kind))
    });
}

fn print_by_tasks<'a>(plan: &Plan, nodes: usize, make: impl Fn(String, Case) -> Column<'a>) {
    let columns = plan.tasks.iter().map(|tasks| {
        let head = if *tasks == 1 { "1 task".to_owned() } else { tasks.to_string() };
        make(head, Case::new(Part::Tasks, nodes, *tasks))
    });
    tables::print(&Kind::ALL, &columns.collect::<Vec<_>>());
}

fn cpu(figures: &Figures, case: Case, kind: Kind) -> Option<String> {
    let [client, servers] =
        [CLIENT_CPU, SERVER_CPU].map(|name| figures.median(case, kind, name).map(figure));
    Some(format!("{} + {}", client?, servers?))
}

fn left_and_failed(figures: &Figures, case: Case, kind: Kind) -> Option<String> {
    let [left, failed] = [KEYS_LEFT, FAILED].map(|name| {
        figures.rounds(case, kind.name(), name).map(|rounds| rounds.iter().sum::<f64>())
    });
    Some(format!("{:.0}, {:.0}", left?, failed?))
}
