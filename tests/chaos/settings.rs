//! What a campaign is to play: from the environment, where make puts it.

use std::{env, path::PathBuf, str::FromStr, time::Duration};

use crate::{
    Result,
    clock::ms,
    fault::{Kind, Set},
    mode::Mode,
    program::{self, Program},
    verdict::Floors,
};

/// Below `target`, as everything that is made by a build or a test.
const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/chaos");
const STEPS: &str = "steps";
/// Between the seeds of two stages.
const STAGE: u64 = 1_000_000;
/// Within the assumptions a kind comes so many times less often than beyond.
const WITHIN: u64 = 10;

#[derive(Clone, Debug)]
pub struct Settings {
    pub programs: Vec<Program>,
    /// Kinds of servers that would be played on if they were here.
    pub left_out: Vec<&'static str>,
    pub modes: Vec<Mode>,
    pub kinds: Vec<Kind>,
    /// Whether the operators' steps are played as well.
    pub steps: bool,
    /// Where the logs go.
    pub place: PathBuf,
    /// For each server, if it is to end by that.
    pub time: Option<Duration>,
    /// How often each kind of fault is to be played, if it is to end by that.
    pub times: Option<u64>,
    /// How many groups of servers are played on side by side, each with its own clients.
    pub stages: u32,
    pub seed: u64,
    /// Client processes of each mode, the tasks of each, and the keys of each mode.
    pub processes: u32,
    pub tasks: u32,
    pub keys: u32,
    /// Between two faults, if they need no longer one.
    pub gap: Duration,
    /// The least grants a second of each mode.
    pub floor: f64,
}

impl Settings {
    pub fn read() -> Result<Self> {
        let asked = variable::<String>("SERVER")?;
        let programs = program::all(asked.as_deref())?;
        let (time, times) = (variable("SECS")?, variable("TIMES")?);
        let missing = if asked.is_none() { program::missing(&programs) } else { Vec::new() };
        Ok(Self {
            programs,
            left_out: missing,
            modes: list("MODE")?.unwrap_or_else(|| Mode::ALL.to_vec()),
            kinds: kinds()?,
            steps: list::<String>("FAULTS")?
                .is_none_or(|names| names.iter().any(|name| name == STEPS)),
            place: variable("OUT")?.unwrap_or_else(|| PLACE.into()),
            time: time.or(times.is_none().then_some(60)).map(Duration::from_secs),
            times,
            stages: variable("STAGES")?.unwrap_or(1).max(1),
            seed: variable("SEED")?.unwrap_or_else(|| rand::random_range(0..1_000_000)),
            processes: variable("PROCESSES")?.unwrap_or(3).max(1),
            tasks: variable("TASKS")?.unwrap_or(4).max(1),
            keys: variable("KEYS")?.unwrap_or(6).max(1),
            gap: ms(variable("GAP")?.unwrap_or(100)),
            floor: variable("FLOOR")?.unwrap_or(if times.is_some() { 0.0 } else { 10.0 }),
        })
    }

    /// The same for one of the stages, which has faults of its own.
    pub fn on_stage(&self, stage: u32) -> Self {
        let seed = self.seed.wrapping_add(u64::from(stage) * STAGE);
        Self { seed, ..self.clone() }
    }

    /// How often each kind of that set is to be played, on all stages. What the guarantee covers is
    /// counted by calls, of which so few have enough.
    fn times_in(&self, set: Set) -> Option<u64> {
        let share = if set == Set::Within { WITHIN } else { 1 };
        self.times.map(|times| times.div_ceil(share))
    }

    /// How many faults one stage has at most: each kind comes once in a round.
    pub fn faults(&self, set: Set) -> usize {
        let rounds = self.times_in(set).map(|times| times.div_ceil(u64::from(self.stages)));
        let rounds = rounds.and_then(|rounds| usize::try_from(rounds).ok());
        rounds.map_or(usize::MAX, |rounds| rounds * self.kinds_of(set).len())
    }

    pub fn floors(&self, set: Set) -> Floors {
        Floors { a_second: self.floor, times: self.times_in(set) }
    }

    /// The kinds of that set that are asked for.
    pub fn kinds_of(&self, set: Set) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| kind.set() == set).collect()
    }

    /// The sets that can be played on that server.
    pub fn sets_on(&self, program: &Program) -> Vec<Set> {
        let is_there = |set: &Set| match set {
            Set::Within | Set::Memory => true,
            Set::Clock | Set::Beyond => program.has_clock(),
        };
        let asked = |set: &Set| !self.kinds_of(*set).is_empty();
        Set::ALL.into_iter().filter(asked).filter(is_there).collect()
    }

    /// The modes that play a set: beyond the assumptions always the plain one as well, which has to
    /// show that the faults do harm.
    pub fn modes_in(&self, set: Set) -> Vec<Mode> {
        let mut modes = self.modes.clone();
        if set != Set::Within && !modes.contains(&Mode::Plain) {
            modes.insert(0, Mode::Plain);
        }
        modes
    }
}

/// `FAULTS` names kinds, or whole sets, and the operators' steps.
fn kinds() -> Result<Vec<Kind>> {
    let Some(names) = list::<String>("FAULTS")? else { return Ok(Kind::ALL.to_vec()) };
    let mut kinds = Vec::new();
    for name in names {
        if name == STEPS {
            continue;
        }
        match Set::ALL.into_iter().find(|set| set.name() == name) {
            Some(set) => kinds.extend(Kind::ALL.iter().filter(|kind| kind.set() == set)),
            None => kinds.push(name.parse()?),
        }
    }
    Ok(kinds)
}

/// The value of a variable. An empty one counts as not set.
fn variable<T: FromStr<Err: ToString>>(name: &str) -> Result<Option<T>> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            Ok(Some(text.parse::<T>().map_err(|e| format!("{name}: {}", e.to_string()))?))
        }
        _ => Ok(None),
    }
}

/// Values with commas or blanks between them.
fn list<T: FromStr<Err: ToString>>(name: &str) -> Result<Option<Vec<T>>> {
    let Some(text) = variable::<String>(name)? else { return Ok(None) };
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let values =
        words.map(|word| word.parse::<T>().map_err(|e| format!("{name}: {}", e.to_string())));
    Ok(Some(values.collect::<std::result::Result<_, _>>()?))
}
