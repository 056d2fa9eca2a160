//! What comes out: figures, ratios, and targets.

use crate::{
    common::Result,
    table::{self, median},
};

/// Of what was measured in the same round.
pub fn ratios(values: &[f64], bases: &[f64]) -> Vec<f64> {
    values.iter().zip(bases).map(|(value, base)| value / base).collect()
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
        size if size.is_nan() => "–".to_owned(),
        _ => "∞".to_owned(),
    }
}

/// The median, and from where to where.
pub fn spread(values: &[f64]) -> String {
    let middle = figure(median(values));
    match values.len() {
        1 => middle,
        _ => format!("{middle} ({}–{})", figure(least(values)), figure(most(values))),
    }
}

/// A promise, and what became of it.
pub struct Target {
    pub figure: String,
    pub target: String,
    pub measured: String,
    pub met: bool,
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
