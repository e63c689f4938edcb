//! The only place that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    cell::Cell,
    io::{ErrorKind, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// What a shell says of a program that SIGPIPE ended: 128 and the signal's number.
const NOBODY_READS: i32 = 128 + 13;

/// A line of the answer, on standard output. If nobody reads it any more, as behind `| head -1`, the program
/// ends like others do.
pub fn line(text: &str) {
    let written = writeln!(std::io::stdout(), "{text}");
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(NOBODY_READS);
    }
}

/// A line that ends the command badly, on standard error.
pub fn failure(text: &str) {
    eprintln!("error: {text}");
}

/// A remark beside the answer, on standard error.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How far something is, on standard error: a bar on a terminal, else now and then a line.
pub struct Progress {
    bar: Option<ProgressBar>,
    told: Cell<Option<Instant>>,
}

impl Progress {
    /// Nothing is shown yet.
    #[must_use]
    pub fn begin() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let told = Cell::new(None);
        Self { bar, told }
    }

    /// Shows that so many of so many are done, and what else there is to say.
    pub fn show(&self, done: u64, total: Option<u64>, remark: &str) {
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(remark.to_owned());
        } else if self.told.get().is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.told.set(Some(Instant::now()));
            note(&progress_line(done, total, remark));
        }
    }

    /// A remark above the bar.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn progress_line(done: u64, total: Option<u64>, remark: &str) -> String {
    match total {
        Some(total) => format!("{done} of {total}, {remark}"),
        None => format!("{done}, {remark}"),
    }
}

/// Columns aligned under their headings, on standard output.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    for row in aligned(headings, rows) {
        line(&row);
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
    use super::{aligned, progress_line};

    #[test]
    fn progress_is_a_line_where_there_is_no_terminal() {
        assert_eq!(
            progress_line(3, Some(9), "1 events/s"),
            "3 of 9, 1 events/s"
        );
        assert_eq!(progress_line(3, None, "1 events/s"), "3, 1 events/s");
    }

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
