//! The certificates of the webhook and of central: made by the operator, kept in Secrets, renewed
//! ahead of their end.
//!
//! `issue` makes them, `inspect` reads them, `plan` decides what is due (pure, time handed in),
//! `secrets` keeps them in the cluster, `ca_bundle` tells the API server whom to trust, `upkeep`
//! does all of it at start and ever after.

mod ca_bundle;
mod inspect;
mod issue;
mod plan;
mod secrets;
#[cfg(test)]
mod tests;
mod upkeep;

pub use inspect::{Inspected, inspect};
pub use issue::{AUTHORITY_LIFETIME, LEAF_LIFETIME, authority, leaf, renewed_authority};
pub use plan::{Cause, Horizon, Plan, plan_authority, plan_leaf};
pub use upkeep::{Certificates, Trust};

/// A certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It could not be made.
    #[error("SIGNET-OPERATOR-0040: a certificate could not be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// It could not be read.
    #[error(
        "SIGNET-OPERATOR-0041: a certificate could not be read ({0}); delete its Secret and the \
         operator makes another"
    )]
    Unreadable(String),
    /// The API server did not give or take a Secret or the webhook's configuration.
    #[error("SIGNET-OPERATOR-0042: {what}: {source}")]
    Kubernetes {
        /// What was tried.
        what: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// Others kept writing the Secret.
    #[error("SIGNET-OPERATOR-0043: the Secret {0} was changed by others again and again")]
    Contended(String),
}

impl CertificateError {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Issue(_) => "SIGNET-OPERATOR-0040",
            Self::Unreadable(_) => "SIGNET-OPERATOR-0041",
            Self::Kubernetes { .. } => "SIGNET-OPERATOR-0042",
            Self::Contended(_) => "SIGNET-OPERATOR-0043",
        }
    }
}

/// The names the webhook is called by.
pub fn webhook_names(namespace: &str) -> Vec<String> {
    service_names("signet-operator", namespace)
}

/// The names central is called by.
pub fn central_names(namespace: &str) -> Vec<String> {
    let mut names = service_names("signet-central", namespace);
    names.push("localhost".into());
    names
}

fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        service.into(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ]
}
