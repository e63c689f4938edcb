//! How the operator proves itself to central.

use std::fmt;
use std::path::PathBuf;

use tonic::metadata::AsciiMetadataValue;

use super::ProvisionError;

/// The bearer token of the caller.
#[derive(Clone)]
pub enum Credentials {
    /// A token that does not change, for `signet dev`.
    Static(String),
    /// A projected ServiceAccount token. The kubelet renews it, so it is read for every call.
    File(PathBuf),
}

impl Credentials {
    /// The `authorization` metadata of one call.
    pub(super) async fn authorization(&self) -> Result<AsciiMetadataValue, ProvisionError> {
        let token = match self {
            Self::Static(token) => token.clone(),
            Self::File(path) => tokio::fs::read_to_string(path).await.map_err(|source| {
                ProvisionError::Credentials {
                    message: format!("cannot read {}: {source}", path.display()),
                }
            })?,
        };
        let token = token.trim();
        if token.is_empty() {
            return Err(ProvisionError::Credentials {
                message: format!("{self:?} is empty"),
            });
        }
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(|_| {
            ProvisionError::Credentials {
                message: format!("{self:?} holds characters that no token has"),
            }
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(_) => formatter.write_str("a fixed token"),
            Self::File(path) => write!(formatter, "the token in {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_renewed_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let credentials = Credentials::File(path.clone());
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            let value = credentials.authorization().await.unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Bearer {token}"));
            assert!(value.is_sensitive());
        }
    }

    #[tokio::test]
    async fn a_missing_or_empty_token_is_an_error_that_names_the_place_and_no_token() {
        let missing = Credentials::File("/nowhere/token".into());
        let error = missing.authorization().await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
        let odd = Credentials::Static("se\u{7f}cret".into());
        let error = odd.authorization().await.unwrap_err();
        assert!(!error.to_string().contains("cret\""), "{error}");
        assert!(!format!("{odd:?}").contains("cret"));
    }
}
