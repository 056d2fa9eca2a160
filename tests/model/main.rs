//! The rules of fencing numbers as a model, and nothing of the library's code: three nodes,
//! up to three claims, messages in any order, lost or late, keys that end at any time, and
//! clocks that say anything. stateright plays all that can happen. What is modelled and
//! what is not is in `docs/testing.md`.
//!
//! `make test-model` plays the small runs and shows that every mutant is found; `make model`
//! plays all runs.

mod check;
mod claim;
mod message;
mod model;
mod mutants;
mod node;
mod rules;
mod runs;
mod seen;
mod show;
mod steps;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;

use check::HEADING;
use mutants::CASES;
use runs::{LARGE, Run, SMALL};

/// Without arguments it plays all runs and all mutants. With the name of a run it plays
/// that; with that of a mutant it shows the way to where that breaks a property.
fn main() -> ExitCode {
    let name = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    if let Some(case) = CASES.iter().find(|case| format!("{:?}", case.mutant) == name) {
        return case.show();
    }
    let runs: Vec<Run> = match Run::named(&name) {
        Some(run) => vec![run],
        None if name.is_empty() => SMALL.iter().chain(LARGE).copied().collect(),
        None => {
            eprintln!("no run and no mutant has the name {name}");
            return ExitCode::FAILURE;
        }
    };
    let played = play_all(&runs).is_some();
    let found = !name.is_empty() || mutants::find_all();
    if played && found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays the runs one after the other and prints the table of them: how many states were
/// exhausted. None: one of them does not count.
fn play_all(runs: &[Run]) -> Option<usize> {
    println!("{HEADING}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut exhausted, mut capped, mut fine) = (0, 0, true);
    for run in runs {
        let played = check::play(*run, threads);
        println!("{}", played.row());
        *(if played.is_capped() { &mut capped } else { &mut exhausted }) += played.states;
        if let Some(objection) = played.objection() {
            println!("{}: {objection}", run.name);
            fine = false;
        }
    }
    println!("{exhausted} states exhausted, {capped} in capped runs");
    fine.then_some(exhausted)
}
