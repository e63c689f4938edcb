//! The end-to-end tests: images, a cluster, a database beside it, the tests, and all of it away
//! again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::{Options, Verdict};
use crate::cluster::{self, Layout};
use crate::images::{self, Listing};
use crate::progress::Steps;
use crate::{components, paths, process};

/// The database's address when the cluster is not ours.
const DATABASE_URL: &str = "SIGNET_E2E_DATABASE_URL";

pub(super) fn run(options: &Options) -> Result<Verdict> {
    if options.quick {
        return Ok(Verdict::Skipped("needs a cluster".to_owned()));
    }
    let logs = paths::target().join("e2e-logs");
    if logs.exists() {
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(&logs)?;
    let steps = Steps::new();
    let images = images::build(&steps)?;
    match &options.kubeconfig {
        Some(kubeconfig) => on_given(options, kubeconfig, &images, &logs, &steps)?,
        None => on_ours(options, &images, &logs, &steps)?,
    }
    Ok(Verdict::Passed)
}

fn on_given(
    options: &Options,
    kubeconfig: &Path,
    images: &Listing,
    logs: &Path,
    steps: &Steps,
) -> Result<()> {
    let database = env::var(DATABASE_URL).with_context(|| {
        format!("with --kubeconfig, {DATABASE_URL} names an empty PostgreSQL its pods reach")
    })?;
    let kubeconfig = fs::canonicalize(kubeconfig)
        .with_context(|| format!("{} cannot be read", kubeconfig.display()))?;
    if let Some(command) = &options.load_with {
        steps.run("images given to the cluster", || {
            load_with(command, &images.archives())
        })?;
    }
    test(&kubeconfig, &database, images, logs)
}

fn load_with(command: &str, archives: &[PathBuf]) -> Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().context("--load-with names a command")?;
    let arguments: Vec<&str> = words.collect();
    archives
        .iter()
        .try_for_each(|archive| process::run(Command::new(program).args(&arguments).arg(archive)))
}

fn on_ours(options: &Options, images: &Listing, logs: &Path, steps: &Steps) -> Result<()> {
    let layout = Layout::find()?;
    let _reserved = cluster::reserve()?;
    if !options.keep {
        // What an earlier run left would tell of that run.
        cluster::down(&layout)?;
    }
    let outcome = start_and_test(&layout, images, logs, steps);
    if outcome.is_err() {
        keep_logs(&layout, logs);
    }
    if options.keep {
        println!("the cluster is left running: eval \"$(cargo xtask cluster env)\"");
        return outcome;
    }
    // A cluster that cannot be taken away is a failure, too, but the lesser one.
    let gone = cluster::down(&layout);
    outcome.and(gone)
}

fn start_and_test(layout: &Layout, images: &Listing, logs: &Path, steps: &Steps) -> Result<()> {
    cluster::up(layout)?;
    steps.run("images imported", || {
        cluster::load(layout, &images.archives())
    })?;
    let database = cluster::new_database(layout, steps)?;
    test(&layout.admin_kubeconfig(), &database, images, logs)
}

/// Runs the tests, built with the whole workspace's features.
fn test(kubeconfig: &Path, database: &str, images: &Listing, logs: &Path) -> Result<()> {
    let helm = components::get(&components::HELM, &Steps::new())?;
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--workspace", "--test", "e2e"]);
    cargo.env("SIGNET_TEST_REQUIRE", "cluster");
    cargo.env("SIGNET_E2E_KUBECONFIG", kubeconfig);
    cargo.env("SIGNET_E2E_IMAGES", &images.file);
    cargo.env(DATABASE_URL, database);
    cargo.env("SIGNET_E2E_HELM", helm.program());
    cargo.env("SIGNET_E2E_CHART", paths::checkout().join("charts/signet"));
    cargo.env("SIGNET_E2E_LOGS", logs);
    process::run(&mut cargo)
}

/// Saves the components' and containers' logs before they go.
fn keep_logs(layout: &Layout, logs: &Path) {
    for (from, name) in [(layout.logs(), "components"), (layout.pod_logs(), "pods")] {
        if !from.exists() {
            continue;
        }
        let mut copy = process::command("cp");
        copy.args(["--recursive", "--dereference"])
            .arg(from)
            .arg(logs.join(name));
        if let Err(error) = process::output(&mut copy) {
            println!("some logs could not be kept: {error:#}");
        }
    }
    println!("logs are in {}", logs.display());
}
