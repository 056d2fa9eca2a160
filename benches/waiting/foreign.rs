//! A lock of another library, that is deleted and not told of: how long until our
//! waiter has it, in units of the largest `retry_delay`.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use redlock_quorum::{LockGuard, Redlock};
use redlock_quorum_benches::{
    common::{Result, quantile},
    contenders::{TTL, release},
    report::{Target, most, spread},
    table,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{Stand, polling::uuid};

/// The library's own default.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

pub struct Plan {
    pub keys: usize,
    /// How long all of them have waited at least, several times what they pause.
    pub settled: Duration,
}

pub async fn section(stand: &Stand, rounds: usize, plan: &Plan) -> Result<Vec<Target>> {
    let (first, largest) = RETRY_DELAY;
    let redlock = Redlock::builder().nodes(stand.servers.urls()).ttl(TTL);
    let redlock = redlock.retry_delay(first, largest).build()?;
    let (mut p50, mut longest) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut taken = one_round(stand, &redlock, plan).await?;
        let mut units = |share| quantile(&mut taken, share).div_duration_f64(largest);
        p50.push(units(0.5));
        longest.push(units(1.0));
    }
    println!("\n## From a foreign DEL to our grant, in largest pauses of {largest:?}\n");
    table::print(&[
        ["", "p50", "longest"].map(str::to_owned).to_vec(),
        vec![format!("{} waiters a round", plan.keys), spread(&p50), spread(&longest)],
    ]);
    Ok(vec![
        Target::at_most("foreign: longest, in largest pauses", 1.0, most(&longest)),
        Target::none("foreign: keys left", stand.observer.keys_left().await?),
    ])
}

/// As many waiters as keys, let in one after the other.
async fn one_round(stand: &Stand, redlock: &Redlock, plan: &Plan) -> Result<Vec<Duration>> {
    let mut running = JoinSet::new();
    for number in 0..plan.keys {
        let key = format!("foreign:{number}");
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(uuid()).arg("PX").arg(60_000);
        stand.observer.ask_all::<()>(&set).await?;
        let locking = redlock.lock(&key).into_future();
        running.spawn(async move {
            let guard: LockGuard = locking.await?;
            Result::Ok((number, guard, Instant::now()))
        });
    }
    sleep(plan.settled).await;
    let mut deleted = Vec::with_capacity(plan.keys);
    for number in 0..plan.keys {
        sleep(Duration::from_millis(rand::random_range(0..20))).await;
        stand.observer.ask_all::<u64>(redis::cmd("DEL").arg(format!("foreign:{number}"))).await?;
        deleted.push(Instant::now());
    }
    let mut taken = Vec::with_capacity(plan.keys);
    while let Some(done) = running.join_next().await {
        let (number, guard, had) = done??;
        taken.push(had.saturating_duration_since(deleted[number]));
        release(guard).await?;
    }
    Ok(taken)
}
