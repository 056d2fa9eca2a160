//! Values of both libraries side by side.

use redlock_quorum_benches::{
    report::{figure, ratios, spread},
    table::{self, median},
};

use crate::client::Library;

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
        let ratios = ours_to_theirs(rounds);
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

/// In the same round.
pub fn ours_to_theirs([ours, theirs]: &Rounds) -> Vec<f64> {
    ratios(ours, theirs)
}
