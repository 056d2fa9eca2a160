//! What must not be in a row of figures, and what must: where no harm is done with
//! nothing to prevent it, a zero proves nothing.

use crate::{
    fault::Set,
    mode::Mode,
    steps::Step,
    table::{Row, StepRow},
};

/// Each part of a step that is played under load has at least so many grants.
const LOAD: u64 = 20;
/// Of so many faults, some must do harm where nothing prevents it.
const SURELY: u64 = 50;

/// The least that a run must have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors {
    /// Grants of each mode.
    pub a_second: f64,
    /// How often each kind was to be played, if that was asked for. What else must be there is in
    /// proportion: 5,000 grants after 500 faults of a kind, and so on.
    pub times: Option<u64>,
}

/// What is wrong with a run, in words.
pub fn of_run(rows: &[Row], set: Set, floors: &Floors) -> Vec<String> {
    let mut wrong: Vec<_> = rows.iter().flat_map(|row| of(row, set, floors)).collect();
    let calls: u64 = rows.iter().map(|row| row.findings.calls).sum();
    // 100,000 on three servers, where each kind comes 50 times.
    let least = floors.times.filter(|_| set == Set::Within).map_or(0, |times| times * 700);
    if calls < least {
        wrong.push(format!("{calls} calls, and {least} are the least"));
    }
    wrong
}

/// What is wrong with what the clients of one mode did.
fn of(row: &Row, set: Set, floors: &Floors) -> Vec<String> {
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
        none(found.overlaps(), "overlaps");
    }
    if counts_right(mode, set) {
        none(found.lost, "lost updates");
    }
    if mode.is_fenced() {
        none(found.inversions, "numbers that did not rise");
    }
    let mut least = |count: u64, least: u64, of: &str| {
        if count < least {
            wrong.push(format!("{mode} clients: {count} {of}, and {least} are the least"));
        }
    };
    least(found.grants, (floors.a_second * row.seconds) as u64, "grants");
    if must_fail(mode, set) && (floors.times.is_some() || row.faults() >= SURELY) {
        // Else the others' zeros prove nothing.
        least(found.overlaps(), 1, "overlaps");
    }
    if let Some(times) = floors.times {
        enough(row, set, times, &mut least);
    }
    wrong
}

/// Whether there was as much of all as `times` faults of each kind ask for.
fn enough(row: &Row, set: Set, times: u64, least: &mut impl FnMut(u64, u64, &str)) {
    let (found, mode) = (&row.findings, row.mode);
    for (kind, of_kind) in &found.kinds {
        least(of_kind.faults, times, &format!("faults of the kind {kind}"));
        if mode.is_strict() && set == Set::Memory {
            least(of_kind.grants, 10 * times, &format!("grants after {kind}"));
            least(of_kind.soon, times, &format!("grants within a max ttl after {kind}"));
        }
    }
    let faults = row.faults();
    if mode.is_fenced() && set == Set::Memory {
        least(found.accepted, 5 * faults, "writes accepted");
        least(found.refused, faults / 10, "writes refused as stale");
    }
    if mode == Mode::Plain && set == Set::Memory {
        least(found.lost + found.lost_late, 1, "updates lost");
    }
}

/// Whether such faults surely do harm to such clients.
fn must_fail(mode: Mode, set: Set) -> bool {
    match set {
        Set::Within => false,
        Set::Memory | Set::Clock => mode == Mode::Plain,
        Set::Beyond => matches!(mode, Mode::Plain | Mode::Grace),
    }
}

