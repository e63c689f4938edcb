//! The chart, by a real helm: it lints, renders what it promises, and refuses what cannot work.

mod refusals;
mod rendered;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::{Options, Verdict};
use crate::components::{self, Built};
use crate::progress::Steps;
use crate::{paths, process};

/// The chart demands a database; nothing connects to this one.
const DATABASE: &str = "database.url=postgres://signet:signet@database.example:5432/signet";

/// Not the namespace that the documents name: what is rendered must follow the release.
const NAMESPACE: &str = "platform";

pub(super) fn run(options: &Options) -> Result<Verdict> {
    let built = match components::cached(&components::HELM) {
        Some(built) => built,
        None if options.quick => {
            return Ok(Verdict::Skipped("helm is not built yet".to_owned()));
        }
        None => components::get(&components::HELM, &Steps::new())?,
    };
    let home = tempfile::tempdir()?;
    let helm = Helm {
        built: &built,
        home: home.path(),
    };
    let chart = paths::checkout().join("charts/signet");
    let high_availability = chart.join("values-ha.yaml");
    for values in [None, Some(high_availability.as_path())] {
        verify(&helm, &chart, values)?;
    }
    refusals::verify(&helm, &chart)?;
    Ok(Verdict::Passed)
}

fn verify(helm: &Helm<'_>, chart: &Path, values: Option<&Path>) -> Result<()> {
    let mut arguments = vec!["--set-string".into(), DATABASE.into()];
    if let Some(values) = values {
        arguments.extend(["--values".into(), values.as_os_str().to_owned()]);
    }
    let named = values.map_or("its own values".into(), |path| path.display().to_string());
    let mut lint = helm.command(&["lint", "--strict"]);
    process::run(lint.args(&arguments).arg(chart)).with_context(|| format!("with {named}"))?;
    let mut template = helm.template(chart);
    let text = process::output(template.arg("--include-crds").args(&arguments))
        .with_context(|| format!("rendered with {named}"))?;
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("rendered with {named}"))?;
    let defects = rendered::defects(&objects, NAMESPACE);
    if !defects.is_empty() {
        bail!("rendered with {named}:\n  {}", defects.join("\n  "));
    }
    println!(
        "rendered with {named}: {} objects, as promised",
        objects.len()
    );
    Ok(())
}

/// The real one, with folders of its own.
struct Helm<'a> {
    built: &'a Built,
    home: &'a Path,
}

impl Helm<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut helm = Command::new(self.built.program());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(variable, self.home);
        }
        helm.args(words);
        helm
    }

    fn template(&self, chart: &Path) -> Command {
        let mut template = self.command(&["template", "signet", "--namespace", NAMESPACE]);
        template.arg(chart);
        template
    }
}
