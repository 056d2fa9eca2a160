//! The program: it plays a campaign, one seed again, or all mutants. It takes its
//! settings from the environment, where make puts them.

use std::{env, process::ExitCode, str::FromStr};

use redlock_quorum::sim::{Hunter, Mutant};

use crate::{
    campaign::{Campaign, Outcome},
    fast, net,
    plan::Plan,
    profile::Profile,
    stage::Shared,
    table::{self, Covered},
};

/// How much of the world around the client is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing: the world is a list of events. Fast, for breadth.
    A,
    /// tokio is real, and the network is simulated. Slower, for what tokio does.
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

/// The value of a variable. An empty one counts as not set.
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
    let (mut well, mut covered) = (true, Vec::new());
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
        match one {
            Some(seed) => well &= replay(&campaign, seed)?,
            None => covered.push(run(&campaign)?),
        }
    }
    if !covered.is_empty() {
        println!("\n{}", table::campaign(&covered));
    }
    Ok(well && covered.iter().all(|covered| covered.violations == 0))
}

fn mutant() -> Result<Option<Mutant>, String> {
    let Some(name) = variable::<String>("MUTANT")? else { return Ok(None) };
    let named = |mutant: &Mutant| format!("{mutant:?}").eq_ignore_ascii_case(&name);
    Mutant::ALL.iter().copied().find(named).map(Some).ok_or_else(|| format!("no mutant `{name}`"))
}

fn threads() -> Result<usize, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(variable("THREADS")?.unwrap_or(cores))
}

/// Plays a campaign in slices of `SLICE=` seeds. A failure ends its slice, and the
/// next slice begins.
fn run(campaign: &Campaign) -> Result<Covered, String> {
    let Campaign { level, first, seeds, .. } = *campaign;
    println!("level {}, from seed {first}", level.name());
    let slice = variable::<u64>("SLICE")?.unwrap_or(seeds).max(1);
    let (mut total, mut violations) = (Outcome::default(), 0);
    for begin in (0..seeds).step_by(usize::try_from(slice).unwrap_or(usize::MAX)) {
        let seeds = slice.min(seeds - begin);
        let part = Campaign { first: first + begin, seeds, ..*campaign };
        let outcome = part.run();
        total.add(&outcome);
        if let Some((seed, _)) = outcome.failure {
            violations += 1;
            replay(&part, seed)?;
        }
        if slice < campaign.seeds {
            eprintln!("{} seeds in {:.0?}", total.counts.seeds, total.took);
        }
    }
    println!("{}", total.summary());
    let unmet = if campaign.mutant.is_some() { Vec::new() } else { total.unmet() };
    for met in unmet {
        println!("no run has this, so that they check nothing: {met}");
        violations += 1;
    }
    Ok(Covered { level, counts: total.counts, violations })
}

fn replay(campaign: &Campaign, seed: u64) -> Result<bool, String> {
    println!("{}", campaign.report(seed).map_err(|error| error.to_string())?);
    let well = campaign.play(seed, false).truth().oracle.violation.is_none();
    Ok(well)
}

/// Plays every mutant until a seed notices it. Only those that the steppers must
/// notice may survive. Writes the page if it was not asked for other seeds.
fn mutants() -> Result<bool, String> {
    let (seeds, level, profile) = (variable("SEEDS")?, variable("LEVEL")?, variable("PROFILE")?);
    let as_documented = seeds.is_none() && level.is_none() && profile.is_none();
    let (mut rows, mut survivors) = (String::new(), 0);
    for mutant in Mutant::ALL.iter().copied() {
        let campaign = Campaign {
            level: level.unwrap_or(Level::A),
            profile,
            first: 0,
            seeds: seeds.unwrap_or(30_000),
            threads: 1,
            mutant: Some(mutant),
            loud: false,
        };
        let failure = campaign.run().failure;
        let noticed = failure.as_ref().map(|(seed, violation)| {
            (*seed, profile.unwrap_or_else(|| Profile::of(*seed)), violation)
        });
        survivors += u32::from(noticed.is_none() && mutant.hunter() == Hunter::Seeds);
        let row = table::mutant(mutant, noticed);
        print!("{row}");
        rows += &row;
    }
    if as_documented && survivors == 0 {
        std::fs::write(table::MUTANTS_PAGE, table::mutants_page(&rows))
            .map_err(|error| format!("{}: {error}", table::MUTANTS_PAGE))?;
    }
    Ok(survivors == 0)
}
