//! Taking the cluster away, whole or half made: processes, mounts, links, rules, cgroups, settings,
//! folders. Each step works from what it finds, so that it can be repeated after a crash.

use anyhow::Result;

use super::host::{self, Before};
use super::layout::Layout;
use super::{cgroup, host::remove_folder};
use crate::progress::Steps;

/// Whether there is anything to take away.
pub(super) fn needed(layout: &Layout) -> bool {
    layout.exists() || cgroup::exist()
}

/// Takes everything away.
///
/// # Errors
/// When a process does not end or something stays mounted; the state is then still there, and the
/// next call goes on.
pub(super) fn down(layout: &Layout, steps: &Steps) -> Result<()> {
    steps.run("processes ended", cgroup::kill_all)?;
    steps.run("mounts gone", || host::unmount_below(layout.root()))?;
    steps.run("links and rules gone", host::undo_network)?;
    steps.run("cgroups gone", cgroup::remove)?;
    steps.run("settings and folders as before", || {
        if let Some(before) = Before::load(layout) {
            before.restore()?;
        }
        if layout.exists() {
            remove_folder(layout.root())
        } else {
            Ok(())
        }
    })
}
