//! The whole campaign: each server, each set of faults, and what came of it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::time::sleep;

use crate::{
    Result,
    check::{self, History, SUPERVISOR},
    clock::{ms, nanos, now},
    counter,
    fault::{Faults, Set},
    log::{Log, Note},
    mode::{self, MAX_TTL, Mode},
    program::Program,
    settings::Settings,
    stage::{Crowd, Stage},
    table::{self, Row},
    verdict,
};

/// Below `target`, as everything that is made by a build or a test.
const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/chaos");

/// Plays all of it, prints it, and tells whether it went well.
pub async fn run(settings: &Settings) -> Result<bool> {
    for kind in &settings.left_out {
        println!("left out: {kind}, which is not here");
    }
    println!("seed {}", settings.seed);
    let mut failures = Vec::new();
    for program in &settings.programs {
        let sets = settings.sets_on(program);
        if !sets.contains(&Set::Clock) && !settings.kinds_of(Set::Clock).is_empty() {
            println!("left out on {program}: clock-step, which needs Valkey and libfaketime");
        }
        for set in &sets {
            failures.extend(play(settings, program, *set, sets.len()).await?);
        }
    }
    for failure in &failures {
        println!("FAILED {failure}");
    }
    Ok(failures.is_empty())
}

/// One run: what failed of it, with where to look.
async fn play(
    settings: &Settings,
    program: &Program,
    set: Set,
    shares: usize,
) -> Result<Vec<String>> {
    let dir = Path::new(PLACE).join(format!("{}-{}", program.slug(), set.name()));
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let modes = settings.modes_in(set);
    record(settings, program, set, shares, dir.clone()).await?;
    let (run, history) = (format!("{program}, {}", set.name()), History::read(&dir)?);
    let rows = rows(&history, &run, &modes);
    println!("\n{run}: {}", table::faults(&history.played()));
    let (stalls, longest) = history.stalls();
    let starved: u64 = rows.iter().map(|row| row.findings.starved).sum();
    println!(
        "the host did not let a client run {stalls} times, for {longest:.0?} at most; for that alone \
         {starved} calls came back too late"
    );
    println!("\n{}", table::of(&rows));
    let failed = rows.iter().flat_map(|row| verdict::of(row, set, settings.floor));
    let told = |what| format!("{run}, seed {}: {what}; {}", settings.seed, dir.display());
    Ok(failed.map(told).collect())
}

pub fn rows(history: &History, run: &str, modes: &[Mode]) -> Vec<Row> {
    let row = |mode: &Mode| Row {
        run: run.to_owned(),
        mode: *mode,
        faults: history.strikes().len() as u64,
        seconds: history.seconds(),
        findings: check::check(history, *mode),
    };
    modes.iter().map(row).collect()
}

/// Plays, and leaves the logs in that directory.
async fn record(
    settings: &Settings,
    program: &Program,
    set: Set,
    shares: usize,
    dir: PathBuf,
) -> Result<()> {
    let log = Arc::new(Log::open(&dir.join(SUPERVISOR))?);
    let mut stage = Stage::start(program, set, dir, Arc::clone(&log)).await?;
    let modes = settings.modes_in(set);
    mode::prepare(&modes, &stage.urls(0)).await?;
    let crowd = Crowd {
        modes,
        processes: settings.processes,
        tasks: settings.tasks,
        keys: settings.keys,
        seed: settings.seed,
        counter: counter::serve(Arc::clone(&log)).await?,
    };
    log.say(&Note::Began { at: now() });
    let end = now() + nanos(settings.time) / shares as u64;
    stage.start_clients(&crowd)?;
    for fault in Faults::draw(settings.seed, settings.kinds_of(set), settings.gap) {
        if now() >= end {
            break;
        }
        stage.play(&fault).await?;
    }
    stage.end_clients().await?;
    // A key's own time, and a margin: what is there after that would stay for ever.
    sleep(MAX_TTL + mode::GRACE + ms(500)).await;
    stage.look_for_keys().await
}
