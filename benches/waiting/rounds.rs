//! Hosts that try for a fresh key at the same instant, with `try_lock`, and again
//! with the next key: rounds in which nobody had it, or more than one.
//!
//! Whoever has it holds it until all have their answers. Once more with a node that
//! is dead or hangs, which is the home of some of the keys; with hosts that name
//! the nodes differently; and with instances of the lock service for hosts.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redlock_quorum::{
    ErrorKind,
    testing::{Cluster, TestNode},
};
use redlock_quorum_benches::{
    common::{Result, five_servers, millis, quantile},
    contenders::{Contender, Locker as _},
    observer::Observer,
    program::Program,
    report::{Target, figure},
    table,
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::hosts::{Crowd, Hosts};

/// How many rounds each case has.
pub struct Plan {
    pub well: usize,
    pub away: usize,
    pub named: usize,
    pub served: usize,
}

/// What is wrong with one of the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    None,
    Dead,
    Hung,
}

struct Case {
    name: &'static str,
    hosts: Hosts,
    away: Away,
    counts: &'static [usize],
    rounds: usize,
}

impl Plan {
    fn cases(&self) -> [Case; 5] {
        const COUNTS: &[usize] = &[3, 5, 16];
        let case = |name, hosts, away, rounds| Case { name, hosts, away, counts: COUNTS, rounds };
        [
            case("all well", Hosts::Alike, Away::None, self.well),
            case("a node dead", Hosts::Alike, Away::Dead, self.away),
            case("a node hung", Hosts::Alike, Away::Hung, self.away),
            case("named differently", Hosts::Named, Away::None, self.named),
            Case {
                counts: &COUNTS[..2],
                ..case("the lock service", Hosts::Served, Away::None, self.served)
            },
        ]
    }
}

pub async fn section(plan: &Plan, full: bool) -> Result<Vec<Target>> {
    println!("\n## Hosts that try for a fresh key at once\n");
    let header =
        ["", "rounds", "nobody", "several", "told else", "keys left", "round p50, ms", "p99, ms"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let (mut several, mut left, mut targets) = (0, 0, Vec::new());
    // Its own, since one of them is killed.
    let servers = five_servers().await?;
    for case in plan.cases() {
        if case.hosts == Hosts::Served && !full && !Program::is_named() {
            println!("no program is named: nothing is tried through the lock service\n");
            continue;
        }
        let mut nobody = 0;
        for nodes in [3, 5] {
            for count in case.counts {
                let mut outcome = play(&case, &servers, nodes, *count).await?;
                let name = format!("{}: {count} hosts, {nodes} nodes", case.name);
                eprintln!("{name}: {} of {} rounds nobody's", outcome.nobody, case.rounds);
                rows.push(outcome.row(name, case.rounds));
                nobody += outcome.nobody;
                several += outcome.several;
                left += outcome.left;
            }
        }
        let name = format!("rounds, {}: nobody won", case.name);
        targets.push(Target::at_most(&name, 0.0, nobody as f64));
    }
    table::print(&rows);
    targets.push(Target::none("rounds: several won", several));
    targets.push(Target::none("rounds: keys left", left));
    Ok(targets)
}

#[derive(Default)]
struct Outcome {
    nobody: u64,
    several: u64,
    /// Hosts that had neither the lock nor heard that another has it.
    told_else: u64,
    left: u64,
    taken: Vec<Duration>,
}

impl Outcome {
    fn row(&mut self, name: String, rounds: usize) -> Vec<String> {
        let counts = [rounds as u64, self.nobody, self.several, self.told_else, self.left];
        let spans = [0.5, 0.99].map(|share| figure(millis(quantile(&mut self.taken, share))));
        [name].into_iter().chain(counts.map(|count| count.to_string())).chain(spans).collect()
    }
}

async fn play(case: &Case, servers: &Cluster, nodes: usize, count: usize) -> Result<Outcome> {
    let urls = servers.urls()[..nodes].to_vec();
    let crowd = Crowd::gather(case.hosts, &urls, count).await?;
    let away = &servers.nodes()[1];
    begin(case.away, away).await?;
    let mut outcome = Outcome::default();
    for round in 0..case.rounds {
        one_round(&crowd.hosts, &format!("round:{round}"), &mut outcome).await?;
    }
    end(case.away, away).await?;
    outcome.left = Observer::connect(&urls).await?.keys_left().await?;
    Ok(outcome)
}

async fn begin(away: Away, node: &TestNode) -> Result<()> {
    match away {
        Away::None => Ok(()),
        Away::Dead => Ok(node.kill().await?),
        Away::Hung => Ok(node.pause().await?),
    }
}

async fn end(away: Away, node: &TestNode) -> Result<()> {
    match away {
        Away::None => Ok(()),
        Away::Dead => Ok(node.restart().await?),
        Away::Hung => Ok(node.resume().await?),
    }
}

async fn one_round(hosts: &[Arc<Contender>], key: &str, outcome: &mut Outcome) -> Result<()> {
    let barrier = Arc::new(Barrier::new(hosts.len()));
    let mut running = JoinSet::new();
    for host in hosts {
        let (host, key, barrier) = (Arc::clone(host), key.to_owned(), Arc::clone(&barrier));
        running.spawn(async move {
            barrier.wait().await;
            let begun = Instant::now();
            let answer = host.acquire(&key).await;
            (host, answer, begun.elapsed())
        });
    }
    let (mut winners, mut longest) = (Vec::new(), Duration::ZERO);
    while let Some(done) = running.join_next().await {
        let (host, answer, taken) = done?;
        longest = longest.max(taken);
        match answer {
            Ok(held) => winners.push((host, held)),
            Err(error) => outcome.told_else += u64::from(!is_refusal(&*error)),
        }
    }
    outcome.taken.push(longest);
    match winners.len() {
        0 => outcome.nobody += 1,
        1 => {}
        _ => outcome.several += 1,
    }
    for (host, held) in winners {
        host.release(held).await?;
    }
    Ok(())
}

/// Whether another has the lock, in the library's words or the service's.
fn is_refusal(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    match error.downcast_ref::<redlock_quorum::Error>() {
        Some(error) => error.kind() == ErrorKind::Contended,
        None => error.to_string().starts_with("409"),
    }
}
