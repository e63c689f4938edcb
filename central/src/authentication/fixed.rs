//! Callers known beforehand, for development and tests.

use std::{collections::HashMap, fs, path::Path, sync::RwLock};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::{AuthenticationError, Authenticator, Caller};
use crate::error::StartError;

type Fingerprint = [u8; 32];

/// A fixed map of bearer tokens to callers.
///
/// For development and tests: nothing is reviewed by Kubernetes.
#[derive(Debug, Default)]
pub struct StaticAuthenticator {
    callers: RwLock<HashMap<Fingerprint, Caller>>,
}

impl StaticAuthenticator {
    /// Knows these bearer tokens.
    pub fn new(callers: impl IntoIterator<Item = (String, Caller)>) -> Self {
        let callers = callers
            .into_iter()
            .map(|(bearer, caller)| (fingerprint(&bearer), caller))
            .collect();
        Self {
            callers: RwLock::new(callers),
        }
    }

    /// Reads the bearer tokens from a JSON file:
    /// `{"token": "operator", "other": {"workload": {"namespace": "shop", "serviceAccount": "checkout"}}}`.
    ///
    /// # Errors
    ///
    /// [`StartError::Configuration`] when the file cannot be read or is not of this shape.
    pub fn from_file(path: &Path) -> Result<Self, StartError> {
        let refuse = |message| StartError::Configuration {
            flag: "--static-callers",
            message,
        };
        let text = fs::read_to_string(path)
            .map_err(|error| refuse(format!("{} cannot be read: {error}", path.display())))?;
        let callers: HashMap<String, Caller> = serde_json::from_str(&text).map_err(|error| {
            refuse(format!(
                "{} is not a map of token to caller: {error}",
                path.display()
            ))
        })?;
        Ok(Self::new(callers))
    }

    /// Knows one more bearer token, or another caller for it.
    pub fn insert(&self, bearer: &str, caller: Caller) {
        if let Ok(mut callers) = self.callers.write() {
            callers.insert(fingerprint(bearer), caller);
        }
    }

    /// Knows a bearer token no more, as after the deletion of its pod.
    pub fn remove(&self, bearer: &str) {
        if let Ok(mut callers) = self.callers.write() {
            callers.remove(&fingerprint(bearer));
        }
    }
}

// Compared by hash, so that the time of a look-up tells nothing of the tokens that are known.
fn fingerprint(bearer: &str) -> Fingerprint {
    Sha256::digest(bearer.as_bytes()).into()
}

#[async_trait]
impl Authenticator for StaticAuthenticator {
    async fn authenticate(&self, bearer: &str) -> Result<Caller, AuthenticationError> {
        self.callers
            .read()
            .ok()
            .and_then(|callers| callers.get(&fingerprint(bearer)).cloned())
            .ok_or_else(|| AuthenticationError::Refused("no caller has this token".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Authenticator as _, StaticAuthenticator};
    use crate::authentication::{Caller, Workload};

    #[tokio::test]
    async fn a_file_names_callers_by_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            r#"{"a": "operator", "b": {"workload": {"namespace": "shop", "serviceAccount": "web"}}}"#,
        )
        .unwrap();

        let known = StaticAuthenticator::from_file(file.path()).unwrap();

        assert_eq!(known.authenticate("a").await, Ok(Caller::Operator));
        let web = Workload {
            namespace: "shop".into(),
            service_account: "web".into(),
            pod: None,
            pod_uid: None,
        };
        assert_eq!(known.authenticate("b").await, Ok(Caller::Workload(web)));
        assert!(known.authenticate("c").await.is_err());
    }

    #[test]
    fn an_unknown_kind_of_caller_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"a": "root"}"#).unwrap();

        let error = StaticAuthenticator::from_file(file.path()).unwrap_err();

        assert!(error.to_string().contains("--static-callers"), "{error}");
    }
}
