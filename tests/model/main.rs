//! Two models of rules, with nothing of the library's code. Here is that of fencing numbers:
//! three nodes, up to three claims, messages in any order, lost or late, keys that end at any
//! time, and clocks that say anything. In `strict` is that of nodes that forget. stateright
//! plays all that can happen. What is modelled and what is not is in `docs/testing.md`.
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
mod strict;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;

use check::{HEADING, Plan};

/// Without arguments it plays all runs and all mutants. With the name of a run it plays
/// that; with that of a mutant it shows the way to where that breaks a property.
fn main() -> ExitCode {
    let name = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    if mutants::show(mutants::CASES, &name) || mutants::show(strict::CASES, &name) {
        return ExitCode::SUCCESS;
    }
    let all = plans(&[runs::SMALL, runs::LARGE], &[strict::SMALL, strict::LARGE]);
    let runs: Vec<_> =
        all.into_iter().filter(|run| name.is_empty() || run.name() == name).collect();
    if runs.is_empty() {
        eprintln!("no run and no mutant has the name {name}");
        return ExitCode::FAILURE;
    }
    let played = play_all(&runs).is_some();
    let found =
        !name.is_empty() || mutants::find_all(mutants::CASES) & mutants::find_all(strict::CASES);
    if played && found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The runs of both models.
fn plans(
    fencing: &[&'static [runs::Run]],
    strict: &[&'static [strict::Run]],
) -> Vec<&'static dyn Plan> {
    let fencing = fencing.iter().copied().flatten().map(|run| run as &dyn Plan);
    fencing.chain(strict.iter().copied().flatten().map(|run| run as &dyn Plan)).collect()
}

/// Plays the runs one after the other and prints the table of them: how many states were
/// exhausted. None: one of them does not count.
fn play_all(runs: &[&dyn Plan]) -> Option<usize> {
    println!("{HEADING}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut exhausted, mut capped, mut fine) = (0, 0, true);
    for run in runs {
        let played = run.play(threads);
        println!("{}", played.row());
        *(if played.is_capped() { &mut capped } else { &mut exhausted }) += played.states;
        if let Some(objection) = played.objection() {
            println!("{}: {objection}", run.name());
            fine = false;
        }
    }
    println!("{exhausted} states exhausted, {capped} in capped runs");
    fine.then_some(exhausted)
}
