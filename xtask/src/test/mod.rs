//! The stages of `cargo xtask test`: a table, run in its order. A stage whose needs failed is not
//! run; everything else is, and the end says what came of it.

mod report;
mod stages;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::progress::seconds;
use report::{Outcome, Report};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
#[command(after_help = stages::listing())]
pub(crate) struct Options {
    /// Stages to run; all when none is named
    pub(crate) stages: Vec<String>,
    /// Leave out what needs a server, a cluster, or a tool that is not there
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run the end-to-end tests on this cluster, which holds the images already (or see
    /// --load-with), instead of starting one; SIGNET_E2E_DATABASE_URL names an empty database that
    /// its pods reach
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Command that gives one image archive to that cluster: "kind load image-archive"
    #[arg(long, value_name = "COMMAND", requires = "kubeconfig")]
    pub(crate) load_with: Option<String>,
    /// Leave the cluster running afterwards; one that runs already is used as it is
    #[arg(long)]
    pub(crate) keep: bool,
}

/// One stage.
struct Stage {
    name: &'static str,
    /// What its passing shows.
    shows: &'static str,
    /// Stages without which it cannot pass.
    needs: &'static [&'static str],
    run: fn(&Options) -> Result<Verdict>,
}

/// How a stage ended that did not fail.
enum Verdict {
    Passed,
    /// Why it was not run.
    Skipped(String),
}

/// Runs the stages; true when none failed.
///
/// # Errors
/// When a stage is unknown.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let chosen = choose(&options.stages)?;
    let started = Instant::now();
    let mut report = Report::default();
    for stage in chosen {
        println!("\n== {}: {}", stage.name, stage.shows);
        let begun = Instant::now();
        let outcome = match report.failed_among(stage.needs) {
            Some(needed) => Outcome::Skipped(format!("{needed} failed")),
            None => match (stage.run)(options) {
                Ok(Verdict::Passed) => Outcome::Passed,
                Ok(Verdict::Skipped(why)) => Outcome::Skipped(why),
                Err(error) => {
                    println!("{} failed: {error:#}", stage.name);
                    Outcome::Failed
                }
            },
        };
        println!(
            "== {}: {} after {}",
            stage.name,
            outcome.word(),
            seconds(begun.elapsed())
        );
        report.add(stage.name, outcome, begun.elapsed());
    }
    print!("{}", report.table(started.elapsed()));
    Ok(report.failed() == 0)
}

fn choose(names: &[String]) -> Result<Vec<&'static Stage>> {
    let known = |name: &&String| stages::STAGES.iter().all(|stage| stage.name != **name);
    if let Some(unknown) = names.iter().find(known) {
        let all: Vec<&str> = stages::STAGES.iter().map(|stage| stage.name).collect();
        bail!(
            "no stage is called {unknown}; there are: {}",
            all.join(", ")
        );
    }
    let wanted = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    Ok(stages::STAGES.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_run_in_the_tables_order_whatever_the_callers() {
        let names = ["unit".to_owned(), "format".to_owned()];
        let chosen: Vec<&str> = choose(&names)
            .unwrap()
            .iter()
            .map(|stage| stage.name)
            .collect();
        assert_eq!(chosen, ["format", "unit"]);
        assert_eq!(choose(&[]).unwrap().len(), stages::STAGES.len());
        assert!(choose(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn needs_stand_before_those_who_need_them() {
        for (place, stage) in stages::STAGES.iter().enumerate() {
            for need in stage.needs {
                let needed = stages::STAGES.iter().position(|other| other.name == *need);
                assert!(
                    needed.is_some_and(|needed| needed < place),
                    "{} needs {need}",
                    stage.name
                );
            }
        }
    }
}
