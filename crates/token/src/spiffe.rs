//! SPIFFE ids of workloads, by the SPIFFE-ID specification §2.

use std::fmt;
use std::str::FromStr;

/// Longest SPIFFE id, in bytes (§2.3).
const MAX_ID_BYTES: usize = 2048;
/// Longest trust domain, in bytes (§2.1).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// `spiffe://{trust domain}/ns/{namespace}/sa/{service account}`: who a workload is.
///
/// ```
/// let id: token::SpiffeId = "spiffe://acme.cluster.local/ns/shop/sa/checkout".parse().unwrap();
/// assert_eq!((id.namespace.as_str(), id.service_account.as_str()), ("shop", "checkout"));
/// assert_eq!(id.tenant("cluster.local"), Some("acme"));
/// assert_eq!(id.to_string(), "spiffe://acme.cluster.local/ns/shop/sa/checkout");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// With the tenant in front: `{tenant}.{trust domain of the installation}`.
    pub trust_domain: String,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The Kubernetes ServiceAccount.
    pub service_account: String,
}

/// Why a text, or three parts, are not the SPIFFE id of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Not the scheme, or not the path of a workload.
    #[error("a workload's id has the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")]
    Form,
    /// The trust domain has other characters, or too many.
    #[error("a trust domain has 1 to 255 characters of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain,
    /// A segment of the path is empty, `.`, `..`, or has other characters.
    #[error(
        "namespace and service account have characters of A-Z, a-z, 0-9, '.', '-' and '_', and are not '.' or '..'"
    )]
    PathSegment,
    /// Longer than 2048 bytes.
    #[error("a SPIFFE id has at most 2048 bytes")]
    TooLong,
}

impl SpiffeIdError {
    /// A stable code for error answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "SIGNET-TOKEN-0031"
    }
}

impl SpiffeId {
    /// An id of these parts.
    ///
    /// # Errors
    /// [`SpiffeIdError`] when a part has characters that the specification does not allow.
    pub fn new(
        trust_domain: impl Into<String>,
        namespace: impl Into<String>,
        service_account: impl Into<String>,
    ) -> Result<Self, SpiffeIdError> {
        let id = Self {
            trust_domain: trust_domain.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        };
        check_trust_domain(&id.trust_domain)?;
        check_segment(&id.namespace)?;
        check_segment(&id.service_account)?;
        if id.to_string().len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        Ok(id)
    }

    /// The tenant, when the trust domain is `{tenant}.{installation}`.
    #[must_use]
    pub fn tenant(&self, installation: &str) -> Option<&str> {
        let tenant = self
            .trust_domain
            .strip_suffix(installation)?
            .strip_suffix('.')?;
        (!tenant.is_empty() && !tenant.contains('.')).then_some(tenant)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            service_account,
        } = self;
        write!(
            formatter,
            "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
        )
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeIdError::Form)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [trust_domain, "ns", namespace, "sa", service_account] = parts[..] else {
            return Err(SpiffeIdError::Form);
        };
        Self::new(trust_domain, namespace, service_account)
    }
}

fn check_trust_domain(name: &str) -> Result<(), SpiffeIdError> {
    let sound = (1..=MAX_TRUST_DOMAIN_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    if sound {
        Ok(())
    } else {
        Err(SpiffeIdError::TrustDomain)
    }
}

fn check_segment(segment: &str) -> Result<(), SpiffeIdError> {
    let sound = !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if sound {
        Ok(())
    } else {
        Err(SpiffeIdError::PathSegment)
    }
}
