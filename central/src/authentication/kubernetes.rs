//! Callers proven by the Kubernetes API server.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus},
    core::v1::Pod,
};
use kube::{Api, Client, api::PostParams};
use time::OffsetDateTime;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    AuthenticationError, Authenticator, Caller, Workload,
    review::{self, BoundAccount},
    verdicts::Verdicts,
};
use crate::{
    config::{Config, ServiceAccount},
    error::StartError,
};

/// How long a verdict is remembered; a deleted pod keeps its access at most so long.
const VERDICT_LIFETIME: Duration = Duration::from_secs(10);
const VERDICTS: usize = 20_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// More reviews than this at once wait, so that a storm of callers does not become one of the API server.
const CONCURRENT_REVIEWS: usize = 32;

/// Proves callers by TokenReview and a look at their pod.
///
/// A token must be meant for the configured audience and bound to a pod that lives, has the UID of
/// the token and runs as its ServiceAccount. The operator's ServiceAccount makes [`Caller::Operator`],
/// every other one [`Caller::Workload`].
pub struct KubernetesAuthenticator {
    client: Client,
    audience: String,
    operator: ServiceAccount,
    verdicts: Verdicts,
    reviews: Semaphore,
}

impl KubernetesAuthenticator {
    /// Asks the API server of this client.
    #[must_use]
    pub fn new(client: Client, audience: String, operator: ServiceAccount) -> Self {
        Self {
            client,
            audience,
            operator,
            verdicts: Verdicts::new(VERDICT_LIFETIME, VERDICTS),
            reviews: Semaphore::new(CONCURRENT_REVIEWS),
        }
    }

    /// Asks the API server that the environment names: the pod's own, or the one of a kubeconfig.
    ///
    /// # Errors
    ///
    /// [`StartError::Kubernetes`] when the environment names none.
    pub async fn from_environment(config: &Config) -> Result<Self, StartError> {
        let client = Client::try_default()
            .await
            .map_err(|error| StartError::Kubernetes(error.to_string()))?;
        let audience = config.token_audience.clone();
        Ok(Self::new(
            client,
            audience,
            config.operator_service_account.clone(),
        ))
    }

    async fn review(&self, bearer: &str) -> Result<TokenReviewStatus, AuthenticationError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: bearer.to_owned(),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = bounded(api.create(&PostParams::default(), &review)).await?;
        let status = answer.status.unwrap_or_default();
        if let Some(error) = &status.error {
            tracing::debug!(error, "the API server does not accept a token");
        }
        Ok(status)
    }

    async fn pod(&self, bound: &BoundAccount) -> Result<Option<Pod>, AuthenticationError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &bound.account.namespace);
        bounded(api.get_opt(&bound.pod)).await
    }

    fn caller(&self, bound: BoundAccount) -> Caller {
        if bound.account == self.operator {
            return Caller::Operator;
        }
        Caller::Workload(Workload {
            namespace: bound.account.namespace,
            service_account: bound.account.name,
            pod: Some(bound.pod),
            pod_uid: Some(bound.pod_uid),
        })
    }
}

#[async_trait]
impl Authenticator for KubernetesAuthenticator {
    async fn authenticate(&self, bearer: &str) -> Result<Caller, AuthenticationError> {
        let started = Instant::now();
        if let Some(caller) = self.verdicts.get(bearer, started) {
            return Ok(caller);
        }
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let token_lives = review::plausible(bearer, &self.audience, now).map_err(refused)?;
        let _turn = timeout(CALL_TIMEOUT, self.reviews.acquire())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| unavailable("too many reviews at once"))?;
        // Another call with the same token may have been answered while this one waited.
        if let Some(caller) = self.verdicts.get(bearer, Instant::now()) {
            return Ok(caller);
        }
        let bound =
            review::reviewed(&self.review(bearer).await?, &self.audience).map_err(refused)?;
        review::lives(&bound, self.pod(&bound).await?.as_ref()).map_err(refused)?;
        let caller = self.caller(bound);
        // Counted from before the questions were asked: their answers are that old.
        self.verdicts
            .put(bearer, caller.clone(), started, token_lives);
        Ok(caller)
    }
}

async fn bounded<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, AuthenticationError> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        // A refusal of the API server is about our own rights, not about the caller's token.
        Ok(Err(kube::Error::Api(status))) => Err(unavailable(&format!(
            "the API server refuses central ({} {}); check the ClusterRole of signet-central",
            status.code, status.reason
        ))),
        Ok(Err(error)) => Err(unavailable(&error.to_string())),
        Err(_) => Err(unavailable("the API server did not answer in time")),
    }
}

fn refused(reason: String) -> AuthenticationError {
    AuthenticationError::Refused(reason)
}

fn unavailable(reason: &str) -> AuthenticationError {
    AuthenticationError::Unavailable(reason.to_owned())
}
