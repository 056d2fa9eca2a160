//! Many who want one key all the time, from one client or from one each.
//!
//! The gap: from just before the holder calls release to when the next one's
//! acquire has returned, in which nobody could work. Of a wait, an acquire that
//! was begun before the end of the round counts in full, so that nobody who
//! starves is left out. A hold of 2 ms takes 3: tokio's timers round up.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use redlock_quorum_benches::{
    common::{Result, millis, quantile},
    network::Network,
    report::{Target, figure, least, most},
    table::median,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Stand,
    client::{Client, Library},
    versus::{Rounds, Versus, ours_to_theirs},
};

const TASKS: usize = 16;
const HOLD: Duration = Duration::from_millis(2);
const THINK: Duration = Duration::from_millis(20);
const KEY: &str = "contended";

/// Where the tasks' acquires go.
#[derive(Clone, Copy)]
pub enum Through {
    OneClient,
    ClientEach,
    /// The same, with servers so far away, one way.
    ClientEachAway(Duration),
}

impl Through {
    fn clients(self) -> usize {
        match self {
            Self::OneClient => 1,
            Self::ClientEach | Self::ClientEachAway(_) => TASKS,
        }
    }
}

pub async fn section(
    stand: &Stand,
    through: Through,
    rounds: usize,
    span: Duration,
) -> Result<Vec<Target>> {
    let mut sums: [Vec<Sums>; 2] = Default::default();
    let mut urls = stand.servers.urls();
    let network = match through {
        Through::ClientEachAway(delay) => Some(Network::to(&urls, delay).await?),
        Through::OneClient | Through::ClientEach => None,
    };
    if let Some(network) = &network {
        urls = network.urls().to_vec();
    }
    let clients = through.clients();
    let [ours, theirs] = Library::BOTH.map(|library| library.clients(&urls, clients));
    let contenders = [ours.await?, theirs.await?];
    for round in 0..rounds {
        for library in Library::turns(round) {
            let side = library as usize;
            sums[side].push(contend(stand, &contenders[side], span).await?);
        }
    }
    match through {
        Through::OneClient => println!("\n## {TASKS} tasks on one client, one key\n"),
        Through::ClientEach => println!("\n## {TASKS} clients, one key\n"),
        Through::ClientEachAway(delay) => {
            println!("\n## {TASKS} clients, one key, servers {delay:?} away\n");
        }
    }
    print(&sums);
    Ok(targets(through, &sums))
}

/// One round of one library.
async fn contend(stand: &Stand, clients: &[Client], span: Duration) -> Result<Sums> {
    let before = stand.observer.commands().await?;
    let holder = Arc::new(Mutex::new(Holder::default()));
    let end = Instant::now() + span;
    let mut running = JoinSet::new();
    for task in 0..TASKS {
        let client = clients[task % clients.len()].clone();
        running.spawn(want(client, Arc::clone(&holder), end));
    }
    let mut tasks = Vec::with_capacity(TASKS);
    while let Some(done) = running.join_next().await {
        tasks.push(done??);
    }
    let commands = stand.observer.commands().await? - before;
    let keys_left = stand.observer.keys_left().await?;
    Ok(Sums::new(&tasks, span, end, commands, keys_left))
}

/// One task: wants the key, has it, thinks.
async fn want(client: Client, holder: Arc<Mutex<Holder>>, end: Instant) -> Result<Vec<Turn>> {
    let holder = || holder.lock().unwrap_or_else(PoisonError::into_inner);
    let mut turns = Vec::new();
    loop {
        let asked = Instant::now();
        if asked >= end {
            return Ok(turns);
        }
        let held = client.acquire(KEY).await?;
        let had = Instant::now();
        let gap = holder().had(had)?;
        turns.push(Turn { wait: had - asked, had, gap });
        sleep(HOLD).await;
        holder().releases(Instant::now());
        held.release().await?;
        sleep(THINK).await;
    }
}

/// Who holds the lock, as the tasks see it.
#[derive(Default)]
struct Holder {
    is_held: bool,
    released: Option<Instant>,
}

impl Holder {
    /// How long nobody had it; fails if another has it still.
    fn had(&mut self, now: Instant) -> Result<Option<Duration>> {
        if std::mem::replace(&mut self.is_held, true) {
            return Err("two held one lock at once".into());
        }
        Ok(self.released.map(|released| now.saturating_duration_since(released)))
    }

    fn releases(&mut self, now: Instant) {
        self.is_held = false;
        self.released = Some(now);
    }
}

/// One acquire that was had.
struct Turn {
    wait: Duration,
    had: Instant,
    gap: Option<Duration>,
}

