//! Figures and plots in docs/: what a page says about speed is what was measured.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::{Measured, Report, plot};
use crate::paths;

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench --document` -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Writes `docs/images/NAME-*.svg` and the figures of `docs/NAME-performance.md`.
///
/// # Errors
/// When there is no such page, it has no place for figures, or nothing can be written.
pub(super) fn write(name: &str, report: &Report) -> Result<()> {
    let docs = paths::checkout().join("docs");
    let page = docs.join(format!("{name}-performance.md"));
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let text = with_figures(&text, report)
        .with_context(|| format!("{} has no place for figures", page.display()))?;
    fs::write(&page, text)?;
    let images = docs.join("images");
    fs::create_dir_all(&images)?;
    for plot in &report.plots {
        let file = images.join(format!("{name}-{}.svg", plot.id));
        fs::write(file, plot::draw(plot))?;
    }
    println!("{}", page.display());
    Ok(())
}

/// The page with the figures of this report between its marks; none if it has no marks.
fn with_figures(page: &str, report: &Report) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", figures(report)))
}

fn figures(report: &Report) -> String {
    let mut text = String::from("\n| what | ours | baseline | ratio | rounds | goal |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for line in &report.measured {
        text.push_str(&row(line));
    }
    text.push('\n');
    for (name, value) in &report.facts {
        let name = name.replace('_', " ");
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "- {name}: {value}");
    }
    text.push('\n');
    text
}

fn row(line: &Measured) -> String {
    let Measured {
        id,
        work,
        unit,
        ours,
        baseline,
        baseline_name,
        ratio,
        rounds,
        goal,
        holds,
    } = line;
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rounds.iter().copied().fold(0.0, f64::max);
    let spread = if rounds.is_empty() {
        String::new()
    } else {
        format!("{least:.2} … {most:.2}")
    };
    let verdict = match (goal.as_str(), holds) {
        ("", _) => String::new(),
        (goal, true) => format!("{goal}: holds"),
        (goal, false) => format!("{goal}: **missed**"),
    };
    let (ours, baseline) = (number(*ours), number(*baseline));
    format!(
        "| `{id}`: {work} | {ours} {unit} | {baseline} {unit}, {baseline_name} | {ratio:.2} \
         | {spread} | {verdict} |\n"
    )
}

/// A figure without more digits than it means.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let line = Measured {
            id: "a/b".into(),
            work: "something".into(),
            unit: "events/s".into(),
            ours: 12_345.6,
            baseline: 1_000.0,
            baseline_name: "nothing".into(),
            ratio: 12.3,
            rounds: vec![11.0, 13.0],
            goal: "ratio at least 3".into(),
            holds: true,
        };
        Report {
            measured: vec![line],
            facts: [("cores".to_owned(), serde_json::json!(2))]
                .into_iter()
                .collect(),
            plots: Vec::new(),
        }
    }

    #[test]
    fn figures_take_the_place_of_the_earlier_ones() {
        let page = format!("# Speed\n{BEGIN}what was here\n{END}The end.\n");
        let once = with_figures(&page, &report()).expect("it has marks");
        assert!(
            once.starts_with("# Speed\n") && once.ends_with("The end.\n"),
            "{once}"
        );
        assert!(!once.contains("what was here"), "{once}");
        assert!(once.contains("12 346 events/s"), "{once}");
        assert!(once.contains("11.00 … 13.00"), "{once}");
        assert!(once.contains("- cores: 2"), "{once}");
        assert_eq!(with_figures(&once, &report()), Some(once));
    }

    #[test]
    fn a_page_without_a_place_is_left_alone() {
        assert_eq!(with_figures("# Speed\n", &report()), None);
    }
}
