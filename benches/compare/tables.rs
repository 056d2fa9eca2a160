//! Figures as people read them: a row for each contender.

use redlock_quorum_benches::{
    contenders::Kind,
    report::{figure, least, most},
    table::{self, median},
};

use crate::figures::{Case, Figures, Part};

/// One column: its head, and what it says of each contender.
pub struct Column<'a> {
    head: String,
    cell: Box<dyn Fn(Kind) -> Option<String> + 'a>,
}

pub fn print(kinds: &[Kind], columns: &[Column<'_>]) {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(columns.iter().map(|column| column.head.clone()));
    for kind in kinds {
        let cells = columns.iter().map(|column| (column.cell)(*kind));
        let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
        rows.push([kind.name().to_owned()].into_iter().chain(cells).collect());
    }
    table::print(&rows);
}

pub fn column<'a>(
    head: impl Into<String>,
    cell: impl Fn(Kind) -> Option<String> + 'a,
) -> Column<'a> {
    Column { head: head.into(), cell: Box::new(cell) }
}

impl Figures {
    /// The median of the rounds.
    pub fn plain<'a>(&'a self, head: impl Into<String>, case: Case, name: &'a str) -> Column<'a> {
        column(head, move |kind| self.median(case, kind, name).map(figure))
    }

    /// The median of the rounds, and how it compares to floor A.
    pub fn versus<'a>(&'a self, head: impl Into<String>, case: Case, name: &'a str) -> Column<'a> {
        column(head, move |kind| {
            let value = figure(self.median(case, kind, name)?);
            match kind {
                Kind::FloorA => Some(value),
                _ => Some(format!("{value} {}", times(&self.ratios(case, kind.name(), name)?))),
            }
        })
    }

    /// All rounds together, for what must not be lost in a median.
    pub fn total<'a>(&'a self, head: impl Into<String>, case: Case, name: &'a str) -> Column<'a> {
        column(head, move |kind| {
            let sum: f64 = self.rounds(case, kind.name(), name)?.iter().sum();
            Some(format!("{sum:.0}"))
        })
    }

    /// The same of all cases of a part.
    pub fn total_of<'a>(&'a self, head: &str, part: Part, names: &'a [&str]) -> Column<'a> {
        column(head, move |kind| {
            let sum =
                self.sum(names, |figure| figure.case.part == part && figure.who == kind.name());
            Some(format!("{sum:.0}"))
        })
    }
}

/// The median, and from where to where.
pub fn times(ratios: &[f64]) -> String {
    let middle = median(ratios);
    match ratios.len() {
        1 => format!("× {middle:.2}"),
        _ => format!("× {middle:.2} ({:.2}–{:.2})", least(ratios), most(ratios)),
    }
}
