//! The fixed seeds that `make test` plays, and what must be true of the simulator
//! itself.

use std::{
    collections::{HashSet, VecDeque},
    future::{Future as _, IntoFuture as _},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Waker},
    time::Duration,
};

use redlock_quorum::{
    Redlock,
    sim::{Hunter, Io, Mutant, Promise, World, build},
};

use crate::{
    Level,
    campaign::{Campaign, Outcome},
    plan::Plan,
    profile::Profile,
    table::MUTANTS_PAGE,
    violation::Check,
};

/// Without optimisation a campaign takes a hundred times as long, so that it has
/// a hundredth of the seeds.
const SHARE: u64 = if cfg!(debug_assertions) { 100 } else { 1 };

fn campaign(level: Level, seeds: u64) -> Campaign {
    Campaign {
        level,
        profile: None,
        first: 0,
        seeds: seeds / SHARE,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        mutant: None,
        loud: false,
    }
}

fn assert_well(campaign: &Campaign, outcome: &Outcome) {
    println!("{}", outcome.summary());
    if let Some((seed, _)) = outcome.failure {
        panic!("{}", campaign.report(seed).expect("the report can be written"));
    }
    assert!(outcome.counts.acquired > 0, "not a single lock was acquired");
}

#[test]
fn a_fixed_set_of_seeds_of_the_fast_level() {
    let campaign = campaign(Level::A, 20_000);
    assert_well(&campaign, &campaign.run());
}

#[test]
fn a_fixed_set_of_seeds_of_the_slower_level() {
    let campaign = campaign(Level::B, 5_000);
    assert_well(&campaign, &campaign.run());
}

/// Whatever clocks say, numbers rise; only where nodes forget as well do they fall, and that is
/// seen.
#[test]
fn numbers_fall_where_nodes_forget_and_clocks_disagree_and_nowhere_else() {
    let falls = |profile| {
        let campaign = Campaign { profile: Some(profile), ..campaign(Level::A, 3_000) };
        let outcome = campaign.run();
        assert_well(&campaign, &outcome);
        outcome.counts.counted.get(&Check::NumbersFall.to_string()).copied().unwrap_or_default()
    };
    assert_eq!(falls(Profile::Steps), 0);
    assert!(falls(Profile::Amnesia) > 0);
}

/// The seed that the page of mutants names for this one.
fn first_seed(mutant: Mutant) -> Option<u64> {
    let page = std::fs::read_to_string(MUTANTS_PAGE).expect("the page is in the repository");
    let row = page.lines().find(|row| row.starts_with(&format!("| `{mutant:?}` |")))?;
    row.split('|').nth(3)?.trim().replace(',', "").parse().ok()
}

