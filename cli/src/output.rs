//! The only place that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

/// A line of the answer, on standard output.
pub fn line(text: &str) {
    println!("{text}");
}

/// A line that ends the command badly, on standard error.
pub fn failure(text: &str) {
    eprintln!("error: {text}");
}

/// Columns aligned under their headings, on standard output.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    for row in aligned(headings, rows) {
        println!("{row}");
    }
}

fn aligned(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| heading.to_uppercase())
        .collect();
    let width = |column: usize| {
        rows.iter()
            .chain([&headings])
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    [&headings]
        .into_iter()
        .chain(rows)
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["acme".to_owned(), "1".to_owned()],
            vec!["b".to_owned(), "22".to_owned()],
        ];

        let lines = aligned(&["tenant", "keys"], &rows);

        assert_eq!(lines, ["TENANT   KEYS", "acme     1", "b        22"]);
    }
}
