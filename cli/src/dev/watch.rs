//! Tells when the files of a folder changed.

use std::{path::Path, time::Duration};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::error::Error;

/// Editors write a file in several steps; a change is told once they have been quiet this long.
const QUIET: Duration = Duration::from_millis(200);

/// Watches one folder. Dropping it ends the watch.
pub(super) struct FolderWatch {
    changes: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

impl FolderWatch {
    /// Starts to watch `folder`, not the folders in it.
    ///
    /// # Errors
    /// The system offers no watch for it.
    pub(super) fn start(folder: &Path) -> Result<Self, Error> {
        let (sender, changes) = mpsc::channel(1);
        let failed = |error: notify::Error| Error::Program {
            program: "the watch of the resource files",
            reason: error.to_string(),
        };
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading a file is an event as well; answering it by reading would never end.
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    // A full channel already tells of a change.
                    let _ = sender.try_send(());
                }
            })
            .map_err(failed)?;
        watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .map_err(failed)?;
        Ok(Self {
            changes,
            _watcher: watcher,
        })
    }

    /// Waits for the next change, and for the quiet after it.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while tokio::time::timeout(QUIET, self.changes.recv())
            .await
            .is_ok()
        {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_file_that_comes_changes_or_goes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("role.yaml");
        let mut watch = FolderWatch::start(folder.path()).unwrap();
        let mut told = async |what: &str| {
            tokio::time::timeout(Duration::from_secs(20), watch.changed())
                .await
                .unwrap_or_else(|_| panic!("nobody was told that it {what}"));
        };

        fs::write(&file, "a").unwrap();
        told("came").await;
        fs::write(&file, "b").unwrap();
        told("changed").await;
        fs::rename(&file, folder.path().join("other.yaml")).unwrap();
        told("was renamed").await;
        fs::remove_file(folder.path().join("other.yaml")).unwrap();
        told("went").await;
    }
}
