//! cargo-deny, as `deny.toml` says. Advisories need a database from the network and are not asked.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::super::{Options, Verdict};
use crate::{paths, process};

const VERSION: &str = "0.20.2";

pub(super) fn run(options: &Options) -> Result<Verdict> {
    let program = match find()? {
        Some(program) => program,
        None if options.quick => {
            return Ok(Verdict::Skipped("cargo-deny is not installed".to_owned()));
        }
        None => install()?,
    };
    // The graph has crates of every platform; a build has brought those of this one only.
    let mut fetch = process::cargo();
    process::run(
        fetch
            .current_dir(paths::checkout())
            .args(["fetch", "--locked"]),
    )?;
    let mut deny = Command::new(program);
    deny.current_dir(paths::checkout())
        .args(["--offline", "--locked", "--workspace", "check"]);
    process::run(deny.args(["licenses", "bans", "sources"]))?;
    Ok(Verdict::Passed)
}

/// Where our own copy lies, by version.
fn folder() -> Result<PathBuf> {
    Ok(paths::cache()?
        .join("tools")
        .join(format!("cargo-deny-{VERSION}")))
}

/// Our own copy, else one on the PATH.
fn find() -> Result<Option<PathBuf>> {
    let ours = folder()?.join("bin/cargo-deny");
    Ok(Some(ours)
        .filter(|path| path.is_file())
        .or_else(|| process::find("cargo-deny")))
}

fn install() -> Result<PathBuf> {
    println!("installing cargo-deny {VERSION}; this takes minutes, once");
    let folder = folder()?;
    let mut cargo = process::cargo();
    // Not in the checkout: its settings and lock file are not cargo-deny's.
    cargo
        .current_dir("/")
        .args(["install", "--locked", "--version", VERSION]);
    cargo.arg("cargo-deny").arg("--root").arg(&folder);
    // Built without optimisation it is there in half the time; it runs for a second.
    process::run(cargo.arg("--debug"))?;
    Ok(folder.join("bin/cargo-deny"))
}
