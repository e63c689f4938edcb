//! What is to be measured, and how much of it.

use std::env;

use crate::report::Outcome;

/// Parts of the benchmark, as `--only` names them.
const PARTS: [&str; 8] = [
    "append",
    "batches",
    "sqlite",
    "wake",
    "replay",
    "projection",
    "aggregate",
    "size",
];

pub(crate) struct Settings {
    /// Events of the small and of the large store between which reads may not grow.
    pub(crate) small: u64,
    pub(crate) large: u64,
    /// Whether to measure the curves of the plots, too.
    pub(crate) plots: bool,
    only: Vec<String>,
}

impl Settings {
    /// Reads the command line: `--full` for stores of 1 and 10 million events, `--only PART`.
    pub(crate) fn from_arguments() -> Outcome<Self> {
        let mut settings = Self {
            small: 100_000,
            large: 1_000_000,
            plots: true,
            only: Vec::new(),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--full" => (settings.small, settings.large) = (1_000_000, 10_000_000),
                "--only" => {
                    let part = arguments.next().unwrap_or_default();
                    if !PARTS.contains(&part.as_str()) {
                        let known = PARTS.join(", ");
                        return Err(format!("--only takes one of: {known}").into());
                    }
                    settings.only.push(part);
                }
                other => {
                    return Err(format!("{other}: only --full and --only PART are known").into());
                }
            }
        }
        Ok(settings)
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
