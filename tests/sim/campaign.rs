//! A campaign: many seeds on all cores, what they covered, and the first that
//! failed.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

use redlock_quorum::sim::{Mutant, choose};

use crate::{
    Level,
    plan::Plan,
    profile::Profile,
    quarantine::{self, Met},
    stage::{Counts, Shared},
    timeline,
    violation::{Check, Violation},
};

/// One seed in so many is played twice: both traces must be the same.
const TWICE: u64 = 100;

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub level: Level,
    /// The profile of all seeds. If there is none, each seed has its own.
    pub profile: Option<Profile>,
    pub first: u64,
    pub seeds: u64,
    pub threads: usize,
    /// A wrong turn that the client takes.
    pub mutant: Option<Mutant>,
    /// Whether to report progress.
    pub loud: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    pub took: Duration,
    /// The lowest of the seeds that failed, and what was wrong there.
    pub failure: Option<(u64, Violation)>,
}

impl Campaign {
    fn plan(&self, seed: u64) -> Plan {
        Plan::draw(seed, self.profile.unwrap_or_else(|| Profile::of(seed)))
    }

    /// Plays one seed.
    pub fn play(&self, seed: u64, record: bool) -> Shared {
        choose(self.mutant);
        self.level.play(self.plan(seed), record)
    }

    /// Plays all seeds, or up to the first that fails.
    #[expect(clippy::disallowed_methods, reason = "a campaign takes real time")]
    pub fn run(&self) -> Outcome {
        let begun = Instant::now();
        let next = AtomicU64::new(self.first);
        let failed = AtomicBool::new(false);
        let outcome = Mutex::new(Outcome::default());
        let (alive, watched) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| watch(watched));
            for _ in 0..self.threads {
                let alive = alive.clone();
                let (next, failed, outcome) = (&next, &failed, &outcome);
                scope.spawn(move || self.work(next, failed, outcome, begun, &alive));
            }
            drop(alive);
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.took = begun.elapsed();
        outcome
    }

    fn work(
        &self,
        next: &AtomicU64,
        failed: &AtomicBool,
        outcome: &Mutex<Outcome>,
        begun: Instant,
        alive: &mpsc::Sender<u64>,
    ) {
        let mut counts = Counts::default();
        let mut failure = None;
        while !failed.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed - self.first >= self.seeds {
                break;
            }
            if self.loud && seed > self.first && seed.is_multiple_of(50_000) {
                let (played, took) = (seed - self.first, begun.elapsed());
                eprintln!("{} seeds in {took:.0?}: {} an hour", played, hourly(played, took));
            }
            // The receiver lives as long as this thread does.
            let _ = alive.send(seed);
            match self.judge(seed) {
                Ok(more) => counts.add(&more),
                Err(what) => {
                    failed.store(true, Relaxed);
                    failure = Some((seed, what));
                }
            }
        }
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.counts.add(&counts);
        if let Some(found) = failure
            && outcome.failure.as_ref().is_none_or(|(seed, _)| found.0 < *seed)
        {
            outcome.failure = Some(found);
        }
    }

    fn judge(&self, seed: u64) -> Result<Counts, Violation> {
        let stage = self.play(seed, false);
        let truth = stage.truth();
        if let Some(violation) = &truth.oracle.violation {
            return Err(violation.clone());
        }
        if seed.is_multiple_of(TWICE) {
            let again = self.play(seed, false).truth().trace.hash();
            if again != truth.trace.hash() {
                let what = "played twice, it was not the same".to_owned();
                return Err(Violation { check: Check::NotTheSameTwice, what });
            }
        }
        Ok(truth.counts.clone())
    }

    /// Plays a seed once more and writes what happened into two files, a text and
    /// a page. Returns their places, and the command that plays the seed again.
    pub fn report(&self, seed: u64) -> std::io::Result<String> {
        let stage = self.play(seed, true);
        let truth = stage.truth();
        let level = self.level.name();
        let folder = folder()?;
        let profile = truth.plan.profile;
        let (text, page) = (
            folder.join(format!("{level}-{profile}-{seed}.txt")),
            folder.join(format!("{level}-{profile}-{seed}.html")),
        );
        let verdict = truth.verdict();
        let plan = &truth.plan;
        let head = format!(
            "seed {seed}, level {level}, profile {}: {verdict}\n\n{plan:#?}\n\n",
            plan.profile
        );
        std::fs::write(&text, head + &truth.trace.text())?;
        std::fs::write(&page, timeline::page(&truth, seed, level))?;
        let mut report = format!("seed {seed}, profile {}: {verdict}\n", plan.profile);
        let profile = self.profile.map(|p| format!(" PROFILE={p}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            report,
            "  what happened: {}\n                 {}",
            text.display(),
            page.display()
        );
        let mutant = self.mutant.map(|m| format!(" MUTANT={m:?}")).unwrap_or_default();
        let _ = write!(report, "  again: make sim LEVEL={level}{profile} SEED={seed}{mutant}");
        Ok(report)
    }
}

/// Reports the seeds that were begun last if none is begun for a minute: no check
/// ends a run that loops inside one poll.
fn watch(begun: mpsc::Receiver<u64>) {
    let mut last = [0; 4];
    loop {
        match begun.recv_timeout(Duration::from_secs(60)) {
            Ok(seed) => {
                last.rotate_right(1);
                last[0] = seed;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => eprintln!("still at one of seeds {last:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The folder of the reports, beside the program.
fn folder() -> std::io::Result<PathBuf> {
    let built = std::env::current_exe()?;
    let folder = built.parent().map(PathBuf::from).unwrap_or_default().join("timelines");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub fn hourly(seeds: u64, took: Duration) -> u64 {
    (seeds as f64 * 3600.0 / took.as_secs_f64().max(0.001)) as u64
}

impl Outcome {
    /// Adds what another slice of the same campaign covered.
    pub fn add(&mut self, slice: &Self) {
        self.counts.add(&slice.counts);
        self.took += slice.took;
    }

    /// What its runs should have met, and have not.
    pub fn unmet(&self) -> Vec<Met> {
        quarantine::unmet(&self.counts.profiles, &self.counts.met)
    }

    /// What was covered, as text.
    pub fn summary(&self) -> String {
        let counts = &self.counts;
        format!(
            "{} seeds in {:.1?}: {} a second, {} an hour\n  \
             {:.1} virtual hours, {} commands, {} locks acquired\n  \
             calls: {}\n  faults: {}\n  beyond the assumptions: {}\n  met: {}",
            counts.seeds,
            self.took,
            hourly(counts.seeds, self.took) / 3600,
            hourly(counts.seeds, self.took),
            counts.virtual_nanos as f64 / 3.6e12,
            counts.commands,
            counts.acquired,
            list(&counts.calls),
            list(&counts.faults),
            list(&counts.counted),
            list(&counts.met),
        )
    }
}

fn list(names: &BTreeMap<impl Display, u64>) -> String {
    let list: Vec<_> = names.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}
