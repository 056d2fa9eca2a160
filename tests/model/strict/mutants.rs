//! For each mutant the run and the property that notice it.

use super::{
    model::Strict,
    rules::Mutant::{self, *},
    runs::Run,
};
use crate::{
    check::{self, Played},
    mutants::{Case, Wrong},
};

impl Wrong for Mutant {
    fn play(self, run: &str, property: &'static str) -> Option<Played> {
        Some(check::play_mutant(Strict::new(Run::named(run)?, Some(self)), property))
    }
}

const HOLDER: &str = "one holder";

pub const CASES: &[Case<Mutant>] = &[
    Case { mutant: NotStrict, run: "restarts empty", breaks: HOLDER },
    Case { mutant: ShortQuarantine, run: "flushes", breaks: HOLDER },
    Case { mutant: LooksOnConnect, run: "flushes", breaks: HOLDER },
    Case { mutant: AnyEpoch, run: "restarts stale", breaks: HOLDER },
    Case { mutant: AnyEpoch, run: "replicates", breaks: HOLDER },
    Case { mutant: CountsHealed, run: "heals", breaks: HOLDER },
    Case { mutant: NoEpochIsNew, run: "flushes", breaks: HOLDER },
    Case { mutant: TwoSteps, run: "grace", breaks: HOLDER },
    Case { mutant: LongStep, run: "grace", breaks: HOLDER },
    Case { mutant: NoGrace, run: "grace", breaks: HOLDER },
    Case { mutant: BelievesInGrace, run: "grace", breaks: HOLDER },
    Case { mutant: QuarantineWithoutGrace, run: "grace, flushes", breaks: HOLDER },
    Case { mutant: BeginsAnew, run: "flushes", breaks: "grants again" },
    Case { mutant: ForgetsOneMore, run: "fenced", breaks: "order" },
    Case { mutant: ForgetsOneMore, run: "fenced, four nodes", breaks: "order" },
];
