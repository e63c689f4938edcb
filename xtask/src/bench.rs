//! Benchmarks. Each is an example program that measures ours and a baseline in one run and prints
//! what it found as JSON; this runs them optimised, prints a table and keeps the JSON. With
//! `--document` the figures and plots go into docs/, too.

mod document;
mod plot;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::postgres::Server;
use crate::{paths, process};

/// A benchmark: its name, and the package and example that measure it.
struct Bench {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    /// Whether it is given a PostgreSQL server of its own, and the settings in [`Wanted`].
    has_database: bool,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "ring",
        package: "idgen",
        example: "bench_ring",
        has_database: false,
    },
    Bench {
        name: "eventstore",
        package: "eventstore",
        example: "bench_eventstore",
        has_database: true,
    },
];

/// Where a benchmark with a database finds it.
const DATABASE_VARIABLE: &str = "SIGNET_BENCH_POSTGRES_URL";

/// What is to be run, and how.
pub(crate) struct Wanted {
    /// All when there are none.
    pub(crate) names: Vec<String>,
    pub(crate) document: bool,
    pub(crate) full: bool,
    pub(crate) only: Vec<String>,
}

/// What a benchmark found.
#[derive(Serialize, Deserialize)]
struct Report {
    measured: Vec<Measured>,
    /// The machine, the database, sizes.
    #[serde(default)]
    facts: Map<String, Value>,
    #[serde(default)]
    plots: Vec<plot::Plot>,
}

/// What a benchmark prints: a report, or only its lines.
#[derive(Deserialize)]
#[serde(untagged)]
enum Printed {
    Lines(Vec<Measured>),
    Report(Report),
}

/// One line of a benchmark's result.
#[derive(Serialize, Deserialize)]
struct Measured {
    id: String,
    /// What was done.
    work: String,
    unit: String,
    ours: f64,
    baseline: f64,
    baseline_name: String,
    /// `ours / baseline`; where there were several rounds, the median of their ratios.
    ratio: f64,
    /// The ratio of each round.
    #[serde(default)]
    rounds: Vec<f64>,
    /// What the ratio must be, in words; empty where there is no goal.
    goal: String,
    holds: bool,
}

/// Runs benchmarks.
///
/// # Errors
/// When a name is unknown, a bench fails, or a goal does not hold.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    let names = &wanted.names;
    if let Some(unknown) = names
        .iter()
        .find(|name| BENCHES.iter().all(|b| b.name != **name))
    {
        let known: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        bail!(
            "no bench is called {unknown}; there are: {}",
            known.join(", ")
        );
    }
    let is_wanted =
        |bench: &&Bench| names.is_empty() || names.iter().any(|name| name == bench.name);
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let mut missed = Vec::new();
    for bench in BENCHES.iter().filter(is_wanted) {
        let report = measure(bench, wanted)?;
        let file = folder.join(format!("{}.json", bench.name));
        fs::write(&file, serde_json::to_vec_pretty(&report)?)?;
        print(bench, &report.measured);
        println!("{}", file.display());
        if wanted.document {
            document::write(bench.name, &report)?;
        }
        let lines = report.measured.into_iter().filter(|line| !line.holds);
        missed.extend(lines.map(|line| line.id));
    }
    if !missed.is_empty() {
        bail!("goals that do not hold: {}", missed.join(", "));
    }
    Ok(())
}

fn measure(bench: &Bench, wanted: &Wanted) -> Result<Report> {
    let mut command = process::cargo();
    command.args(["run", "--locked", "--release", "--package", bench.package]);
    command.args(["--example", bench.example]);
    // It ends with the benchmark.
    let _server = if bench.has_database {
        let server = Server::start_durable()?;
        command.env(DATABASE_VARIABLE, server.url()).arg("--");
        if wanted.full {
            command.arg("--full");
        }
        for part in &wanted.only {
            command.args(["--only", part]);
        }
        Some(server)
    } else {
        None
    };
    let said = said(&mut command)?;
    let printed = serde_json::from_str(&said);
    Ok(
        match printed.with_context(|| format!("{} printed no result", bench.example))? {
            Printed::Report(report) => report,
            Printed::Lines(measured) => Report {
                measured,
                facts: Map::new(),
                plots: Vec::new(),
            },
        },
    )
}

/// The standard output of a command whose progress the user sees.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{}` cannot be started", process::line(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", process::line(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn print(bench: &Bench, measured: &[Measured]) {
    println!("\n{}", bench.name);
    for line in measured {
        let verdict = match (line.goal.as_str(), line.holds) {
            ("", _) => String::new(),
            (goal, true) => format!("goal {goal}: holds"),
            (goal, false) => format!("goal {goal}: MISSED"),
        };
        println!(
            "  {:<32} {:>12.1} {:<8} {:>12.1} {:<24} ratio {:>6.2}  {verdict}",
            line.id, line.ours, line.unit, line.baseline, line.baseline_name, line.ratio
        );
        println!("    {}", line.work);
    }
}
