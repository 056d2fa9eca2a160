//! What a campaign is to play: from the environment, where make puts it.

use std::{env, str::FromStr, time::Duration};

use crate::{
    Result,
    clock::ms,
    fault::{Kind, Set},
    mode::Mode,
    program::{self, Program},
};

#[derive(Clone, Debug)]
pub struct Settings {
    pub programs: Vec<Program>,
    /// Kinds of servers that would be played on if they were here.
    pub left_out: Vec<&'static str>,
    pub modes: Vec<Mode>,
    pub kinds: Vec<Kind>,
    /// For each server.
    pub time: Duration,
    pub seed: u64,
    /// Client processes of each mode, the tasks of each, and the keys of each mode.
    pub processes: u32,
    pub tasks: u32,
    pub keys: u32,
    /// Between two faults, if they need no longer one.
    pub gap: Duration,
    /// The least grants a second of each mode.
    pub floor: u64,
}

impl Settings {
    pub fn read() -> Result<Self> {
        let asked = variable::<String>("SERVER")?;
        let programs = program::all(asked.as_deref())?;
        let missing = if asked.is_none() { program::missing(&programs) } else { Vec::new() };
        Ok(Self {
            programs,
            left_out: missing,
            modes: list("MODE")?.unwrap_or_else(|| Mode::ALL.to_vec()),
            kinds: kinds()?,
            time: Duration::from_secs(variable("SECS")?.unwrap_or(60)),
            seed: variable("SEED")?.unwrap_or_else(|| rand::random_range(0..1_000_000)),
            processes: variable("PROCESSES")?.unwrap_or(3).max(1),
            tasks: variable("TASKS")?.unwrap_or(4).max(1),
            keys: variable("KEYS")?.unwrap_or(6).max(1),
            gap: ms(variable("GAP")?.unwrap_or(100)),
            floor: variable("FLOOR")?.unwrap_or(10),
        })
    }

    /// The kinds of that set that are asked for.
    pub fn kinds_of(&self, set: Set) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| kind.set() == set).collect()
    }

    /// The sets that can be played on that server.
    pub fn sets_on(&self, program: &Program) -> Vec<Set> {
        let is_there = |set: &Set| match set {
            Set::Within | Set::Memory => true,
            Set::Clock => program.has_clock(),
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

/// `FAULTS` names kinds, or whole sets.
fn kinds() -> Result<Vec<Kind>> {
    let Some(names) = list::<String>("FAULTS")? else { return Ok(Kind::ALL.to_vec()) };
    let mut kinds = Vec::new();
    for name in names {
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
