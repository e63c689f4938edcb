//! Token exchange: a workload that has proven itself gets a token of a tenant it may act for.
//!
//! The same for both edges: the OAuth token endpoint (RFC 8693) and the call of a sidecar. The token
//! is a JWT-SVID: its subject is the workload's SPIFFE id.

use std::{sync::Arc, time::Duration};

use policy::{Subject, SubjectKind};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use token::{Claims, SpiffeId};
use uuid::Uuid;

use crate::{
    authentication::Workload,
    directory::{Directory, Realm},
    error::ServiceError,
    keys::KeyStore,
    metrics::Metrics,
    service::Clock,
};

/// What an exchange gave.
pub(crate) struct Issued {
    /// The token, compact.
    pub(crate) token: String,
    /// How long it lives.
    pub(crate) lifetime: Duration,
}

/// Why an exchange gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(
        "the tenant has no audience {0:?}; ask for one of its spec.tokens.audiences, or for none"
    )]
    UnknownAudience(String),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl ExchangeError {
    /// The reason as a label.
    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownAudience(_) => "unknown_audience",
            Self::Service(ServiceError::NotAdmitted { .. }) => "not_admitted",
            Self::Service(ServiceError::TenantClosed(_)) => "tenant_closed",
            Self::Service(ServiceError::NoActiveKey(_)) => "no_active_key",
            Self::Service(ServiceError::Frozen { .. }) => "tenant_frozen",
            Self::Service(
                ServiceError::StoreUnavailable
                | ServiceError::OutcomeUnknown
                | ServiceError::Behind(_),
            ) => "unavailable",
            Self::Service(_) => "internal",
        }
    }
}

/// Issues tokens.
pub(crate) struct Exchange {
    directory: Arc<Directory>,
    keys: Arc<KeyStore>,
    metrics: Arc<Metrics>,
    clock: Clock,
    base_url: String,
    trust_domain: String,
}

impl Exchange {
    pub(crate) fn new(
        directory: Arc<Directory>,
        keys: Arc<KeyStore>,
        metrics: Arc<Metrics>,
        clock: Clock,
        base_url: &str,
        trust_domain: &str,
    ) -> Self {
        let (base_url, trust_domain) = (base_url.to_owned(), trust_domain.to_owned());
        Self {
            directory,
            keys,
            metrics,
            clock,
            base_url,
            trust_domain,
        }
    }

    /// A token of the tenant for the workload, meant for the audiences asked for, or for the
    /// tenant's first.
    pub(crate) async fn exchange(
        &self,
        workload: &Workload,
        tenant: &str,
        audiences: &[String],
    ) -> Result<Issued, ExchangeError> {
        let issued = self.issue(workload, tenant, audiences).await;
        match &issued {
            Ok(_) => self.metrics.tokens.inc(),
            Err(error) => {
                let reason = error.reason();
                self.metrics
                    .exchange_refusals
                    .with_label_values(&[reason])
                    .inc();
                let Workload {
                    namespace,
                    service_account,
                    ..
                } = workload;
                tracing::info!(
                    tenant,
                    namespace,
                    service_account,
                    reason,
                    "no token was issued"
                );
            }
        }
        issued
    }

    async fn issue(
        &self,
        workload: &Workload,
        tenant: &str,
        audiences: &[String],
    ) -> Result<Issued, ExchangeError> {
        let realm = self
            .directory
            .open_realm_for(tenant, &workload.namespace)
            .await?;
        let issuer = format!("{}/t/{tenant}", self.base_url);
        let audiences = meant_for(realm.audiences(), &issuer, audiences)?;
        let (kid, algorithm) = realm
            .active_key()
            .map(|key| (key.kid, key.algorithm))
            .ok_or_else(|| ServiceError::NoActiveKey(tenant.to_owned()))?;
        let key = self.keys.open_key(tenant, kid, algorithm).await?;
        let now = (self.clock)();
        let claims = claims(&realm, workload, audiences, issuer, &self.trust_domain, now)
            .map_err(ServiceError::Internal)?;
        let token = token::sign(&key, &claims)
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(Issued {
            token,
            lifetime: realm.access_token_lifetime(),
        })
    }
}

