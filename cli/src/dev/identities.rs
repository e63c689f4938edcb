//! Who may call central in development: bearers made at start and known to this process only.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::error::Error;

/// A Kubernetes service account, written `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccount {
    /// Where it lies.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
}

impl FromStr for ServiceAccount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err(Error::ServiceAccount(text.to_owned())),
        }
    }
}

impl std::fmt::Display for ServiceAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A secret that stands for a caller; two random UUIDs, 244 random bits.
#[must_use]
pub(super) fn new_bearer() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

/// Writes `content` to `folder/name`, readable by this user only.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_secret(folder: &Path, name: &str, content: &str) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    let failed = |source| Error::State {
        path: path.clone(),
        source,
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)?;
    Ok(path)
}

/// The master key of `folder`: the one that is there, else a new one.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn master_key_file(folder: &Path) -> Result<PathBuf, Error> {
    use base64::Engine as _;
    let path = folder.join("master.key");
    if path.exists() {
        return Ok(path);
    }
    let key: [u8; 32] = rand::random();
    write_secret(
        folder,
        "master.key",
        &base64::engine::general_purpose::STANDARD.encode(key),
    )
}

#[cfg(test)]
mod tests {
    use super::{ServiceAccount, master_key_file};

    #[test]
    fn a_service_account_is_a_namespace_and_a_name() {
        let account: ServiceAccount = "shop/checkout".parse().unwrap();

        assert_eq!(
            (account.namespace.as_str(), account.name.as_str()),
            ("shop", "checkout")
        );
        for wrong in ["checkout", "/checkout", "shop/", "a/b/c", ""] {
            assert!(
                wrong.parse::<ServiceAccount>().is_err(),
                "{wrong:?} was taken"
            );
        }
    }

    #[test]
    fn a_master_key_is_made_once_and_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();

        let first = std::fs::read(master_key_file(folder.path()).unwrap()).unwrap();
        let path = master_key_file(folder.path()).unwrap();

        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
