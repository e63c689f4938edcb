//! The chart, by a real helm.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::{Options, Verdict};
use crate::{cluster, components, paths, process};

/// The chart demands a database; nothing connects to this one.
const DATABASE: &str = "database.url=postgres://signet:signet@database.example:5432/signet";

pub(super) fn run(_: &Options) -> Result<Verdict> {
    let chart = paths::checkout().join("charts/signet");
    let home = tempfile::tempdir()?;
    let high_availability = chart.join("values-ha.yaml");
    for values in [None, Some(high_availability.as_path())] {
        let named = values.map_or("its own values".into(), |path| path.display().to_string());
        process::run(helm(home.path(), &["lint", "--strict"], values)?.arg(&chart))?;
        let mut template = helm(
            home.path(),
            &["template", "signet", "--namespace=signet-system"],
            values,
        )?;
        let rendered = process::output(template.arg("--include-crds").arg(&chart))
            .with_context(|| format!("rendered with {named}"))?;
        let objects = rendered
            .lines()
            .filter(|line| line.starts_with("kind: "))
            .count();
        println!("rendered with {named}: {objects} objects");
    }
    Ok(Verdict::Passed)
}

fn helm(home: &Path, command: &[&str], values: Option<&Path>) -> Result<Command> {
    let mut helm = cluster::client(&components::HELM)?;
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, home);
    }
    helm.args(command).args(["--set-string", DATABASE]);
    if let Some(values) = values {
        helm.arg("--values").arg(values);
    }
    Ok(helm)
}
