//! Who is calling: every caller but those of discovery, JWKS and health proves itself.

mod fixed;
mod gate;
mod kubernetes;
mod review;
mod tenant_access;
mod verdicts;

use async_trait::async_trait;
use serde::Deserialize;

pub use self::{fixed::StaticAuthenticator, kubernetes::KubernetesAuthenticator};
pub(crate) use self::{
    gate::Gate,
    tenant_access::{Deed, admit},
};

/// A caller that has proven itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Caller {
    /// The operator: it may provision, nothing else.
    Operator,
    /// A pod of some namespace, by its sidecar: it gets what its namespace's tenants allow.
    Workload(Workload),
    /// The holder of the bootstrap secret: it may look at everything.
    Administrator,
}

/// A pod and the ServiceAccount it runs as.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Namespace of the pod and its ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
    /// Name of the pod, when the proof names one.
    #[serde(default)]
    pub pod: Option<String>,
    /// UID of the pod, when the proof names one.
    #[serde(default)]
    pub pod_uid: Option<String>,
}

/// Why a bearer token proved nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The token does not hold. The text says why and never repeats the token.
    #[error("{0}")]
    Refused(String),
    /// Whether it holds could not be found out; the same token may be good.
    #[error("whether the token holds could not be found out: {0}")]
    Unavailable(String),
}

/// Tells who the bearer of a token is.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The caller whose token this is.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError::Refused`] when the token does not hold,
    /// [`AuthenticationError::Unavailable`] when that could not be found out.
    async fn authenticate(&self, bearer: &str) -> Result<Caller, AuthenticationError>;
}
