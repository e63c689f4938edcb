//! The crates of the workspace, as cargo sees them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{paths, process};

/// A crate of this workspace.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Crates of this workspace it is built from (its tests may use more).
    pub(super) dependencies: Vec<String>,
    /// `lib.rs`, relative to the checkout.
    pub(super) library: Option<PathBuf>,
    /// The main files of its programs, relative to the checkout.
    pub(super) programs: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// Asks cargo.
pub(super) fn read() -> Result<Vec<Crate>> {
    let mut cargo = process::cargo();
    cargo.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]);
    parse(&process::output(&mut cargo)?)
}

fn parse(metadata: &str) -> Result<Vec<Crate>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo's metadata")?;
    let root = paths::checkout();
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap_or(path).to_owned();
    let of_kind = |package: &Package, wanted: &str| -> Vec<PathBuf> {
        let kinds = |target: &&Target| target.kind.iter().any(|kind| kind == wanted);
        package
            .targets
            .iter()
            .filter(kinds)
            .map(|target| relative(&target.src_path))
            .collect()
    };
    let crates = metadata.packages.iter().map(|package| Crate {
        name: package.name.clone(),
        dependencies: package
            .dependencies
            .iter()
            .filter(|on| on.path.is_some() && on.kind.as_deref() != Some("dev"))
            .map(|on| on.name.clone())
            .collect(),
        library: of_kind(package, "lib").into_iter().next(),
        programs: of_kind(package, "bin"),
    });
    Ok(crates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_built_in_counts() {
        let metadata = r#"{"packages": [{"name": "iam", "dependencies": [
            {"name": "policy", "kind": null, "path": "/x/policy"},
            {"name": "eventstore", "kind": "dev", "path": "/x/eventstore"},
            {"name": "serde", "kind": null, "path": null}
        ], "targets": [{"kind": ["lib"], "src_path": "/x/iam/src/lib.rs"}]}]}"#;
        let crates = parse(metadata).unwrap();
        assert_eq!(crates[0].dependencies, ["policy"]);
        assert_eq!(
            crates[0].library.as_deref(),
            Some("/x/iam/src/lib.rs".as_ref())
        );
        assert!(crates[0].programs.is_empty());
    }

    #[test]
    fn this_workspace_is_read() {
        let crates = read().unwrap();
        assert!(
            crates
                .iter()
                .any(|krate| krate.name == "xtask" && krate.programs.len() == 1)
        );
    }
}
