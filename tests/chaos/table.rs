//! Figures as Markdown tables, as the documents have them.

use std::fmt::Write as _;

use crate::{check::Findings, mode::Mode, steps::Step};

/// What the clients of one mode did in one run.
#[derive(Clone, Debug)]
pub struct Row {
    /// The server, and the set of faults.
    pub run: String,
    pub mode: Mode,
    pub seconds: f64,
    pub findings: Findings,
}

impl Row {
    pub fn faults(&self) -> u64 {
        self.findings.kinds.values().map(|found| found.faults).sum()
    }
}

const HEADS: [&str; 16] = [
    "run",
    "clients",
    "faults",
    "calls",
    "grants",
    "a second",
    "after a fault",
    "overlaps",
    "lost updates",
    "lost to late writers",
    "accepted",
    "refused as stale",
    "numbers fell",
    "keys left",
    "late calls",
    "hangs",
];

pub fn of(rows: &[Row]) -> String {
    let mut table = line(HEADS.map(str::to_owned));
    let _ = writeln!(table, "|---|---|{}", "---:|".repeat(HEADS.len() - 2));
    for row in rows {
        table += &line(cells(row));
    }
    table
}

fn cells(row: &Row) -> [String; 16] {
    let found = &row.findings;
    let rate = if row.seconds > 0.0 { found.grants as f64 / row.seconds } else { 0.0 };
    [
        row.run.clone(),
        row.mode.to_string(),
        grouped(row.faults()),
        grouped(found.calls),
        grouped(found.grants),
        format!("{rate:.0}"),
        grouped(found.after_fault),
        grouped(found.overlaps()),
        grouped(found.lost),
        grouped(found.lost_late),
        grouped(found.accepted),
        grouped(found.refused),
        grouped(found.inversions),
        grouped(found.keys_left),
        grouped(found.late),
        grouped(found.hangs),
    ]
}

/// What followed each kind of fault.
pub fn by_kind(rows: &[Row]) -> String {
    let heads = ["run", "clients", "fault", "faults", "grants", "within a max ttl", "overlaps"];
    let mut table = line(heads.map(str::to_owned));
    let _ = writeln!(table, "|---|---|---|{}", "---:|".repeat(heads.len() - 3));
    for row in rows {
        for (kind, found) in &row.findings.kinds {
            table += &line([
                row.run.clone(),
                row.mode.to_string(),
                (*kind).to_owned(),
                grouped(found.faults),
                grouped(found.grants),
                grouped(found.soon),
                grouped(found.overlaps),
            ]);
        }
    }
    table
}

/// How often each fault was played, on one line.
pub fn faults(row: &Row) -> String {
    let kinds = row.findings.kinds.iter();
    let each: Vec<_> = kinds.map(|(name, found)| format!("{name} {}", found.faults)).collect();
    each.join(", ")
}

/// What the clients of one step did.
#[derive(Clone, Debug)]
pub struct StepRow {
    pub run: String,
    pub step: Step,
    pub clients: Findings,
    /// Those that believe otherwise, where there are any.
    pub strangers: Findings,
}

pub fn of_steps(rows: &[StepRow]) -> String {
    let heads = [
        "server",
        "step",
        "grants before",
        "meanwhile",
        "after",
        "overlaps",
        "late calls",
        "keys left",
        "strangers' calls",
        "their grants",
    ];
    let mut table = line(heads.map(str::to_owned));
    let _ = writeln!(table, "|---|---|{}", "---:|".repeat(heads.len() - 2));
    for StepRow { run, step, clients, strangers } in rows {
        // One that goes wrong from the begin has nothing in between.
        let grants =
            |place: usize| clients.parts.get(place).map_or("-".to_owned(), |it| grouped(*it));
        let last = clients.parts.len().saturating_sub(1);
        table += &line([
            run.clone(),
            step.name().to_owned(),
            grants(0),
            if last > 1 { grants(1) } else { "-".to_owned() },
            grants(last),
            grouped(clients.overlaps()),
            grouped(clients.late),
            grouped(clients.keys_left),
            grouped(strangers.calls),
            grouped(strangers.grants),
        ]);
    }
    table
}

/// Adds what another stage had, whose clients are of the same modes.
pub fn add(rows: &mut Vec<Row>, others: Vec<Row>) {
    if rows.is_empty() {
        *rows = others;
        return;
    }
    for (row, other) in rows.iter_mut().zip(others) {
        // They were played side by side.
        row.seconds = row.seconds.max(other.seconds);
        row.findings.add(other.findings);
    }
}

fn line<const N: usize>(cells: [String; N]) -> String {
    format!("| {} |\n", cells.join(" | "))
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
    use crate::check::OfKind;
    use std::collections::BTreeMap;

    #[test]
    fn a_row_has_a_cell_for_each_head() {
        let flush = OfKind { faults: 7, ..OfKind::default() };
        let kinds = BTreeMap::from([("flush", flush)]);
        let findings = Findings { grants: 12_345, kinds, ..Findings::default() };
        let run = "Redis 7.0.15, memory".to_owned();
        let row = Row { run, mode: Mode::Plain, seconds: 10.0, findings };
        let mut rows = Vec::new();
        add(&mut rows, vec![row.clone()]);
        let table = of(&rows);
        let cells: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [HEADS.len() + 1; 3]);
        assert!(table.contains("memory | plain | 7 | 0 | 12,345 | 1234 |"), "{table}");
    }

    #[test]
    fn what_stages_had_is_added_up() {
        let row = |grants, faults, seconds| {
            let found = OfKind { faults, grants, soon: 1, overlaps: 0 };
            let kinds = BTreeMap::from([("stale", found)]);
            let (run, findings) =
                (String::new(), Findings { grants, kinds, ..Findings::default() });
            Row { run, mode: Mode::Strict, seconds, findings }
        };
        let mut rows = vec![row(5, 2, 9.0)];
        add(&mut rows, vec![row(6, 3, 10.0)]);
        assert_eq!((rows[0].findings.grants, rows[0].faults(), rows[0].seconds), (11, 5, 10.0));
        assert!(by_kind(&rows).contains("| strict | stale | 5 | 11 | 2 | 0 |"));
    }
}
