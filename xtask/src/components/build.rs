//! One component: its key, and the build when nothing lies under that key.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{Component, source};
use crate::archive::{self, Contents, Tag};
use crate::process;
use crate::progress::Steps;

/// Part of the key: raise it when what a cached folder holds changes shape.
const SHAPE: &str = "1";

/// The folder that holds the component once it is built.
pub(super) fn place(component: &Component) -> Result<PathBuf> {
    Ok(super::shelf()?.join(format!("{}-{}", component.name, key(component)?)))
}

pub(super) fn get(component: &Component, steps: &Steps) -> Result<PathBuf> {
    let folder = place(component)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let shelf = super::shelf()?;
    fs::create_dir_all(&shelf)
        .with_context(|| format!("the cache {} cannot be made", shelf.display()))?;
    // Two builds at once would only take each other's processors.
    let lock = File::create(shelf.join("lock"))?;
    lock.lock()?;
    if !folder.is_dir() {
        steps.run(
            &format!("built {} (kept for next time)", component.name),
            || build(component, &shelf, &folder),
        )?;
    }
    Ok(folder)
}

fn build(component: &Component, shelf: &Path, folder: &Path) -> Result<()> {
    let draft = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(shelf)?;
    let program = draft.path().join(component.name);
    let mut command = go(component)?;
    command.args([
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-ldflags",
    ]);
    command
        .arg(link_flags(component))
        .arg("-o")
        .arg(&program)
        .arg(component.package);
    process::output(&mut command)?;
    for alias in component.aliases {
        symlink(component.name, draft.path().join(alias))?;
    }
    if let Some((repository, tag)) = component.image {
        let inside = format!("/{}", component.name);
        let contents = Contents {
            files: vec![(inside.clone(), program)],
            user: Some("65532:65532".to_owned()),
            entrypoint: vec![inside],
        };
        let out = draft.path().join("image.tar");
        archive::pack(repository, &Tag::Fixed(tag.to_owned()), &contents, &out)?;
    }
    fs::set_permissions(
        draft.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    fs::rename(draft.keep(), folder)?;
    Ok(())
}

/// The hash of everything that decides what the build gives.
fn key(component: &Component) -> Result<String> {
    let version = process::output(go(component)?.args(["env", "GOVERSION", "GOOS", "GOARCH"]))?;
    let mut hasher = Sha256::new();
    for text in [SHAPE, &version, component.package, &link_flags(component)] {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    for file in ["go.mod", "go.sum", "main.go"] {
        // No go.sum without dependencies, no main.go where the package is another module's.
        if let Ok(content) = fs::read(source(component).join(file)) {
            hasher.update(file.as_bytes());
            hasher.update(content);
        }
        hasher.update([0]);
    }
    Ok(archive::hex(&hasher.finalize())[..16].to_owned())
}

fn link_flags(component: &Component) -> String {
    let stamps = component
        .stamps
        .iter()
        .map(|(name, value)| format!(" -X {name}={value}"));
    format!("-s -w{}", stamps.collect::<String>())
}

fn go(component: &Component) -> Result<Command> {
    let Some(go) = process::find("go").or_else(|| process::find("/usr/local/go/bin/go")) else {
        bail!("the cluster's components are built with Go 1.26 or newer: see https://go.dev/dl");
    };
    let mut command = Command::new(go);
    command.current_dir(source(component));
    command.envs([("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")]);
    Ok(command)
}
