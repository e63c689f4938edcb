//! Files made from the source: the resource definitions, their copy in the chart, the configuration
//! reference, the programs' default configuration. They are committed, so that readers and users need no tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{paths, process};

/// Where the resource definitions lie.
const DEFINITIONS: [&str; 2] = ["crds/yaml", "charts/signet/crds"];
const CONFIGURATION: &str = "docs/reference/configuration.md";
/// Where each program's default configuration lies, and the programs that have one.
const DEFAULTS: &str = "config/defaults";
const PROGRAMS: [&str; 3] = ["central", "operator", "sidecar"];

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
    made.insert(
        PathBuf::from(CONFIGURATION),
        reference(&["configuration"])?.into_bytes(),
    );
    for program in PROGRAMS {
        made.insert(
            Path::new(DEFAULTS).join(format!("{program}.env")),
            reference(&["environment", program])?.into_bytes(),
        );
    }
    Ok(made)
}

/// What `signet reference` says.
fn reference(of: &[&str]) -> Result<String> {
    let mut signet = Command::new(paths::built("signet"));
    process::output(signet.arg("reference").args(of))
}

/// What differs from the checkout: the content to write, or none for a file that nothing makes.
fn stale(made: &BTreeMap<PathBuf, Vec<u8>>) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    stale_in(&paths::checkout(), made)
}

fn stale_in(
    checkout: &Path,
    made: &BTreeMap<PathBuf, Vec<u8>>,
) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut stale: BTreeMap<PathBuf, Option<Vec<u8>>> = made
        .iter()
        .filter(|(path, content)| fs::read(checkout.join(path)).ok().as_ref() != Some(content))
        .map(|(path, content)| (path.clone(), Some(content.clone())))
        .collect();
    // In these folders nothing lies that is not made.
    for place in DEFINITIONS.into_iter().chain([DEFAULTS]) {
        let folder = checkout.join(place);
        if !folder.exists() {
            continue;
        }
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let path = PathBuf::from(place).join(entry?.file_name());
            if !made.contains_key(&path) {
                stale.insert(path, None);
            }
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_missing_and_left_over_files_are_stale() {
        let checkout = tempfile::tempdir().unwrap();
        let defaults = checkout.path().join(DEFAULTS);
        fs::create_dir_all(&defaults).unwrap();
        for (name, content) in [("fresh", "1"), ("changed", "1"), ("left-over", "1")] {
            fs::write(defaults.join(name), content).unwrap();
        }
        let path = |name: &str| Path::new(DEFAULTS).join(name);
        let made = [("fresh", "1"), ("changed", "2"), ("missing", "3")]
            .map(|(name, content)| (path(name), content.as_bytes().to_vec()));

        let stale = stale_in(checkout.path(), &made.into()).unwrap();

        let expected = [
            (path("changed"), Some(b"2".to_vec())),
            (path("left-over"), None),
            (path("missing"), Some(b"3".to_vec())),
        ];
        assert_eq!(stale, expected.into());
    }
}
