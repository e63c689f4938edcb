//! Where things lie: the checkout, what cargo builds, and the cache outside both.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the checkout this program was built from.
pub(crate) fn checkout() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or(xtask.clone(), Path::to_path_buf)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// A program of this workspace, as a plain `cargo build --workspace` leaves it.
pub(crate) fn built(program: &str) -> PathBuf {
    target().join("debug").join(program)
}

/// What is slow to make is kept here, outside the checkout: `SIGNET_CACHE`, else `signet` in the
/// user's cache directory.
///
/// # Errors
/// When neither `SIGNET_CACHE` nor `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(cache) = env::var_os("SIGNET_CACHE") {
        return Ok(PathBuf::from(cache));
    }
    if let Some(cache) = env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache).join("signet"));
    }
    let home = env::var_os("HOME").context("set SIGNET_CACHE to a folder: HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/signet"))
}
