//! Criterion's view: acquire, release and pairs a second, against a plain
//! fan-out. It follows one number over time; `compare` compares the contenders
//! with each other, which numbers taken minutes apart on a shared machine
//! can't.

use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use redlock_quorum::testing::Cluster;
use redlock_quorum_benches::{
    common::{self, Result, five_servers, quantile},
    contenders::{Contender, Kind, TTL},
    measure::{Latencies, Until, burst, latencies, warm_up},
    observer::Observer,
};
use tokio::runtime::Runtime;

const CONTENDERS: [Kind; 3] = [Kind::FloorA, Kind::Quorum, Kind::QuorumThread];

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
    /// Connected and warm.
    fn contenders(&self, urls: &[String]) -> Result<Vec<Contender>> {
        let connect = |kind: Kind| {
            self.runtime.block_on(async {
                let contender = kind.connect(urls, TTL).await?;
                warm_up(&contender).await?;
                Ok(contender)
            })
        };
        CONTENDERS.into_iter().map(connect).collect()
    }

    fn latency(&self, criterion: &mut Criterion, nodes: usize) -> Result<()> {
        let urls = &self.servers.urls()[..nodes];
        let contenders = self.contenders(urls)?;

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
        group.bench_function(contender.kind.name(), |bencher| {
            bencher.iter_custom(|pairs| {
                let pairs = usize::try_from(pairs).unwrap_or(usize::MAX);
                half(self.latencies(contender, pairs)).iter().sum()
            });
        });
    }

    /// The third of five servers hangs, after all have connected to it.
    fn one_node_hung(&self, criterion: &mut Criterion) -> Result<()> {
        let contenders = self.contenders(&self.servers.urls())?;
        self.runtime.block_on(self.servers.nodes()[2].pause())?;

        let mut group = criterion.benchmark_group("acquire, N = 5, one node hung");
        // Half a second each time is nothing to plot.
        for contender in contenders.iter().filter(|contender| !contender.kind.waits_for_all()) {
            self.latency_of(&mut group, contender, |taken| taken.acquires);
            self.p99_of(contender);
        }
        group.finish();
        self.runtime.block_on(self.servers.nodes()[2].resume())?;
        Ok(())
    }

    /// Criterion knows means; a hung node shows in the tail.
    fn p99_of(&self, contender: &Contender) {
        let mut acquires = self.latencies(contender, 2000).acquires;
        let (p99, max) = (quantile(&mut acquires, 0.99), quantile(&mut acquires, 1.0));
        println!("  {}: p99 of 2000 acquires {p99:?}, longest {max:?}\n", contender.kind);
    }

    fn throughput(&self, criterion: &mut Criterion) -> Result<()> {
        let contenders = self.contenders(&self.servers.urls())?;

        let mut group = criterion.benchmark_group("pairs by tasks, N = 5");
        for tasks in [1, 64, 256] {
            // So many pairs are one iteration: enough for every task to be
            // under way for most of it.
            let pairs = (5 * tasks).max(100);
            group.throughput(Throughput::Elements(pairs as u64));
            for contender in &contenders {
                let id = BenchmarkId::new(contender.kind.name(), tasks);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|times| {
                        let pairs = pairs * usize::try_from(times).unwrap_or(usize::MAX);
                        self.burst(contender, tasks, pairs)
                    });
                });
            }
        }
        group.finish();
        Ok(())
    }

    fn latencies(&self, contender: &Contender, pairs: usize) -> Latencies {
        match self.runtime.block_on(latencies(contender, pairs)) {
            Ok(taken) if taken.failed == 0 => taken,
            Ok(taken) => abort(format!("{} pairs failed", taken.failed)),
            Err(error) => abort(error),
        }
    }

    fn burst(&self, contender: &Contender, tasks: usize, pairs: usize) -> Duration {
        let until = Until::Pairs(pairs);
        match self.runtime.block_on(burst(contender, &self.observer, tasks, until)) {
            Ok(done) if done.failed + done.keys_left == 0 => done.taken,
            Ok(done) => abort(format!("{} failed, {} keys left", done.failed, done.keys_left)),
            Err(error) => abort(error),
        }
    }
}

/// A bench that goes on after a failed acquire measures failures.
fn abort(error: impl std::fmt::Display) -> ! {
    panic!("the benchmark is void: {error}")
}
