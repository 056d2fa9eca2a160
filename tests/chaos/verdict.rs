//! What must not be in a row of figures, and what must: where no harm is done with
//! nothing to prevent it, a zero proves nothing.

use crate::{fault::Set, mode::Mode, table::Row};

/// What is wrong with it, in words.
pub fn of(row: &Row, set: Set, floor: u64) -> Vec<String> {
    let (found, mode) = (&row.findings, row.mode);
    let mut wrong = Vec::new();
    let mut none = |count: u64, of: &str| {
        if count > 0 {
            wrong.push(format!("{mode} clients: {count} {of}"));
        }
    };
    none(found.keys_left, "keys left");
    none(found.late, "calls that came back too late");
    none(found.hangs, "calls that did not come back");
    none(found.revived, "holders that believed again");
    if excludes(mode, set) {
        none(found.overlaps, "overlaps");
    }
    if counts_right(mode, set) {
        none(found.lost, "lost updates");
    }
    if mode.is_fenced() {
        none(found.inversions, "numbers that did not rise");
    }
    if mode == Mode::Plain && set != Set::Within && found.overlaps == 0 {
        wrong.push("plain clients never overlapped, so the others' zeros prove nothing".to_owned());
    }
    let least = (floor as f64 * row.seconds) as u64;
    if found.grants < least {
        wrong.push(format!("{mode} clients: {} grants, and {least} are the least", found.grants));
    }
    wrong
}

/// Whether no two such clients may hold at once under such faults.
fn excludes(mode: Mode, set: Set) -> bool {
    match (set, mode) {
        (Set::Within, _) => true,
        (Set::Memory, Mode::Quorum4 | Mode::Strict | Mode::StrictFenced) => true,
        (Set::Clock, Mode::Grace) => true,
        (Set::Memory, Mode::Plain | Mode::Fenced | Mode::Grace) => false,
        (
            Set::Clock,
            Mode::Plain | Mode::Fenced | Mode::Quorum4 | Mode::Strict | Mode::StrictFenced,
        ) => false,
    }
}

/// Whether no update may be lost: by exclusion, or since the counter compares numbers.
fn counts_right(mode: Mode, set: Set) -> bool {
    mode.is_fenced() || excludes(mode, set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Findings;

    fn wrong(mode: Mode, set: Set, findings: Findings) -> usize {
        let findings = Findings { grants: 100, ..findings };
        of(&Row { run: String::new(), mode, faults: 1, seconds: 10.0, findings }, set, 10).len()
    }

    #[test]
    fn plain_clients_must_overlap_beyond_the_assumptions_and_not_within() {
        let overlaps = |overlaps| Findings { overlaps, ..Findings::default() };
        assert_eq!(wrong(Mode::Plain, Set::Within, overlaps(0)), 0);
        assert_eq!(wrong(Mode::Plain, Set::Within, overlaps(1)), 1);
        assert_eq!(wrong(Mode::Plain, Set::Memory, overlaps(0)), 1);
        assert_eq!(wrong(Mode::Plain, Set::Memory, overlaps(1)), 0);
        assert_eq!(wrong(Mode::Strict, Set::Memory, overlaps(1)), 1);
        assert_eq!(wrong(Mode::Grace, Set::Clock, overlaps(1)), 1);
    }

    #[test]
    fn numbers_protect_the_counter_whatever_is_forgotten() {
        let lost = |lost| Findings { lost, overlaps: 1, ..Findings::default() };
        assert_eq!(wrong(Mode::Plain, Set::Memory, lost(1)), 0);
        assert_eq!(wrong(Mode::Fenced, Set::Memory, lost(1)), 1);
    }

    #[test]
    fn too_few_grants_are_wrong() {
        let row = |grants| Row {
            run: String::new(),
            mode: Mode::Plain,
            faults: 1,
            seconds: 10.0,
            findings: Findings { grants, ..Findings::default() },
        };
        assert_eq!(of(&row(100), Set::Within, 10).len(), 0);
        assert_eq!(of(&row(99), Set::Within, 10).len(), 1);
    }
}
