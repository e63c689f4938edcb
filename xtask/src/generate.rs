//! Files made from the source: the resource definitions, their copy in the chart, the configuration
//! reference. They are committed, so that readers and users need no tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{paths, process};

/// Where the resource definitions lie.
const DEFINITIONS: [&str; 2] = ["crds/yaml", "charts/signet/crds"];
const CONFIGURATION: &str = "docs/reference/configuration.md";

/// Writes what is stale; with `check` only names it.
///
/// # Errors
/// With `check`: when anything is stale.
pub(crate) fn run(check: bool) -> Result<()> {
    build_programs()?;
    let stale = stale(&made()?)?;
    if check {
        if stale.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = stale
            .keys()
            .map(|path| path.display().to_string())
            .collect();
        bail!("stale: {}. Run `cargo xtask generate`", names.join(", "));
    }
    for (path, content) in &stale {
        let whole = paths::checkout().join(path);
        match content {
            Some(content) => {
                fs::create_dir_all(whole.parent().unwrap_or(&whole))?;
                fs::write(&whole, content)?;
                println!("wrote {}", path.display());
            }
            None => {
                fs::remove_file(&whole)?;
                println!("removed {}", path.display());
            }
        }
    }
    if stale.is_empty() {
        println!("everything is fresh");
    }
    Ok(())
}

/// Builds every program of the workspace, with the workspace's one set of features.
pub(crate) fn build_programs() -> Result<()> {
    process::run(process::cargo().args(["build", "--locked", "--workspace", "--bins"]))
}

/// What the files should hold, by path in the checkout.
fn made() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut made = BTreeMap::new();
    let folder = tempfile::tempdir()?;
    let mut definitions = Command::new(paths::built("signet-crds"));
    process::run(definitions.arg("--output").arg(folder.path()))?;
    for entry in fs::read_dir(folder.path())? {
        let entry = entry?;
        for place in DEFINITIONS {
            made.insert(
                PathBuf::from(place).join(entry.file_name()),
                fs::read(entry.path())?,
            );
        }
    }
    let mut reference = Command::new(paths::built("signet"));
    let text = process::output(reference.args(["reference", "configuration"]))?;
    made.insert(PathBuf::from(CONFIGURATION), text.into_bytes());
    Ok(made)
}

/// What differs from the checkout: the content to write, or none for a file that nothing makes.
fn stale(made: &BTreeMap<PathBuf, Vec<u8>>) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let checkout = paths::checkout();
    let mut stale: BTreeMap<PathBuf, Option<Vec<u8>>> = made
        .iter()
        .filter(|(path, content)| fs::read(checkout.join(path)).ok().as_ref() != Some(content))
        .map(|(path, content)| (path.clone(), Some(content.clone())))
        .collect();
    for place in DEFINITIONS {
        let Ok(entries) = fs::read_dir(checkout.join(place)) else {
            continue;
        };
        for entry in entries {
            let path = PathBuf::from(place).join(entry?.file_name());
            if !made.contains_key(&path) {
                stale.insert(path, None);
            }
        }
    }
    Ok(stale)
}
