//! For each mutant the run and the property that notice it.

use std::fmt::Debug;

use crate::{
    check::{self, Broken, Played},
    model::Fencing,
    rules::{
        Mutant::{self, *},
        Rules,
    },
    runs::Run,
};

/// A mutant of either model.
pub trait Wrong: Copy + Debug {
    /// Plays it in the run of this name until it breaks the property. None: there is no such run.
    fn play(self, run: &str, property: &'static str) -> Option<Played>;
}

impl Wrong for Mutant {
    fn play(self, run: &str, property: &'static str) -> Option<Played> {
        let model = Fencing::new(Run::named(run)?, Rules(Some(self)));
        Some(check::play_mutant(model, property))
    }
}

/// A mutant, the run in which it is played, and the property that it breaks.
pub struct Case<M> {
    pub mutant: M,
    pub run: &'static str,
    pub breaks: &'static str,
}

pub const CASES: &[Case<Mutant>] = &[
    Case { mutant: M1, run: "stale", breaks: "no number twice" },
    Case { mutant: M2, run: "hand-over", breaks: "no number twice" },
    Case { mutant: M3, run: "plain to fenced", breaks: "no number twice" },
    Case { mutant: M4, run: "stale", breaks: "no number twice" },
    Case { mutant: M5, run: "healing, one call after another", breaks: "no number twice" },
    Case { mutant: M6, run: "hand-over", breaks: "no orphan" },
    Case { mutant: M7, run: "healing", breaks: "no orphan" },
    Case { mutant: H1, run: "healing", breaks: "no orphan" },
    Case { mutant: H2, run: "healing", breaks: "no orphan" },
    Case { mutant: X4, run: "there and back", breaks: "no orphan" },
    Case { mutant: X4c, run: "plain to fenced", breaks: "no orphan" },
    Case { mutant: OneVote, run: "one holder", breaks: "one holder" },
    Case { mutant: Forgets, run: "hand-over", breaks: "order" },
];

impl<M: Wrong> Case<M> {
    /// How it breaks and after how many states, or why it does not count.
    fn find(&self) -> Result<(Broken, usize), String> {
        let Self { mutant, run, breaks } = self;
        let played = mutant.play(run, breaks);
        let played = played.ok_or_else(|| format!("{mutant:?}: no run is named {run}"))?;
        let (row, states) = (played.row(), played.states);
        let found = played.broken.into_iter().find(|broken| broken.property == *breaks);
        Ok((found.ok_or_else(|| format!("{mutant:?} is not found: {row}"))?, states))
    }
}

/// Shows how the mutant of this name breaks each run in which it is played. False: there is none.
pub fn show<M: Wrong>(cases: &[Case<M>], name: &str) -> bool {
    let mut is_one = false;
    for case in cases.iter().filter(|case| format!("{:?}", case.mutant) == name) {
        let Case { run, breaks, .. } = case;
        match case.find() {
            Ok((found, _)) => println!("{name}, {run}: {breaks} does not hold:\n{}", found.trace),
            Err(text) => println!("{text}"),
        }
        is_one = true;
    }
    is_one
}

/// Prints the table of the mutants. False: one of them is not found.
pub fn find_all<M: Wrong>(cases: &[Case<M>]) -> bool {
    println!("| mutant | run | breaks | steps | states |\n|---|---|---|---:|---:|");
    let mut all = true;
    for case in cases {
        let Case { mutant, run, breaks } = case;
        match case.find() {
            Ok((Broken { steps, .. }, states)) => {
                println!("| {mutant:?} | {run} | {breaks} | {steps} | {states} |");
            }
            Err(text) => {
                println!("{text}");
                all = false;
            }
        }
    }
    all
}
