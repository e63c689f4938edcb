//! The cluster's containerd, from outside: does it answer, take this image.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::layout::Layout;
use crate::process;

/// Whether it answers.
pub(super) fn answers(layout: &Layout) -> bool {
    Path::new(&layout.containerd_socket()).exists()
        && process::output(ctr(layout).arg("version")).is_ok()
}

/// Imports a docker-archive; the kubelet sees it at once.
///
/// # Errors
/// When the archive is none or containerd does not take it.
pub(super) fn import(layout: &Layout, archive: &Path) -> Result<()> {
    let mut command = ctr(layout);
    command
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive);
    process::output(&mut command)
        .map(drop)
        .with_context(|| format!("{} cannot be imported", archive.display()))
}

fn ctr(layout: &Layout) -> Command {
    let mut command = process::command("ctr");
    command.args(["--address", &layout.containerd_socket()]);
    command
}
