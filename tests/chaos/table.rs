//! Figures as Markdown tables, as the documents have them.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{check::Findings, mode::Mode};

/// What the clients of one mode did in one run.
#[derive(Clone, Debug)]
pub struct Row {
    /// The server, and the set of faults.
    pub run: String,
    pub mode: Mode,
    pub faults: u64,
    pub seconds: f64,
    pub findings: Findings,
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
        grouped(row.faults),
        grouped(found.calls),
        grouped(found.grants),
        format!("{rate:.0}"),
        grouped(found.after_fault),
        grouped(found.overlaps),
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

/// How often each fault was played, on one line.
pub fn faults(played: &BTreeMap<&str, u32>) -> String {
    let each: Vec<_> = played.iter().map(|(name, times)| format!("{name} {times}")).collect();
    each.join(", ")
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

    #[test]
    fn a_row_has_a_cell_for_each_head() {
        let findings = Findings { grants: 12_345, ..Findings::default() };
        let run = "Redis 7.0.15, memory".to_owned();
        let row = Row { run, mode: Mode::Plain, faults: 7, seconds: 10.0, findings };
        let table = of(&[row]);
        let cells: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [HEADS.len() + 1; 3]);
        assert!(table.contains("memory | plain | 7 | 0 | 12,345 | 1234 |"), "{table}");
    }
}
