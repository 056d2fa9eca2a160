//! The command: a campaign, one seed again, or all mutants; told what to do by
//! the environment, as make passes it on.

use std::{env, process::ExitCode, str::FromStr};

use redlock_quorum::sim::Mutant;

use crate::{campaign::Campaign, fast, net, plan::Plan, profile::Profile, stage::Shared};

/// How much of the world is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A list of events: fast, for breadth.
    A,
    /// tokio and a simulated network: slower, for what tokio does.
    B,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub fn play(self, plan: Plan, record: bool) -> Shared {
        match self {
            Self::A => fast::play(plan, record),
            Self::B => net::play(plan, record),
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            _ => Err(format!("no level `{name}`: there are a and b")),
        }
    }
}

pub fn main() -> ExitCode {
    let outcome = match env::args().nth(1).as_deref() {
        None | Some("campaign") => campaigns(),
        Some("mutants") => mutants(),
        Some(other) => Err(format!("no command `{other}`: there are campaign and mutants")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}

/// The value of a variable; one that is set to nothing is not set.
fn variable<T: FromStr<Err: ToString>>(name: &str) -> Result<Option<T>, String> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            let value = text.parse::<T>().map_err(|e| format!("{name}: {}", e.to_string()))?;
            Ok(Some(value))
        }
        _ => Ok(None),
    }
}

fn campaigns() -> Result<bool, String> {
    let seeds = variable::<u64>("SEEDS")?;
    let one = variable::<u64>("SEED")?;
    let level = variable::<Level>("LEVEL")?;
    let mut well = true;
    for (each, usual) in [(Level::A, 200_000), (Level::B, 50_000)] {
        if level.is_some_and(|level| level != each) {
            continue;
        }
        let campaign = Campaign {
            level: each,
            profile: variable("PROFILE")?,
            first: one.or(variable("FIRST")?).unwrap_or(0),
            seeds: if one.is_some() { 1 } else { seeds.unwrap_or(usual) },
            threads: threads()?,
            mutant: mutant()?,
            loud: true,
        };
        well &= match one {
            Some(seed) => replay(&campaign, seed)?,
            None => run(&campaign)?,
        };
    }
    Ok(well)
}

fn mutant() -> Result<Option<Mutant>, String> {
    let Some(name) = variable::<String>("MUTANT")? else { return Ok(None) };
    let named = |mutant: &Mutant| format!("{mutant:?}").eq_ignore_ascii_case(&name);
    Mutant::ALL.into_iter().find(named).map(Some).ok_or_else(|| format!("no mutant `{name}`"))
}

fn threads() -> Result<usize, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(variable("THREADS")?.unwrap_or(cores))
}

fn run(campaign: &Campaign) -> Result<bool, String> {
    println!("level {}, from seed {}", campaign.level.name(), campaign.first);
    let outcome = campaign.run();
    println!("{}", outcome.summary());
    match outcome.failure {
        None => Ok(true),
        Some((seed, _)) => replay(campaign, seed).map(|_| false),
    }
}

fn replay(campaign: &Campaign, seed: u64) -> Result<bool, String> {
    println!("{}", campaign.report(seed).map_err(|error| error.to_string())?);
    let well = campaign.play(seed, false).truth().oracle.violation.is_none();
    Ok(well)
}

/// Every wrong turn must be noticed within so many seeds.
fn mutants() -> Result<bool, String> {
    let seeds = variable("SEEDS")?.unwrap_or(10_000);
    let mut survivors = 0;
    println!("| mutant | dies at seed | of | in | because |\n|---|---|---|---|---|");
    for mutant in Mutant::ALL {
        let campaign = Campaign {
            level: variable("LEVEL")?.unwrap_or(Level::A),
            profile: variable("PROFILE")?,
            first: 0,
            seeds,
            threads: 1,
            mutant: Some(mutant),
            loud: false,
        };
        let outcome = campaign.run();
        let took = outcome.took;
        match outcome.failure {
            Some((seed, why)) => {
                let profile = campaign.profile.unwrap_or_else(|| Profile::of(seed));
                println!("| {mutant:?} | {seed} | {profile} | {took:.1?} | {why} |");
            }
            None => {
                survivors += 1;
                println!("| {mutant:?} | **survives {seeds}** | | {took:.1?} | |");
            }
        }
    }
    Ok(survivors == 0)
}
