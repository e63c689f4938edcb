//! Who is calling, and may they: tokens verified and decisions made with what is held, no call
//! leaves the pod.
//!
//! **Invariants.** Content that has been without proof of being current for longer than
//! `SIGNET_FAIL_STATIC` decides nothing. A closed tenant's tokens never hold.

mod cache;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::policy::{Decision, Request, Subject};
use protocol::v1::Content as Kind;
use serde_json::{Value, json};
use token::{Claims, Rejection};

use self::cache::VerifiedTokens;
use crate::clock;
use crate::content::{Content, HeldKeys, Standing};
use crate::metrics::Metrics;
pub use iam::subject_of;

/// Why a question about a token cannot be answered with yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The token does not hold.
    #[error("{0}")]
    Rejected(Rejection),
    /// The tenant is closed.
    #[error("the tenant is closed: none of its tokens holds any more")]
    TenantClosed,
    /// The token's `tenant_id` is not this sidecar's tenant.
    #[error("the token is of another tenant")]
    WrongTenant,
    /// Nothing is held yet.
    #[error("the sidecar does not hold the tenant's {0} yet")]
    Missing(&'static str),
    /// What is held is too old.
    #[error(
        "the tenant's {content} have not been known to be current for {}s, which is longer than \
         SIGNET_FAIL_STATIC: see /ready for why central is away",
        .age.as_secs()
    )]
    Expired {
        /// Which content.
        content: &'static str,
        /// Time since it was known to be current.
        age: Duration,
    },
}

impl AccessError {
    /// A short word for metrics and machine-read answers.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::TenantClosed => "tenant_closed",
            Self::WrongTenant => "wrong_tenant",
            Self::Missing(_) => "not_started",
            Self::Expired { .. } => "content_expired",
        }
    }
}

/// One thing to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What it is about, such as `orders/42`.
    pub resource: &'a str,
    /// What is to be done, such as `read`.
    pub action: &'a str,
    /// What the application says of the request.
    pub request: &'a Value,
}

/// Verifies and decides.
#[derive(Debug)]
pub struct Access {
    tenant: String,
    namespace: String,
    content: Arc<Content>,
    metrics: Arc<Metrics>,
    verified: Mutex<VerifiedTokens>,
}

impl Access {
    /// For one tenant, in a pod of `namespace`.
    #[must_use]
    pub fn new(
        tenant: String,
        namespace: String,
        content: Arc<Content>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let verified = Mutex::new(VerifiedTokens::default());
        Self {
            tenant,
            namespace,
            content,
            metrics,
            verified,
        }
    }

    /// Checks a token. `audience`: what it must be meant for; none: any of the tenant's.
    ///
    /// # Errors
    /// The token does not hold, or the sidecar may not say.
    pub fn verify(&self, token: &str, audience: Option<&str>) -> Result<Arc<Claims>, AccessError> {
        let result = self.checked(token, audience);
        let label = result
            .as_ref()
            .map_or_else(AccessError::reason, |_| "valid");
        self.metrics.verifications.with_label_values(&[label]).inc();
        result
    }

    /// Answers questions about the bearer of a token.
    ///
    /// # Errors
    /// The token does not hold, or the sidecar may not say. A refusal by the policy is no error.
    pub fn decide<'a>(
        &self,
        token: &str,
        audience: Option<&str>,
        questions: impl IntoIterator<Item = Question<'a>>,
    ) -> Result<Vec<Decision>, AccessError> {
        let claims = self.verify(token, audience)?;
        let policy = self.content.policy().ok_or(AccessError::Missing("roles"))?;
        self.usable(Kind::Policy, "roles")?;
        let subject = subject_of(&claims, &self.tenant);
        let environment = json!({
            "time": clock::rfc3339_now(),
            "tenant": self.tenant,
            "namespace": self.namespace,
        });
        let decide = |question: Question<'_>| {
            let decision = policy.policy().decide(&Request {
                subject: &subject,
                resource: question.resource,
                action: question.action,
                request: question.request,
                environment: &environment,
            });
            let label = if decision.allowed {
                "allowed"
            } else {
                "refused"
            };
            self.metrics.decisions.with_label_values(&[label]).inc();
            decision
        };
        Ok(questions.into_iter().map(decide).collect())
    }

    /// The subject that the policy sees for these claims.
    #[must_use]
    pub fn subject(&self, claims: &Claims) -> Subject {
        subject_of(claims, &self.tenant)
    }

    fn checked(&self, token: &str, audience: Option<&str>) -> Result<Arc<Claims>, AccessError> {
        let keys = self.content.keys().ok_or(AccessError::Missing("keys"))?;
        self.usable(Kind::Keys, "keys")?;
        let now = clock::unix_now();
        let fingerprint = cache::fingerprint(token, audience);
        let known = self.cache(|cache| cache.get(&fingerprint, &keys, now));
        if let Some(claims) = known {
            self.metrics.verification_cache_hits.inc();
            return Ok(claims);
        }
        let claims = Arc::new(self.verified_anew(&keys, token, audience, now)?);
        self.cache(|cache| cache.insert(fingerprint, keys, Arc::clone(&claims), now));
        Ok(claims)
    }

    fn verified_anew(
        &self,
        keys: &HeldKeys,
        token: &str,
        audience: Option<&str>,
        now: i64,
    ) -> Result<Claims, AccessError> {
        let claims = keys
            .verify(token, audience, now)
            .ok_or(AccessError::TenantClosed)?
            .map_err(AccessError::Rejected)?;
        match &claims.tenant_id {
            Some(tenant) if *tenant != self.tenant => Err(AccessError::WrongTenant),
            _ => Ok(claims),
        }
    }

    fn usable(&self, kind: Kind, content: &'static str) -> Result<(), AccessError> {
        match self.content.freshness().standing(kind) {
            Standing::Usable { .. } => Ok(()),
            Standing::Missing => Err(AccessError::Missing(content)),
            Standing::Expired { age } => Err(AccessError::Expired { content, age }),
        }
    }

    fn cache<T>(&self, with: impl FnOnce(&mut VerifiedTokens) -> T) -> T {
        with(&mut self.verified.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
