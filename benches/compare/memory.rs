//! What a held lock takes in the client, its handle in a vector included.
//!
//! Each contender is measured in a process of its own, so that none is given
//! memory that another has freed.

use std::{
    env,
    process::{Command, Stdio},
};

use redlock_quorum_benches::{
    common::{Result, runtime},
    contenders::{Client, Kind, LONG_TTL, Locker},
    many::{acquire_many, release_many},
    measure::{Until, burst},
    observer::{DRAIN, Observer},
    process,
    report::figure,
};

use crate::{
    figures::{ALLOCATED, Case, FAILED_END, Figures, KEYS_LEFT, Part, RESIDENT},
    plan::{Plan, turns},
    stand::Stand,
    tables,
};

/// Whose handles are worth comparing. Of the library the default placement.
const CONTENDERS: [Kind; 4] = [Kind::FloorA, Kind::Rslock, Kind::Quorum, Kind::Fenced];

/// So many acquire, and release, at once.
const TASKS: usize = 64;

/// Pairs after which a client's own buffers are as large as they get.
const WARM_UP: usize = 10_000;

/// The argument that makes this executable the process that holds.
pub const HOLD: &str = "--hold";

/// What the process that holds finds, in this order.
const MEASURED: [&str; 3] = [ALLOCATED, RESIDENT, FAILED_END];

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    let case = Case::new(Part::Memory, stand.servers.len(), plan.locks);
    for round in 0..plan.rounds {
        for kind in turns(&CONTENDERS, round) {
            let measured = in_process(&stand, kind, plan.locks)?;
            for (name, value) in MEASURED.into_iter().zip(measured) {
                figures.add(case, kind.name(), name, value);
            }
            let fences = fences(kind, plan.locks, case.nodes);
            let left = stand.observer.drained(fences, kind.patience()).await?.left;
            figures.add(case, kind.name(), KEYS_LEFT, left as f64);
            stand.clean(left + fences).await?;
        }
    }
    println!("\n## N = 5, {} locks held, bytes a lock\n", plan.locks);
    let columns = [
        figures.versus("allocated", case, ALLOCATED),
        figures.versus("resident", case, RESIDENT),
        figures.total("failed", case, FAILED_END),
        figures.total("keys left", case, KEYS_LEFT),
    ];
    tables::print(&CONTENDERS, &columns);
    for (what, name) in [("allocated", ALLOCATED), ("resident", RESIDENT)] {
        if let Some(more) = fenced_less_plain(figures, case, name) {
            println!("{what}: a fenced lock has {} bytes more", figure(more));
        }
    }
    Ok(())
}

/// Of the rounds' medians.
pub fn fenced_less_plain(figures: &Figures, case: Case, name: &str) -> Option<f64> {
    Some(figures.median(case, Kind::Fenced, name)? - figures.median(case, Kind::Quorum, name)?)
}

/// How many keys stay when all is released, those of the warm-up included.
fn fences(kind: Kind, locks: usize, nodes: usize) -> u64 {
    kind.fences(locks + WARM_UP.min(locks), nodes)
}

/// Nothing else is to be done meanwhile, so it may block.
fn in_process(stand: &Stand, kind: Kind, locks: usize) -> Result<[f64; 3]> {
    let child = Command::new(env::current_exe()?)
        .args([HOLD, kind.name(), &locks.to_string()])
        .args(stand.urls())
        .stderr(Stdio::inherit())
        .output()?;
    if !child.status.success() {
        return Err(format!("{kind}: the process that holds ended with {}", child.status).into());
    }
    let said = String::from_utf8(child.stdout)?;
    let figures =
        said.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<_>, _>>()?;
    figures.try_into().map_err(|_| format!("{kind}: the process that holds said {said:?}").into())
}

/// The process that holds. Says what it is asked for, [`MEASURED`].
pub fn hold(args: &[String]) -> Result<()> {
    process::count_allocations();
    let [kind, locks, urls @ ..] = args else {
        return Err(format!("{HOLD}: a contender, how many locks, URLs").into());
    };
    let kind = Kind::from_name(kind).ok_or("no such contender")?;
    let measured = runtime()?.block_on(hold_many(kind, locks.parse()?, urls))?;
    println!("{}", measured.map(|value| value.to_string()).join(" "));
    Ok(())
}

async fn hold_many(kind: Kind, locks: usize, urls: &[String]) -> Result<[f64; 3]> {
    let observer = Observer::connect(urls).await?;
    let contender = kind.connect(urls, LONG_TTL).await?;
    burst(&contender, &observer, TASKS, Until::Pairs(WARM_UP.min(locks))).await?;
    let fences = fences(kind, locks, urls.len());
    match contender.client {
        Client::FanOut(fan_out) => bytes_a_lock(fan_out, &observer, locks, fences).await,
        Client::Rslock(rslock) => bytes_a_lock(rslock, &observer, locks, fences).await,
        Client::Quorum(redlock) => bytes_a_lock(redlock, &observer, locks, fences).await,
        Client::Fenced(fenced) => bytes_a_lock(fenced, &observer, locks, fences).await,
        Client::Served(_) => Err("the service's locks are in another process".into()),
    }
}

/// Of the contender's own handles, none of which is larger for another's sake.
async fn bytes_a_lock<L: Locker>(
    locker: L,
    observer: &Observer,
    locks: usize,
    fences: u64,
) -> Result<[f64; 3]> {
    let now = || [process::allocated() as f64, process::resident().map_or(f64::NAN, |b| b as f64)];
    let before = now();
    let all = acquire_many(&locker, 0..locks, TASKS).await?;
    observer.filled((locks * observer.servers()) as u64 + fences).await?;
    let after = now();
    let failed = release_many(&locker, all, TASKS).await;
    // What is still being released is lost with the process.
    observer.drained(fences, DRAIN).await?;
    let [allocated, resident] = [0, 1].map(|kind| (after[kind] - before[kind]) / locks as f64);
    Ok([allocated, resident, failed as f64])
}
