//! Where the programs of one process keep their state.

use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::error::Error;

/// The folder of one environment, its own as long as this lives.
pub(super) struct StateFolder {
    pub(super) path: PathBuf,
    _lock: File,
    /// Removed with everything in it when the environment goes.
    _temporary: Option<TempDir>,
}

impl StateFolder {
    /// `data`, readable by this user only, or a temporary folder.
    pub(super) fn open(data: Option<&Path>) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::State { path, source }
        };
        let (path, temporary) = match data {
            Some(folder) => {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(0o700);
                builder.create(folder).map_err(failed(folder))?;
                (folder.to_owned(), None)
            }
            None => {
                let made = tempfile::Builder::new().prefix("signet-").tempdir();
                let temporary = made.map_err(failed(&std::env::temp_dir()))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        lock.try_lock().map_err(|_| {
            let folder = path.display();
            Error::Usage(format!(
                "another signet uses {folder}; end it, or give another folder with --data"
            ))
        })?;
        Ok(Self {
            path,
            _lock: lock,
            _temporary: temporary,
        })
    }
}
