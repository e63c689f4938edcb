//! What came of the stages.

use std::fmt::Write;
use std::time::Duration;

use crate::progress::seconds;

/// How a stage ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// Why it was not run.
    Skipped(String),
}

impl Outcome {
    pub(super) fn word(&self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::Failed => "FAILED".to_owned(),
            Self::Skipped(why) => format!("skipped ({why})"),
        }
    }
}

/// The stages that ended so far.
#[derive(Default)]
pub(super) struct Report {
    stages: Vec<(&'static str, Outcome, Duration)>,
}

impl Report {
    pub(super) fn add(&mut self, stage: &'static str, outcome: Outcome, took: Duration) {
        self.stages.push((stage, outcome, took));
    }

    /// The first of `needs` that was to run and did not pass.
    pub(super) fn failed_among(&self, needs: &[&'static str]) -> Option<&'static str> {
        let failed = |name: &&'static str| {
            self.stages
                .iter()
                .any(|(stage, outcome, _)| stage == name && matches!(outcome, Outcome::Failed))
        };
        needs.iter().copied().find(failed)
    }

    pub(super) fn failed(&self) -> usize {
        self.count(&Outcome::Failed)
    }

    fn count(&self, wanted: &Outcome) -> usize {
        self.stages
            .iter()
            .filter(|(_, outcome, _)| outcome == wanted)
            .count()
    }

    /// A line for each stage, the whole time, and last the counts alone.
    pub(super) fn table(&self, whole: Duration) -> String {
        let mut table = String::from("\n");
        for (name, outcome, took) in &self.stages {
            // Writing to a String does not fail.
            let _ = writeln!(table, "{name:<8} {:>8}  {}", seconds(*took), outcome.word());
        }
        let (passed, failed) = (self.count(&Outcome::Passed), self.failed());
        let _ = writeln!(
            table,
            "{:<8} {:>8}\n\n{passed} passed, {failed} failed",
            "all",
            seconds(whole)
        );
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add("build", Outcome::Failed, Duration::from_secs(3));
        report.add("lint", Outcome::Passed, Duration::from_secs(4));
        report.add(
            "demo",
            Outcome::Skipped("build failed".to_owned()),
            Duration::ZERO,
        );
        report
    }

    #[test]
    fn the_last_line_counts_and_stands_alone() {
        let table = report().table(Duration::from_secs(7));
        assert_eq!(table.lines().last(), Some("1 passed, 1 failed"));
        assert!(
            table.contains("demo        0.00s  skipped (build failed)"),
            "{table}"
        );
    }

    #[test]
    fn only_a_failure_stops_the_dependants() {
        assert_eq!(report().failed_among(&["lint", "build"]), Some("build"));
        assert_eq!(report().failed_among(&["lint", "demo", "absent"]), None);
    }
}
