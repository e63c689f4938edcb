//! Benchmarks. Each is an example program that measures ours and a baseline in one run and prints a
//! JSON list of [`Result`](Measured)s; this runs them optimised, prints a table and keeps the JSON.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{paths, process};

/// A benchmark: its name, and the package and example that measure it.
struct Bench {
    name: &'static str,
    package: &'static str,
    example: &'static str,
}

const BENCHES: &[Bench] = &[Bench {
    name: "ring",
    package: "idgen",
    example: "bench_ring",
}];

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
    /// `ours / baseline`.
    ratio: f64,
    /// What the ratio must be, in words; empty where there is no goal.
    goal: String,
    holds: bool,
}

/// Runs the benches called `names`, all when there are none.
///
/// # Errors
/// When a name is unknown, a bench fails, or a goal does not hold.
pub(crate) fn run(names: &[String]) -> Result<()> {
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
    let wanted = |bench: &&Bench| names.is_empty() || names.iter().any(|name| name == bench.name);
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let mut missed = Vec::new();
    for bench in BENCHES.iter().filter(wanted) {
        let measured = measure(bench)?;
        let file = folder.join(format!("{}.json", bench.name));
        fs::write(&file, serde_json::to_vec_pretty(&measured)?)?;
        print(bench, &measured);
        println!("{}", file.display());
        missed.extend(
            measured
                .into_iter()
                .filter(|line| !line.holds)
                .map(|line| line.id),
        );
    }
    if !missed.is_empty() {
        bail!("goals that do not hold: {}", missed.join(", "));
    }
    Ok(())
}

fn measure(bench: &Bench) -> Result<Vec<Measured>> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--locked", "--release", "--package", bench.package]);
    let said = process::output(cargo.args(["--example", bench.example]))?;
    serde_json::from_str(&said).with_context(|| format!("{} printed no result", bench.example))
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
            "  {:<26} {:>12.1} {:<8} {:>12.1} {:<24} ratio {:>6.2}  {verdict}",
            line.id, line.ours, line.unit, line.baseline, line.baseline_name, line.ratio
        );
        println!("    {}", line.work);
    }
}