/// What is wrong with a step.
pub fn of_step(row: &StepRow) -> Vec<String> {
    let (found, step) = (&row.clients, row.step);
    let mut wrong = Vec::new();
    let mut expect = |is_so: bool, what: String| {
        if !is_so {
            wrong.push(format!("{}: {what}", step.name()));
        }
    };
    let goes_wrong = step == Step::Beside;
    let overlaps = found.overlaps();
    expect((overlaps > 0) == goes_wrong, format!("{overlaps} overlaps"));
    expect(goes_wrong || found.lost == 0, format!("{} lost updates", found.lost));
    for (count, of) in [
        (found.keys_left, "keys left"),
        (found.late, "late calls"),
        (found.hangs, "hangs"),
        (found.revived, "holders that believed again"),
        (row.strangers.grants, "grants of clients that believe otherwise"),
    ] {
        expect(count == 0, format!("{count} {of}"));
    }
    expect((row.strangers.calls > 0) == (step == Step::Early), "who came is wrong".to_owned());
    let stops = step.after_a_pause().is_some();
    for (part, grants) in found.parts.iter().enumerate() {
        let is_right = match part {
            // Where all are stopped, none is left that might have a lock.
            1 if stops => *grants == 0,
            // A bootstrap may take longer than a quarantine.
            0 if step == Step::LateBootstrap => true,
            _ => *grants >= LOAD,
        };
        expect(is_right, format!("{grants} grants in part {part}"));
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
        (Set::Beyond, _) => false,
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::{Findings, OfKind};

    fn row(mode: Mode, findings: Findings) -> Row {
        Row { run: String::new(), mode, seconds: 10.0, findings }
    }

    fn wrong(mode: Mode, set: Set, findings: Findings) -> usize {
        let flush = OfKind { faults: SURELY, ..OfKind::default() };
        let kinds = BTreeMap::from([("flush", flush)]);
        let findings = Findings { grants: 100, kinds, ..findings };
        of(&row(mode, findings), set, &Floors { a_second: 10.0, times: None }).len()
    }

    #[test]
    fn plain_clients_must_overlap_beyond_the_assumptions_and_not_within() {
        let overlaps = |count| Findings { meetings: vec![7; count], ..Findings::default() };
        assert_eq!(wrong(Mode::Plain, Set::Within, overlaps(0)), 0);
        assert_eq!(wrong(Mode::Plain, Set::Within, overlaps(1)), 1);
        assert_eq!(wrong(Mode::Plain, Set::Memory, overlaps(0)), 1);
        assert_eq!(wrong(Mode::Plain, Set::Memory, overlaps(1)), 0);
        assert_eq!(wrong(Mode::Strict, Set::Memory, overlaps(1)), 1);
        assert_eq!(wrong(Mode::Grace, Set::Clock, overlaps(1)), 1);
        assert_eq!(wrong(Mode::Grace, Set::Beyond, overlaps(1)), 0);
        assert_eq!(wrong(Mode::Grace, Set::Beyond, overlaps(0)), 1);
    }

    #[test]
    fn numbers_protect_the_counter_whatever_is_forgotten() {
        let lost = |lost| Findings { lost, meetings: vec![7], ..Findings::default() };
        assert_eq!(wrong(Mode::Plain, Set::Memory, lost(1)), 0);
        assert_eq!(wrong(Mode::Fenced, Set::Memory, lost(1)), 1);
    }

    #[test]
    fn a_short_run_need_not_show_harm() {
        let few = row(Mode::Plain, Findings { grants: 100, ..Findings::default() });
        assert_eq!(of(&few, Set::Memory, &Floors::default()), Vec::<String>::new());
    }

    #[test]
    fn too_few_grants_are_wrong() {
        let floors = Floors { a_second: 10.0, times: None };
        let row = |grants| row(Mode::Plain, Findings { grants, ..Findings::default() });
        assert_eq!(of(&row(100), Set::Within, &floors).len(), 0);
        assert_eq!(of(&row(99), Set::Within, &floors).len(), 1);
    }

    #[test]
    fn what_was_asked_for_in_times_must_be_there() {
        let floors = Floors { a_second: 0.0, times: Some(100) };
        let strict = |faults, grants, soon| {
            let kinds = BTreeMap::from([("stale", OfKind { faults, grants, soon, overlaps: 0 })]);
            of(&row(Mode::Strict, Findings { kinds, ..Findings::default() }), Set::Memory, &floors)
        };
        assert_eq!(strict(100, 1000, 100), Vec::<String>::new());
        assert_eq!(strict(99, 999, 99).len(), 3);
        let fenced = |accepted, refused| {
            let kinds = BTreeMap::from([("stale", OfKind { faults: 100, ..OfKind::default() })]);
            let findings = Findings { accepted, refused, kinds, ..Findings::default() };
            of(&row(Mode::Fenced, findings), Set::Memory, &floors).len()
        };
        assert_eq!((fenced(500, 10), fenced(499, 9)), (0, 2));
        let calls = |calls| {
            let rows = [row(Mode::Plain, Findings { calls, ..Findings::default() })];
            of_run(&rows, Set::Within, &floors).len()
        };
        assert_eq!((calls(70_000), calls(69_999)), (0, 1));
    }
}
