//! What comes out: values of both libraries side by side, and targets.

use crate::{
    client::Library,
    common::Result,
    table::{self, median},
};

/// One value of each library in each round, in the order of [`Library::BOTH`].
pub type Rounds = [Vec<f64>; 2];

/// Rows of one value per library, and the ratio of the two.
pub struct Versus {
    rows: Vec<Vec<String>>,
}

impl Versus {
    pub fn new() -> Self {
        let [ours, theirs] = Library::BOTH.map(|library| library.to_string());
        Self { rows: vec![vec![String::new(), ours, theirs, "×".to_owned()]] }
    }

    /// The medians of all rounds, and of the ratios within each.
    pub fn row(&mut self, name: &str, rounds: &Rounds) {
        let ratios = ratios(rounds);
        let [ours, theirs] = rounds.each_ref().map(|values| figure(median(values)));
        self.rows.push(vec![name.to_owned(), ours, theirs, spread(&ratios)]);
    }

    /// What no median and no ratio is made of.
    pub fn plain(&mut self, name: &str, [ours, theirs]: [String; 2]) {
        self.rows.push(vec![name.to_owned(), ours, theirs, String::new()]);
    }

    pub fn print(&self) {
        table::print(&self.rows);
    }
}

/// Ours to theirs in the same round.
pub fn ratios([ours, theirs]: &Rounds) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

pub fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Three digits, or all before the point.
pub fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        size if size.is_finite() => format!("{value:.0}"),
        _ => "∞".to_owned(),
    }
}

fn spread(ratios: &[f64]) -> String {
    let middle = figure(median(ratios));
    match ratios.len() {
        1 => middle,
        _ => format!("{middle} ({}–{})", figure(least(ratios)), figure(most(ratios))),
    }
}

/// A promise, and what became of it.
pub struct Target {
    figure: String,
    target: String,
    measured: String,
    met: bool,
}

impl Target {
    pub fn under(name: &str, limit: f64, measured: f64) -> Self {
        Self::new(name, format!("< {limit}"), measured, measured < limit)
    }

    pub fn at_most(name: &str, limit: f64, measured: f64) -> Self {
        Self::new(name, format!("≤ {limit}"), measured, measured <= limit)
    }

    pub fn at_least(name: &str, limit: f64, measured: f64) -> Self {
        Self::new(name, format!("≥ {limit}"), measured, measured >= limit)
    }

    pub fn none(name: &str, measured: u64) -> Self {
        Self::new(name, "0".to_owned(), measured as f64, measured == 0)
    }

    fn new(name: &str, target: String, measured: f64, met: bool) -> Self {
        Self { figure: name.to_owned(), target, measured: figure(measured), met }
    }
}

/// Nothing may be lost or left, however short the measurement.
pub fn check_none(targets: &[Target]) -> Result<()> {
    match targets.iter().find(|target| target.target == "0" && !target.met) {
        Some(missed) => Err(format!("{}: {}", missed.figure, missed.measured).into()),
        None => Ok(()),
    }
}

pub fn print_targets(targets: &[Target]) {
    let mut rows = vec![["figure", "target", "measured", ""].map(str::to_owned).to_vec()];
    for Target { figure, target, measured, met } in targets {
        let verdict = if *met { "ok" } else { "missed" }.to_owned();
        rows.push(vec![figure.clone(), target.clone(), measured.clone(), verdict]);
    }
    table::print(&rows);
}
