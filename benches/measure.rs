//! How it is measured: how long one task's calls take, and how much many tasks
//! get done. Every pair of calls has a key of its own.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    common::Result,
    contenders::{Contender, Locker},
    observer::Observer,
    process,
};

/// What [`latencies`] measured, in the order it happened.
#[derive(Default)]
pub struct Latencies {
    pub acquires: Vec<Duration>,
    pub releases: Vec<Duration>,
    pub failed: u64,
}

/// How long each acquire and each release of `pairs` took, one after another
/// in one task of the runtime.
pub async fn latencies(contender: &Contender, pairs: usize) -> Result<Latencies> {
    let contender = contender.clone();
    // A task as users have them, not the thread that blocks on the runtime.
    let measured = tokio::spawn(async move {
        let mut taken = Latencies {
            acquires: Vec::with_capacity(pairs),
            releases: Vec::with_capacity(pairs),
            failed: 0,
        };
        let mut pair = Pair::new(&contender, 0);
        for _ in 0..pairs {
            let begun = Instant::now();
            let Some(held) = pair.acquire().await else { continue };
            taken.acquires.push(begun.elapsed());

            let begun = Instant::now();
            if pair.release(held).await {
                taken.releases.push(begun.elapsed());
            }
        }
        taken.failed = pair.failed;
        taken
    });
    Ok(measured.await?)
}

/// Acquires and releases until connections are up and caches are warm.
pub async fn warm_up(contender: &Contender) -> Result<()> {
    latencies(contender, 100).await?;
    Ok(())
}

/// When a burst is over.
#[derive(Clone, Copy)]
pub enum Until {
    Pairs(usize),
    Elapsed(Duration),
}

/// What `tasks` tasks get done together. The clocks stop when no server holds a
/// key of theirs any more, so that nobody wins by leaving work behind; where
/// keys stay, when the last of the others was gone.
pub async fn burst(
    contender: &Contender,
    observer: &Observer,
    tasks: usize,
    until: Until,
) -> Result<Burst> {
    let held = observer.keys().await?;
    let (commands, server_cpu) = (observer.commands().await?, observer.cpu().await?);
    let client_cpu = process::cpu();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let contender = contender.clone();
        let share = match until {
            Until::Pairs(pairs) => pairs / tasks + usize::from(task < pairs % tasks),
            Until::Elapsed(_) => usize::MAX,
        };
        running.spawn(async move {
            let mut pair = Pair::new(&contender, task);
            let is_over = || matches!(until, Until::Elapsed(span) if begun.elapsed() >= span);
            let mut done = 0;
            while done < share && !is_over() {
                if let Some(held) = pair.acquire().await {
                    pair.release(held).await;
                }
                done += 1;
            }
            (done as u64, pair.failed)
        });
    }
    let (mut pairs, mut failed) = (0, 0);
    while let Some(done) = running.join_next().await {
        let (done, failed_here) = done?;
        pairs += done;
        failed += failed_here;
    }
    let held = held + contender.kind.fences(pairs as usize, observer.servers());
    let drained = observer.drained(held, contender.kind.patience()).await?;
    Ok(Burst {
        pairs: pairs - failed,
        failed,
        taken: drained.at - begun,
        client_cpu: drained.client_cpu - client_cpu,
        server_cpu: observer.cpu().await? - server_cpu,
        commands: observer.commands().await? - commands,
        keys_left: drained.left,
    })
}

/// What [`burst`] measured.
pub struct Burst {
    pub pairs: u64,
    pub failed: u64,
    pub taken: Duration,
    pub client_cpu: Duration,
    pub server_cpu: Duration,
    pub commands: u64,
    pub keys_left: u64,
}

/// One task's calls, each pair on another key. A failure is told of once.
struct Pair<'a> {
    contender: &'a Contender,
    task: usize,
    number: u64,
    key: String,
    failed: u64,
}

impl<'a> Pair<'a> {
    fn new(contender: &'a Contender, task: usize) -> Self {
        Self { contender, task, number: 0, key: String::new(), failed: 0 }
    }

    async fn acquire(&mut self) -> Option<<Contender as Locker>::Held> {
        self.key.clear();
        self.number += 1;
        // A string takes all that is written.
        let _ = write!(self.key, "pair:{}:{}", self.task, self.number);
        let acquired = self.contender.acquire(&self.key).await;
        self.count_failure(acquired)
    }

    async fn release(&mut self, held: <Contender as Locker>::Held) -> bool {
        let released = self.contender.release(held).await;
        self.count_failure(released).is_some()
    }

    fn count_failure<T>(&mut self, result: Result<T>) -> Option<T> {
        result
            .inspect_err(|error| {
                if self.failed == 0 {
                    eprintln!("{}, {}: {error}", self.contender.kind, self.key);
                }
                self.failed += 1;
            })
            .ok()
    }
}
