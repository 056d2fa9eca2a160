//! Figures as Markdown tables, as the documents have them.

use std::{collections::BTreeSet, fmt::Write as _};

use redlock_quorum::sim::{Hunter, Mutant};

use crate::{
    Level,
    profile::Profile,
    quarantine::Met,
    stage::Counts,
    violation::{Check, Violation},
};

/// The page that `make mutants` writes.
pub const MUTANTS_PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mutants.md");

const MUTANTS_HEAD: &str = "\
# The mutants

<!-- `make mutants` writes this page from src/mutant.rs and from what it finds. -->

Each row is a wrong turn that the client takes on purpose, the first seed of level a whose
run shows it, the profile of that run, and the check that noticed it. What mutants are for,
and how to add one, is in [testing.md](testing.md#mutants).

| mutant | the wrong turn | seed | profile | noticed by |
|---|---|---:|---|---|
";

/// What one level of a campaign covered.
pub struct Covered {
    pub level: Level,
    pub counts: Counts,
    /// How many of its slices ended with a violation.
    pub violations: u64,
}

/// The rows of the campaign's table, with a column for each level.
pub fn campaign(levels: &[Covered]) -> String {
    let mut rows = row("", levels.iter().map(|covered| format!("level {}", covered.level.name())));
    let _ = writeln!(rows, "|---|{}", "---:|".repeat(levels.len()));
    let mut figures = |name: &str, figure: &dyn Fn(&Covered) -> u64| {
        rows += &row(name, levels.iter().map(|covered| grouped(figure(covered))));
    };
    figures("seeds", &|covered| covered.counts.seeds);
    figures("virtual hours", &|covered| covered.counts.virtual_nanos / 3_600_000_000_000);
    figures("commands carried out by nodes", &|covered| covered.counts.commands);
    figures("locks acquired", &|covered| covered.counts.acquired);
    figures("&nbsp;&nbsp;with fencing numbers", &|covered| covered.counts.fenced);
    for met in Met::ALL {
        let count = |covered: &Covered| covered.counts.met.get(&met).copied().unwrap_or_default();
        figures(&format!("&nbsp;&nbsp;{met}"), &count);
    }
    figures("faults injected", &|covered| covered.counts.faults.values().sum());
    let kinds: BTreeSet<_> =
        levels.iter().flat_map(|covered| covered.counts.faults.keys()).collect();
    for kind in kinds {
        let count =
            |covered: &Covered| covered.counts.faults.get(kind).copied().unwrap_or_default();
        figures(&format!("&nbsp;&nbsp;{kind}"), &count);
    }
    figures("violations within the assumptions", &|covered| covered.violations);
    use Check as C;
    for check in [C::TooFewNodes, C::TwoHolders, C::NumbersFall, C::NumberTwice] {
        let check = check.to_string();
        let count =
            |covered: &Covered| covered.counts.counted.get(&check).copied().unwrap_or_default();
        figures(&format!("beyond them: {check}"), &count);
    }
    rows
}

/// The row of a mutant. `noticed` is the first seed that noticed it, if one did,
/// the profile of that seed, and what was violated.
pub fn mutant(mutant: Mutant, noticed: Option<(u64, Profile, &Violation)>) -> String {
    let [seed, profile, by] = match (noticed, mutant.hunter()) {
        (Some((seed, profile, violation)), _) => {
            [grouped(seed), profile.to_string(), violation.check.to_string()]
        }
        (None, Hunter::Stepper) => ["", "", "a stepper"].map(str::to_owned),
        (None, Hunter::Seeds) => ["", "", "**nothing**"].map(str::to_owned),
    };
    row(&format!("`{mutant:?}`"), [mutant.wrong_turn().to_owned(), seed, profile, by])
}

/// The whole page, with the rows of all mutants.
pub fn mutants_page(rows: &str) -> String {
    MUTANTS_HEAD.to_owned() + rows
}

fn row(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().fold(String::new(), |cells, cell| cells + " " + &cell + " |");
    format!("|{}{name} |{cells}\n", if name.is_empty() { "" } else { " " })
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 12, 999, 1_000, 12_345, 967_266_804];
        let texts = ["0", "12", "999", "1,000", "12,345", "967,266,804"];
        assert_eq!(numbers.map(grouped), texts);
    }

    #[test]
    fn a_campaign_is_a_table_as_the_documents_have_it() {
        let level = |level, seeds, fault| {
            let mut counts = Counts { seeds, ..Counts::default() };
            counts.virtual_nanos = 5_799 * 3_600_000_000_000;
            counts.faults.insert(fault, 1_234);
            counts.counted.insert("two holders".to_owned(), 7);
            Covered { level, counts, violations: 0 }
        };
        let table = campaign(&[level(Level::A, 2_000_000, "cut"), level(Level::B, 5, "hung node")]);
        let expected = "\
| | level a | level b |
|---|---:|---:|
| seeds | 2,000,000 | 5 |
| virtual hours | 5,799 | 5,799 |
| commands carried out by nodes | 0 | 0 |
| locks acquired | 0 | 0 |
| &nbsp;&nbsp;with fencing numbers | 0 | 0 |
| &nbsp;&nbsp;granted beside nodes in quarantine | 0 | 0 |
| &nbsp;&nbsp;granted within the longest ttl after a node forgot | 0 | 0 |
| &nbsp;&nbsp;granted by a quorum that was in quarantine | 0 | 0 |
| &nbsp;&nbsp;two holders where a step exceeds the grace | 0 | 0 |
| faults injected | 1,234 | 1,234 |
| &nbsp;&nbsp;cut | 1,234 | 0 |
| &nbsp;&nbsp;hung node | 0 | 1,234 |
| violations within the assumptions | 0 | 0 |
| beyond them: held by too few nodes | 0 | 0 |
| beyond them: two holders | 7 | 7 |
| beyond them: a smaller number for a later call | 0 | 0 |
| beyond them: a number twice | 0 | 0 |
";
        assert_eq!(table, expected);
    }

    /// The seeds are not compared: they change with the client.
    #[test]
    fn the_page_of_mutants_is_of_these_mutants() {
        let page = std::fs::read_to_string(MUTANTS_PAGE).unwrap();
        let rows = page.strip_prefix(MUTANTS_HEAD).expect("`make mutants` writes another head");
        let start = |row: &str| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ");
        let named: Vec<_> = rows.lines().map(start).collect();
        let expected: Vec<_> = Mutant::ALL.iter().map(|each| start(&mutant(*each, None))).collect();
        assert_eq!(named, expected, "run `make mutants`, which writes {MUTANTS_PAGE}");
    }
}
