//! Lines that say what is being done and how long it took. On a terminal the step under way turns;
//! in a log each step is one line, written when it ends.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Steps of one chore, with the seconds since it began. Written to standard error, so that what a
/// command prints can be piped.
pub(crate) struct Steps {
    started: Instant,
    terminal: bool,
}

impl Steps {
    /// Starts the clock.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Does `work` as the step called `what`; a failure carries the step's name.
    pub(crate) fn run<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let spinner = self.spinner(what);
        let outcome = work();
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        match outcome {
            Ok(value) => {
                self.say(what);
                Ok(value)
            }
            Err(error) => {
                self.say(&format!("{what}: FAILED"));
                Err(error).with_context(|| what.to_owned())
            }
        }
    }

    /// A line of its own.
    pub(crate) fn say(&self, what: &str) {
        // Nobody reading any more is no reason to stop half way.
        let _ = writeln!(
            std::io::stderr(),
            "{:>8}  {what}",
            seconds(self.started.elapsed())
        );
    }

    fn spinner(&self, what: &str) -> Option<ProgressBar> {
        if !self.terminal {
            return None;
        }
        let style = ProgressStyle::with_template("{elapsed:>8}  {spinner} {msg}").ok()?;
        let spinner = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(120));
        Some(spinner)
    }
}

/// `1.25s`, `12.3s`, `3m 20s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..10 => format!("{:.2}s", elapsed.as_secs_f64()),
        10..100 => format!("{:.1}s", elapsed.as_secs_f64()),
        whole => format!("{}m {:02}s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_stay_short() {
        assert_eq!(seconds(Duration::from_millis(1_254)), "1.25s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3s");
        assert_eq!(seconds(Duration::from_secs(605)), "10m 05s");
    }
}
