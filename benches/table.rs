//! Tables as Markdown that also reads well as it is.

/// The first row is the header, the first column names the rows.
pub fn print(rows: &[Vec<String>]) {
    let Some((header, rest)) = rows.split_first() else { return };
    let rule: Vec<_> = (0..header.len()).map(rule).collect();
    let widths: Vec<_> = (0..header.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
        .map(|longest| longest.unwrap_or_default().max("---:".len()))
        .collect();
    for row in [header, &rule].into_iter().chain(rest) {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => print!("| {cell:<width$} |"),
                _ => print!(" {cell:>width$} |"),
            }
        }
        println!();
    }
}

fn rule(column: usize) -> String {
    if column == 0 { "---".to_owned() } else { "---:".to_owned() }
}

/// The middle one of an odd number of values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