/// The issuer itself is an audience, too: of tokens for central's own API, which are good nowhere else.
fn meant_for(
    known: &[String],
    issuer: &String,
    asked: &[String],
) -> Result<Vec<String>, ExchangeError> {
    if asked.is_empty() {
        return Ok(known.first().cloned().into_iter().collect());
    }
    let known: Vec<&String> = known.iter().chain([issuer]).collect();
    match asked.iter().find(|audience| !known.contains(audience)) {
        Some(unknown) => Err(ExchangeError::UnknownAudience(
            unknown.chars().take(256).collect(),
        )),
        None => {
            // Asked for more than once, it is meant for it once: a token has a largest size.
            let meant = known
                .into_iter()
                .filter(|audience| asked.contains(audience));
            Ok(meant.cloned().collect())
        }
    }
}

/// What the token says. The claim `kubernetes.io` has the shape that Kubernetes' own tokens give it.
fn claims(
    realm: &Realm,
    workload: &Workload,
    audiences: Vec<String>,
    issuer: String,
    trust_domain: &str,
    now: OffsetDateTime,
) -> Result<Claims, String> {
    let Workload {
        namespace,
        service_account,
        pod,
        pod_uid,
    } = workload;
    let subject = SpiffeId::new(
        format!("{}.{trust_domain}", realm.name()),
        namespace,
        service_account,
    )
    .map_err(|error| error.to_string())?;
    let roles = realm.policy().roles_of(&Subject {
        kind: SubjectKind::ServiceAccount,
        name: service_account.clone(),
        namespace: Some(namespace.clone()),
        groups: Vec::new(),
        claims: Value::Null,
    });
    let mut place = Map::new();
    place.insert("namespace".into(), json!(namespace));
    place.insert("serviceaccount".into(), json!({ "name": service_account }));
    if let (Some(name), Some(uid)) = (pod, pod_uid) {
        place.insert("pod".into(), json!({ "name": name, "uid": uid }));
    }
    let iat = now.unix_timestamp();
    let lifetime = i64::try_from(realm.access_token_lifetime().as_secs()).unwrap_or(i64::MAX);
    Ok(Claims {
        iss: issuer,
        sub: subject.to_string(),
        aud: audiences,
        exp: iat.saturating_add(lifetime),
        iat,
        nbf: Some(iat),
        jti: Some(Uuid::new_v4().to_string()),
        tenant_id: Some(realm.name().to_owned()),
        roles,
        extra: Map::from_iter([("kubernetes.io".to_owned(), Value::Object(place))]),
    })
}

#[cfg(test)]
mod tests {
    use super::{ExchangeError, meant_for};

    fn audiences(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn issuer() -> String {
        "https://signet.example/t/acme".to_owned()
    }

    #[test]
    fn a_token_for_central_is_meant_for_its_issuer() {
        let meant = meant_for(&audiences(&["a"]), &issuer(), &[issuer()]);

        assert_eq!(meant.unwrap(), [issuer()]);
    }

    #[test]
    fn the_first_audience_is_the_default() {
        let meant = meant_for(&audiences(&["a", "b"]), &issuer(), &[]);

        assert_eq!(meant.unwrap(), ["a"]);
    }

    #[test]
    fn an_audience_is_named_once_however_often_it_is_asked_for() {
        let asked = vec!["b".to_owned(); 3000];

        let meant = meant_for(&audiences(&["a", "b"]), &issuer(), &asked);

        assert_eq!(meant.unwrap(), ["b"]);
    }

    #[test]
    fn only_audiences_of_the_tenant_are_given() {
        let known = audiences(&["a", "b"]);

        assert_eq!(
            meant_for(&known, &issuer(), &audiences(&["b"])).unwrap(),
            ["b"]
        );
        let refused = meant_for(&known, &issuer(), &audiences(&["b", "c"])).unwrap_err();
        assert!(matches!(refused, ExchangeError::UnknownAudience(audience) if audience == "c"));
    }
}
