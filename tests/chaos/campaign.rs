//! The whole campaign: each server, each set of faults, and what came of it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    Result,
    check::{self, History, SUPERVISOR},
    clock::{ms, nanos, now},
    counter,
    fault::{Faults, NODES, Set},
    log::{Log, Note},
    mode::{self, Belief, MAX_TTL, Mode},
    program::Program,
    settings::Settings,
    stage::{Crowd, Stage},
    steps::{self, Step},
    table::{self, Row, StepRow},
    verdict,
};

/// How many steps are played side by side.
const SIDE_BY_SIDE: usize = 4;

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
        // Where one of them breaks off, the others are played all the same.
        let broken = |what: &str, error| vec![format!("{program}, {what}: {error}")];
        for set in &sets {
            let played = play(settings, program, *set, sets.len()).await;
            failures.extend(played.unwrap_or_else(|error| broken(set.name(), error)));
        }
        if settings.steps {
            let played = play_steps(settings, program).await;
            failures.extend(played.unwrap_or_else(|error| broken("steps", error)));
        }
    }
    for failure in &failures {
        println!("FAILED {failure}");
    }
    Ok(failures.is_empty())
}

/// One run, on as many stages as are asked for: what failed of it, with where to look.
async fn play(
    settings: &Settings,
    program: &Program,
    set: Set,
    shares: usize,
) -> Result<Vec<String>> {
    let (run, modes) = (format!("{program}, {}", set.name()), settings.modes_in(set));
    let place = settings.place.join(format!("{}-{}", program.slug(), set.name()));
    let mut stages = JoinSet::new();
    for stage in 0..settings.stages {
        let dir = empty(place.join(format!("stage-{stage}")))?;
        let (settings, program) = (settings.on_stage(stage), program.clone());
        stages.spawn_local(async move {
            record(&settings, &program, set, shares, dir.clone()).await.map(|()| dir)
        });
    }
    let (mut rows, mut stalls) = (Vec::new(), Vec::new());
    while let Some(dir) = stages.join_next().await {
        let history = History::read(&dir??)?;
        stalls.extend(history.stalls());
        table::add(&mut rows, self::rows(&history, &run, &modes));
    }
    print(&rows, set, &stalls);
    let told = |what| format!("{run}, seed {}: {what}; {}", settings.seed, place.display());
    Ok(verdict::of_run(&rows, set, &settings.floors(set)).into_iter().map(told).collect())
}

/// The operators' steps, a few at a time: what failed of them.
async fn play_steps(settings: &Settings, program: &Program) -> Result<Vec<String>> {
    let place = settings.place.join(format!("{}-steps", program.slug()));
    let mut rows = Vec::new();
    for some in Step::ALL.chunks(SIDE_BY_SIDE) {
        let mut played = JoinSet::new();
        for step in some {
            let dir = empty(place.join(step.name().replace([' ', ':'], "-")))?;
            let (step, program, seed) = (*step, program.clone(), settings.seed);
            played.spawn_local(async move {
                let failed = |error| format!("{}: {error}", step.name());
                steps::record(step, &program, dir.clone(), seed).await.map_err(failed)?;
                let history = History::read(&dir)?;
                let found = |mode| check::check(&history, mode);
                let (clients, strangers) = (found(Mode::Strict), found(Mode::StrictFenced));
                Result::Ok(StepRow { run: program.to_string(), step, clients, strangers })
            });
        }
        while let Some(row) = played.join_next().await {
            rows.push(row??);
        }
    }
    rows.sort_by_key(|row| Step::ALL.iter().position(|step| *step == row.step));
    println!("\n{}", table::of_steps(&rows));
    let told = |what| format!("{program}, {what}; {}", place.display());
    Ok(rows.iter().flat_map(verdict::of_step).map(told).collect())
}

/// That directory, made anew.
fn empty(dir: PathBuf) -> Result<PathBuf> {
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    Ok(dir.canonicalize()?)
}

fn print(rows: &[Row], set: Set, stalls: &[Duration]) {
    let Some(first) = rows.first() else { return };
    println!("\n{}: {}", first.run, table::faults(first));
    let starved: u64 = rows.iter().map(|row| row.findings.starved).sum();
    println!(
        "the host did not let a client run {} times, for {:.0?} at most; for that alone {starved} \
         calls came back too late",
        stalls.len(),
        stalls.iter().max().copied().unwrap_or_default()
    );
    println!("\n{}", table::of(rows));
    if set != Set::Within {
        println!("{}", table::by_kind(rows));
    }
}

pub fn rows(history: &History, run: &str, modes: &[Mode]) -> Vec<Row> {
    let row = |mode: &Mode| Row {
        run: run.to_owned(),
        mode: *mode,
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
    let mut stage = Stage::start(program, set, NODES, dir, Arc::clone(&log)).await?;
    let modes = settings.modes_in(set);
    mode::prepare(&modes, &Belief::of(stage.urls(0))).await?;
    let crowd = Crowd {
        modes,
        processes: settings.processes,
        tasks: settings.tasks,
        keys: settings.keys,
        seed: settings.seed,
        counter: counter::serve(Arc::clone(&log)).await?.address,
    };
    log.say(&Note::Began { at: now() });
    let time = settings.time.map_or(u64::MAX, |time| nanos(time) / shares as u64);
    let end = now().saturating_add(time);
    stage.start_clients(&crowd)?;
    let faults = Faults::draw(settings.seed, settings.kinds_of(set), settings.gap);
    for fault in faults.take(settings.faults(set)) {
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
