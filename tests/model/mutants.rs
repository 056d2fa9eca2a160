//! For each mutant the run and the property that notice it.

use std::process::ExitCode;

use crate::{
    check::{self, Played},
    rules::Mutant::{self, *},
    runs::Run,
};

/// A mutant, the run in which it is played, and the property that it breaks.
pub struct Case {
    pub mutant: Mutant,
    run: &'static str,
    breaks: &'static str,
}

pub const CASES: &[Case] = &[
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

impl Case {
    fn play(&self) -> Option<Played> {
        Some(check::play_mutant(Run::named(self.run)?, self.mutant, self.breaks))
    }

    /// Shows how it breaks.
    pub fn show(&self) -> ExitCode {
        let played = self.play();
        for (property, path) in played.iter().flat_map(|played| &played.broken) {
            println!(
                "{:?}, {}: {property} does not hold:\n{}",
                self.mutant,
                self.run,
                check::trace(path)
            );
        }
        ExitCode::SUCCESS
    }

    /// Its row of the table; an error if it is not found.
    fn row(&self) -> Result<String, String> {
        let Self { mutant, run, breaks } = self;
        let played = self.play().ok_or_else(|| format!("{mutant:?}: no run is named {run}"))?;
        let found = played.broken.iter().find(|(property, _)| property == breaks);
        let (_, path) =
            found.ok_or_else(|| format!("{mutant:?} is not found: {}", played.row()))?;
        let steps = path.clone().into_actions().len();
        Ok(format!("| {mutant:?} | {run} | {breaks} | {steps} | {} |", played.states))
    }
}

/// Prints the table of the mutants. False: one of them is not found.
pub fn find_all() -> bool {
    println!("| mutant | run | breaks | steps | states |\n|---|---|---|---:|---:|");
    let mut found = true;
    for case in CASES {
        let row = case.row();
        found &= row.is_ok();
        println!("{}", row.unwrap_or_else(|text| text));
    }
    found
}
