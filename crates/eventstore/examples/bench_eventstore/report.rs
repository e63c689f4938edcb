//! What comes out: compared lines, facts, and points for the plots.

use std::sync::OnceLock;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Everything that a run found.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) measured: Vec<Line>,
    /// The machine, the server, sizes.
    pub(crate) facts: Map<String, Value>,
    pub(crate) plots: Vec<Plot>,
}

/// One comparison.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) id: &'static str,
    pub(crate) work: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) baseline: f64,
    pub(crate) baseline_name: &'static str,
    /// Of the rounds' ratios `ours / baseline` the median.
    pub(crate) ratio: f64,
    /// The ratio of each round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) goal: String,
    pub(crate) holds: bool,
}

/// Curves to be drawn, both axes logarithmic.
#[derive(Serialize)]
pub(crate) struct Plot {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// A name and points.
pub(crate) type Curve = (&'static str, Vec<(f64, f64)>);

/// What a ratio must be.
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Ours in its own unit, whatever the baseline is.
    AtLeastOurs(f64),
    AtMostOurs(f64),
    None,
}

/// What a line is about.
pub(crate) struct Subject {
    pub(crate) id: &'static str,
    pub(crate) work: String,
    pub(crate) unit: &'static str,
    pub(crate) baseline_name: &'static str,
    pub(crate) goal: Goal,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            measured: Vec::new(),
            facts: Map::new(),
            plots: Vec::new(),
        }
    }

    /// Adds a line of rounds, each `(ours, baseline)`; the medians count.
    pub(crate) fn compare(&mut self, subject: Subject, rounds: &[(f64, f64)]) {
        let Subject {
            id,
            work,
            unit,
            baseline_name,
            goal,
        } = subject;
        let ours = median(rounds.iter().map(|round| round.0).collect());
        let baseline = median(rounds.iter().map(|round| round.1).collect());
        let ratios: Vec<f64> = rounds.iter().map(|(ours, raw)| ours / raw).collect();
        let ratio = median(ratios.clone());
        let (goal, holds) = match goal {
            Goal::AtLeast(least) => (format!("ratio at least {least}"), ratio >= least),
            Goal::AtMost(most) => (format!("ratio at most {most}"), ratio <= most),
            Goal::AtLeastOurs(least) => (format!("at least {least} {unit}"), ours >= least),
            Goal::AtMostOurs(most) => (format!("at most {most} {unit}"), ours <= most),
            Goal::None => (String::new(), true),
        };
        say(&format!(
            "{id}: {ours:.1} {unit}, {baseline_name} {baseline:.1}, ratio {ratio:.2} of {ratios:.2?}"
        ));
        self.measured.push(Line {
            id,
            work,
            unit,
            ours,
            baseline,
            baseline_name,
            ratio,
            rounds: ratios,
            goal,
            holds,
        });
    }
}

/// Tells how far it is, with the seconds since the start.
pub(crate) fn say(what: &str) {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    let seconds = STARTED.get_or_init(Instant::now).elapsed().as_secs();
    eprintln!("{seconds:>5} s  {what}");
}

pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this share of `values` lies; 0 if there are none.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    let last = values.len().saturating_sub(1);
    values.get(index.min(last)).copied().unwrap_or(0.0)
}
