//! A database that is a file is for one central. SQLite tells no other process what was written and makes
//! writers wait for one another, so a second central is a mistake of whoever started it, and is told so.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use sqlx::sqlite::SqliteConnectOptions;

use crate::error::StartError;

/// Keeps every other central from a file. The system lets it go with the process, however that ends.
#[derive(Debug)]
pub(crate) struct FileLock(#[expect(dead_code, reason = "held, not read")] Option<File>);

impl FileLock {
    /// Takes the file that a URL names; there is nothing to take of a server or of memory.
    pub(crate) fn take(url: &str) -> Result<Self, StartError> {
        let Some(database) = file_of(url) else {
            return Ok(Self(None));
        };
        // SQLite locks parts of the file itself, and loses its locks when another handle on it is closed.
        let beside = beside(&database);
        let locked = File::options()
            .create(true)
            .write(true)
            // Whatever else may be called so is left as it is.
            .truncate(false)
            // Who may open it could lock it for good.
            .mode(0o600)
            .open(&beside);
        match locked
            .map_err(TryLockError::Error)
            .and_then(|file| file.try_lock().map(|()| file))
        {
            Ok(file) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(StartError::DatabaseInUse { database }),
            Err(TryLockError::Error(error)) => {
                // Whoever cannot write there has no database there either, and will be told so; some
                // file systems of a network have no locks.
                tracing::warn!(
                    file = %beside.display(),
                    %error,
                    "the database cannot be locked: nobody keeps a second central from it"
                );
                Ok(Self(None))
            }
        }
    }
}

/// The file of a database, by whichever way it is named.
fn file_of(url: &str) -> Option<PathBuf> {
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    if !url.starts_with("sqlite:") || in_memory {
        return None;
    }
    // A URL that is not understood is refused where the store is opened.
    let options = SqliteConnectOptions::from_str(url).ok()?;
    let path = options.get_filename();
    if let Ok(found) = path.canonicalize() {
        return Some(found);
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some(folder.join(path.file_name()?))
}

fn beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database.as_os_str());
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::FileLock;

    #[test]
    fn a_file_is_for_one_at_a_time_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        let url = format!("sqlite://{}/signet.db", folder.path().display());
        let first = FileLock::take(&url).unwrap();

        for other in [
            url.clone(),
            format!("{url}?mode=rwc"),
            format!("sqlite:{}/signet.db", link.display()),
        ] {
            let refused = FileLock::take(&other).unwrap_err();
            assert_eq!(refused.code(), "SIGNET-CENTRAL-0112", "{other}");
        }

        drop(first);
        assert!(FileLock::take(&url).is_ok());
    }

    #[test]
    fn memory_and_servers_have_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let before = std::fs::read_dir(folder.path()).unwrap().count();
        for url in [
            "sqlite::memory:",
            "sqlite://shared?mode=memory",
            "postgres://postgres@127.0.0.1/signet",
        ] {
            let (one, two) = (FileLock::take(url), FileLock::take(url));
            assert!(one.is_ok() && two.is_ok(), "{url}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before);
    }
}
