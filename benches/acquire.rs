//! Criterion's view: acquire, release and pairs a second, against a plain
//! fan-out. It follows one number over time; `ratios` compares the contenders
//! with each other, which numbers taken minutes apart on a shared machine
//! can't.

mod common;
mod contenders;

use std::time::Duration;

use common::{Observer, Result, five_servers, quantile};
use contenders::{Contender, Latencies, burst, latencies, warm_up};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use redlock_quorum::testing::Cluster;
use tokio::runtime::Runtime;

fn main() -> Result<()> {
    let runtime = common::runtime()?;
    let servers = runtime.block_on(five_servers())?;
    let observer = runtime.block_on(Observer::connect(&servers.urls()))?;
    println!("{}", runtime.block_on(observer.version())?);
    let bench = Bench { runtime, servers, observer };

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for nodes in [1, 3, 5] {
        bench.latency(&mut criterion, nodes)?;
    }
    bench.one_node_hung(&mut criterion)?;
    bench.throughput(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

struct Bench {
    runtime: Runtime,
    servers: Cluster,
    observer: Observer,
}

impl Bench {
    fn latency(&self, criterion: &mut Criterion, nodes: usize) -> Result<()> {
        let urls = &self.servers.urls()[..nodes];
        let contenders = self.runtime.block_on(Contender::all(urls))?;
        self.runtime.block_on(warm_up(&contenders))?;

        let mut group = criterion.benchmark_group(format!("acquire, N = {nodes}"));
        for contender in &contenders {
            self.latency_of(&mut group, contender, |taken| taken.acquires);
        }
        group.finish();

        let mut group = criterion.benchmark_group(format!("release, N = {nodes}"));
        for contender in &contenders {
            self.latency_of(&mut group, contender, |taken| taken.releases);
        }
        group.finish();
        Ok(())
    }

    /// Times one half of each pair.
    fn latency_of(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        contender: &Contender,
        half: fn(Latencies) -> Vec<Duration>,
    ) {
        group.bench_function(contender.to_string(), |bencher| {
            bencher.iter_custom(|pairs| {
                let pairs = usize::try_from(pairs).unwrap_or(usize::MAX);
                let taken = self.runtime.block_on(latencies(contender, "one", pairs));
                half(taken.unwrap_or_else(abort)).iter().sum()
            });
        });
    }

    /// The third of five servers hangs, after all have connected to it.
    fn one_node_hung(&self, criterion: &mut Criterion) -> Result<()> {
        let contenders = self.runtime.block_on(Contender::all(&self.servers.urls()))?;
        self.runtime.block_on(warm_up(&contenders))?;
        self.runtime.block_on(self.servers.nodes()[2].pause())?;

        let mut group = criterion.benchmark_group("acquire, N = 5, one node hung");
        // The fan-out waits half a second each time: nothing to plot.
        for contender in contenders.iter().filter(|c| !matches!(c, Contender::FanOut(_))) {
            self.latency_of(&mut group, contender, |taken| taken.acquires);
            self.p99_of(contender);
        }
        group.finish();
        self.runtime.block_on(self.servers.nodes()[2].resume())?;
        Ok(())
    }

    /// Criterion knows means; a hung node shows in the tail.
    fn p99_of(&self, contender: &Contender) {
        let taken = self.runtime.block_on(latencies(contender, "one", 2000));
        let mut acquires = taken.unwrap_or_else(abort).acquires;
        let (p99, max) = (quantile(&mut acquires, 0.99), quantile(&mut acquires, 1.0));
        println!("  {contender}: p99 of 2000 acquires {p99:?}, longest {max:?}\n");
    }

    fn throughput(&self, criterion: &mut Criterion) -> Result<()> {
        let contenders = self.runtime.block_on(Contender::all(&self.servers.urls()))?;
        self.runtime.block_on(warm_up(&contenders))?;

        let mut group = criterion.benchmark_group("pairs by tasks, N = 5");
        for tasks in [1, 64, 256] {
            // So many pairs are one iteration: enough for every task to be
            // under way for most of it.
            let pairs = (5 * tasks).max(100);
            group.throughput(Throughput::Elements(pairs as u64));
            for contender in &contenders {
                let id = BenchmarkId::new(contender.to_string(), tasks);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|times| {
                        let pairs = pairs * usize::try_from(times).unwrap_or(usize::MAX);
                        let taken =
                            self.runtime.block_on(burst(contender, &self.observer, tasks, pairs));
                        taken.unwrap_or_else(abort).0
                    });
                });
            }
        }
        group.finish();
        Ok(())
    }
}

/// A bench that goes on after a failed acquire measures failures.
fn abort<T>(error: Box<dyn std::error::Error + Send + Sync>) -> T {
    panic!("the benchmark is void: {error}")
}
