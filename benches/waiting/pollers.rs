//! One that polls beside many busy tasks of ours, on the same key: how often it
//! gives up without the lock, and what we get done meanwhile.
//!
//! Several such keys at once, each with clients of its own, so that enough of them
//! give up for a share. The tasks are on one client, which hands the lock on.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use redlock_quorum::{Builder, Redlock};
use redlock_quorum_benches::{
    common::Result,
    contenders::release,
    report::{Target, figure},
    table,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{Stand, polling::Polling};

/// A client of ours, by what it is called and how it is built.
type Variant = (&'static str, fn(Builder) -> Builder);

const VARIANTS: &[Variant] = &[
    ("defaults", |builder| builder),
    ("share_with_pollers", |builder| builder.share_with_pollers(true)),
    ("hand_overs(0)", |builder| builder.hand_overs(0)),
];

const TASKS: usize = 16;
const HOLD: Duration = Duration::from_millis(10);

/// The one that polls thinks for so long at most, so as not to keep in step.
const THINK_MS: u64 = 200;

pub struct Plan {
    /// Keys at once, and how often a lock is polled for, all keys together.
    pub lanes: usize,
    pub acquires: usize,
    /// How often it tries before it gives up.
    pub tries: usize,
}

/// What became of one variant.
struct Sums {
    polls: usize,
    failed: usize,
    /// Ours, of one key.
    per_second: f64,
    /// Ours, acquires and releases, which a loaded machine may be late for.
    ours_failed: usize,
    keys_left: u64,
}

pub async fn section(stand: &Stand, plan: &Plan) -> Result<Vec<Target>> {
    let mut all = Vec::with_capacity(VARIANTS.len());
    for variant in VARIANTS {
        all.push((variant.0, one_variant(stand, variant, plan).await?));
    }
    println!(
        "\n## One that polls beside {TASKS} tasks of ours, holds of {HOLD:?}, {} keys at once\n",
        plan.lanes
    );
    let header =
        ["ours", "polls", "failed", "share", "our acquires a second and key", "our calls failed"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (name, sums) in &all {
        let share = figure(sums.failed as f64 / sums.polls as f64);
        let counts = [sums.polls, sums.failed].map(|count| count.to_string());
        let [polls, failed] = counts;
        let ours = [figure(sums.per_second), sums.ours_failed.to_string()];
        rows.push([(*name).to_owned(), polls, failed, share].into_iter().chain(ours).collect());
    }
    table::print(&rows);
    let left = all.iter().map(|(_, sums)| sums.keys_left).sum();
    Ok(vec![Target::none("pollers: keys left", left)])
}

async fn one_variant(stand: &Stand, (_, build): &Variant, plan: &Plan) -> Result<Sums> {
    let urls = stand.servers.urls();
    let stop = Arc::new(AtomicBool::new(false));
    let (mut busy, mut polling) = (JoinSet::new(), JoinSet::new());
    let begun = Instant::now();
    for lane in 0..plan.lanes {
        let key = format!("polled:{lane}");
        let redlock = build(Redlock::builder().nodes(&urls)).build()?;
        for _ in 0..TASKS {
            busy.spawn(hold_often(redlock.clone(), key.clone(), Arc::clone(&stop)));
        }
        let share = plan.acquires / plan.lanes;
        polling.spawn(poll_often(Polling::connect(&urls, plan.tries).await?, key, share));
    }
    let (mut polls, mut failed) = (0, 0);
    while let Some(done) = polling.join_next().await {
        let (polls_here, failed_here) = done??;
        polls += polls_here;
        failed += failed_here;
    }
    stop.store(true, Relaxed);
    let span = begun.elapsed().as_secs_f64();
    let (mut acquires, mut ours_failed) = (0, 0);
    while let Some(done) = busy.join_next().await {
        let (acquires_here, failed_here) = done?;
        acquires += acquires_here;
        ours_failed += failed_here;
    }
    let per_second = acquires as f64 / span / plan.lanes as f64;
    let keys_left = stand.observer.keys_left().await?;
    Ok(Sums { polls, failed, per_second, ours_failed, keys_left })
}

/// How often it had the lock, and how many of its calls failed.
async fn hold_often(redlock: Redlock, key: String, stop: Arc<AtomicBool>) -> (usize, usize) {
    let (mut acquires, mut failed) = (0, 0);
    while !stop.load(Relaxed) {
        let Ok(guard) = redlock.lock(&key).await else {
            failed += 1;
            continue;
        };
        acquires += 1;
        sleep(HOLD).await;
        if let Err(error) = release(guard).await {
            failed += 1;
            eprintln!("{key}: {error}");
        }
    }
    (acquires, failed)
}

/// How often it polled, and in vain.
async fn poll_often(polling: Polling, key: String, acquires: usize) -> Result<(usize, usize)> {
    let mut failed = 0;
    for _ in 0..acquires {
        sleep(Duration::from_millis(rand::random_range(0..THINK_MS))).await;
        match polling.acquire(&key).await {
            Some(value) => {
                sleep(HOLD).await;
                polling.release(&key, &value).await;
            }
            None => failed += 1,
        }
    }
    Ok((acquires, failed))
}