#[test]
fn every_mutant_dies() {
    let waiting = Mutex::new(VecDeque::from_iter(Mutant::ALL.iter().copied()));
    let survivors = Mutex::new(Vec::new());
    let work = || {
        while let Some(mutant) = { waiting.lock().unwrap().pop_front() } {
            if mutant.hunter() != Hunter::Seeds {
                continue;
            }
            let of = |first, seeds| Campaign {
                threads: 1,
                mutant: Some(mutant),
                first,
                ..campaign(Level::A, SHARE * seeds)
            };
            // Where the page says, it is noticed at once, unless the library has changed since.
            let is_noticed = |campaign: Campaign| campaign.run().failure.is_some();
            let known = first_seed(mutant).is_some_and(|seed| is_noticed(of(seed, 1)));
            if !known && !is_noticed(of(0, 30_000)) {
                survivors.lock().unwrap().push(mutant);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    assert_eq!(survivors.into_inner().unwrap(), [], "these were not noticed");
}

#[test]
fn one_seed_is_always_the_same_run_and_two_seeds_are_two() {
    for level in [Level::A, Level::B] {
        let campaign = campaign(level, 0);
        let hash = |seed| campaign.play(seed, false).truth().trace.hash();
        let hashes: HashSet<u64> = (0..30).map(hash).collect();
        assert_eq!(hashes.len(), 30);
        assert_eq!((0..30).map(hash).collect::<HashSet<_>>(), hashes);
        let recorded = campaign.play(7, true).truth().trace.hash();
        assert_eq!(recorded, hash(7), "recording a run must not change it");
    }
}

#[test]
fn every_profile_is_drawn_and_every_fault_happens() {
    let drawn: HashSet<_> = (0..1_000).map(Profile::of).collect();
    assert_eq!(drawn.len(), Profile::ALL.len());
    let faults: HashSet<_> = (0..1_000)
        .flat_map(|seed| Plan::draw(seed, Profile::of(seed)).faults)
        .map(|planned| planned.fault.name())
        .collect();
    assert_eq!(faults.len(), 23, "{faults:?}");
}

#[test]
fn a_failing_seed_is_a_report_that_can_be_read_and_played_again() {
    let broken = Campaign {
        threads: 1,
        mutant: Some(Mutant::QuorumMinusOne),
        ..campaign(Level::A, SHARE * 1_000)
    };
    let (seed, why) = broken.run().failure.expect("it is broken");
    let report = broken.report(seed).unwrap();
    assert!(report.contains(&why.what), "{report}");
    assert!(report.contains(&format!("make sim LEVEL=a SEED={seed} MUTANT=QuorumMinusOne")));
    let files: Vec<_> =
        report.split_whitespace().filter(|word| word.contains("timelines")).collect();
    let [text, page] = files[..] else { panic!("{report}") };
    let (text, page) =
        (std::fs::read_to_string(text).unwrap(), std::fs::read_to_string(page).unwrap());
    assert!(text.contains(&why.what) && text.contains("client ") && text.contains("node "));
    let plan = Plan::draw(seed, Profile::of(seed));
    let lanes = 1 + plan.clients.len() + plan.nodes.len();
    assert_eq!(page.matches("<line ").count(), lanes, "one lane each");
    assert!(
        page.contains("<rect ") && page.contains("r=\"8\""),
        "it shows what was held, and what is wrong"
    );
}

/// An array of bulk strings, as it goes over the wire.
pub fn array(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", words.len(), words.concat())
}

/// A world in which each look at the clock takes 1 µs, and nothing else happens.
#[derive(Default)]
struct Ticking(AtomicU64);

impl World for Ticking {
    fn now(&self) -> u64 {
        self.0.fetch_add(1_000, Relaxed)
    }

    fn wall(&self) -> i64 {
        0
    }

    fn sleep(&self, _span: Duration) -> Promise<()> {
        Box::pin(std::future::pending())
    }

    fn look_up(&self, _host: &str) -> Promise<std::io::Result<Vec<std::net::IpAddr>>> {
        Box::pin(std::future::pending())
    }

    fn dial(&self, _address: std::net::IpAddr) -> Promise<std::io::Result<Box<dyn Io>>> {
        Box::pin(std::future::pending())
    }

    fn seed(&self) -> u64 {
        0
    }
}

/// More requests come than the driver can take, and it does what is due all the
/// same.
#[test]
fn a_queue_that_never_empties_keeps_nothing_else_from_being_done() {
    let builder = Redlock::builder().nodes(["redis://n0"]);
    let (redlock, mut driver) = build(builder, Arc::<Ticking>::default()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut closing = pin!(redlock.shutdown(Duration::from_millis(1)));
    assert!(closing.as_mut().poll(&mut cx).is_pending());
    let done = (0..50).any(|_| {
        for _ in 0..20_000 {
            // The lock is asked for, and the future dropped at once.
            let _ = pin!(redlock.lock("k").into_future()).poll(&mut cx);
        }
        let _ = pin!(&mut driver).poll(&mut cx);
        closing.as_mut().poll(&mut cx).is_ready()
    });
    assert!(done, "the shutdown goes on after its limit");
}