/// What one round of one library came to; times in milliseconds.
struct Sums {
    mean_gap: f64,
    median_gap: f64,
    waits: [f64; 3],
    per_second: f64,
    of_task: (f64, f64),
    commands: f64,
    keys_left: u64,
}

impl Sums {
    fn new(
        tasks: &[Vec<Turn>],
        span: Duration,
        end: Instant,
        commands: u64,
        keys_left: u64,
    ) -> Self {
        let turns = || tasks.iter().flatten();
        let in_time = |turns: &[Turn]| turns.iter().filter(|turn| turn.had < end).count() as f64;
        let per_task: Vec<_> = tasks.iter().map(|turns| in_time(turns)).collect();
        let gaps: Vec<_> =
            turns().filter(|turn| turn.had < end).filter_map(|turn| turn.gap).map(millis).collect();
        let mut waits: Vec<_> = turns().map(|turn| turn.wait).collect();
        Self {
            mean_gap: gaps.iter().sum::<f64>() / gaps.len() as f64,
            median_gap: median(&gaps),
            waits: [0.5, 0.99, 1.0].map(|share| millis(quantile(&mut waits, share))),
            per_second: per_task.iter().sum::<f64>() / span.as_secs_f64(),
            of_task: (least(&per_task), most(&per_task)),
            commands: commands as f64 / turns().count() as f64,
            keys_left,
        }
    }

    fn max_to_min(&self) -> f64 {
        let (min, max) = self.of_task;
        max / min
    }
}

fn each(sums: &[Vec<Sums>; 2], value: impl Fn(&Sums) -> f64) -> Rounds {
    sums.each_ref().map(|rounds| rounds.iter().map(&value).collect())
}

fn print(sums: &[Vec<Sums>; 2]) {
    let mut table = Versus::new();
    table.row("mean gap, ms", &each(sums, |sums| sums.mean_gap));
    table.row("gap p50, ms", &each(sums, |sums| sums.median_gap));
    table.row("wait p50, ms", &each(sums, |sums| sums.waits[0]));
    table.row("wait p99, ms", &each(sums, |sums| sums.waits[1]));
    table.row("wait max, ms", &each(sums, |sums| sums.waits[2]));
    table.row("acquires a second", &each(sums, |sums| sums.per_second));
    let mins = each(sums, |sums| sums.of_task.0);
    let maxes = each(sums, |sums| sums.of_task.1);
    let [ours, theirs] = [0, 1].map(|side: usize| (&mins[side], &maxes[side]));
    let range = |(mins, maxes): (&Vec<f64>, &Vec<f64>)| {
        format!("{}–{}", figure(median(mins)), figure(median(maxes)))
    };
    table.plain("acquires of a task, min–max", [range(ours), range(theirs)]);
    table.row("max / min", &each(sums, Sums::max_to_min));
    table.row("commands an acquire", &each(sums, |sums| sums.commands));
    table.plain("keys left", [0, 1].map(|side| keys_left(sums, side).to_string()));
    table.print();
}

fn keys_left(sums: &[Vec<Sums>; 2], side: usize) -> u64 {
    sums[side].iter().map(|sums| sums.keys_left).sum()
}

fn targets(through: Through, sums: &[Vec<Sums>; 2]) -> Vec<Target> {
    let gaps = each(sums, |sums| sums.mean_gap);
    let waits = each(sums, |sums| sums.waits[1]);
    let theirs_to_ours: Vec<_> = ours_to_theirs(&waits).iter().map(|ratio| 1.0 / ratio).collect();
    let [commands, _] = each(sums, |sums| sums.commands);
    let [max_to_min, _] = each(sums, Sums::max_to_min);
    match through {
        Through::OneClient => vec![
            Target::under("one client: mean gap, × rslock's", 0.5, median(&ours_to_theirs(&gaps))),
            Target::at_most("one client: wait p99, ms", 60.0, median(&waits[0])),
            Target::at_least(
                "one client: rslock's wait p99, × ours",
                10.0,
                median(&theirs_to_ours),
            ),
            Target::at_most("one client: commands an acquire", 10.0, median(&commands)),
            Target::none("one client: keys left", keys_left(sums, 0)),
        ],
        Through::ClientEach => vec![
            Target::at_most("16 clients: mean gap, ms", 1.5, median(&gaps[0])),
            Target::at_most("16 clients: commands an acquire", 30.0, median(&commands)),
            Target::under("16 clients: max / min", 2.0, median(&max_to_min)),
            Target::none("16 clients: keys left", keys_left(sums, 0)),
        ],
        Through::ClientEachAway(_) => vec![
            Target::at_most("16 clients, away: commands an acquire", 30.0, median(&commands)),
            Target::none("16 clients, away: keys left", keys_left(sums, 0)),
        ],
    }
}
