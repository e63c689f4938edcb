//! Certificates at start and ever after.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::plan::{Cause, Horizon, Plan, plan_authority, plan_leaf};
use super::secrets::{self, AUTHORITY, Contents, Place, Secrets};
use super::{CertificateError, Pair, ca_bundle, central_names, inspect, issue, webhook_names};
use crate::metrics::Metrics;
use crate::watch::watch_config;

const WEBHOOK: Place = secrets::leaf("signet-webhook-tls");
const CENTRAL: Place = secrets::leaf("signet-central-tls");

/// How often the leader looks what is due.
const INTERVAL: Duration = Duration::from_secs(300);
/// How soon again when something failed, or the chart has not made the webhook's configuration.
const SOON: Duration = Duration::from_secs(5);

/// What this replica serves with and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The authority's certificate.
    pub authority: String,
    /// The webhook's certificate and key.
    pub webhook: Pair,
}

/// Keeps the certificates of one release.
pub struct Certificates {
    client: Client,
    secrets: Secrets,
    namespace: String,
    webhook_configuration: String,
    metrics: Metrics,
}

impl Certificates {
    /// For the release in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        webhook_configuration: &str,
        metrics: Metrics,
    ) -> Self {
        Self {
            secrets: Secrets::new(client.clone(), namespace),
            client,
            namespace: namespace.into(),
            webhook_configuration: webhook_configuration.into(),
            metrics,
        }
    }

    /// Makes what is missing and renews what is due. At start any replica does it with
    /// [`Horizon::Now`], before it does anything else: central's pod waits for its Secret.
    ///
    /// # Errors
    /// When the API server does not give or take a Secret.
    pub async fn ensure(&self, horizon: Horizon) -> Result<Trust, CertificateError> {
        let now = OffsetDateTime::now_utc();
        let authority = self
            .secrets
            .ensure(
                AUTHORITY,
                |existing| plan_authority(existing, now, horizon),
                |existing, cause| {
                    let pair = match (existing, cause) {
                        (Some(existing), Cause::Expiring) => {
                            issue::renewed_authority(existing, now)?
                        }
                        _ => issue::authority(now)?,
                    };
                    Ok(Contents {
                        pair,
                        others: Vec::new(),
                    })
                },
            )
            .await?;
        let names = webhook_names(&self.namespace);
        let webhook = self
            .ensure_leaf(WEBHOOK, &authority, &names, now, horizon)
            .await?;
        let names = central_names(&self.namespace);
        let central = self
            .ensure_leaf(CENTRAL, &authority, &names, now, horizon)
            .await?;
        for (place, pair) in [
            (AUTHORITY, &authority),
            (WEBHOOK, &webhook),
            (CENTRAL, &central),
        ] {
            let end = inspect(pair)?.not_after.unix_timestamp();
            self.metrics
                .certificate_expiry
                .with_label_values(&[place.secret])
                .set(end);
        }
        Ok(Trust {
            authority: authority.certificate,
            webhook,
        })
    }

    async fn ensure_leaf(
        &self,
        place: Place,
        authority: &Pair,
        names: &[String],
        now: OffsetDateTime,
        horizon: Horizon,
    ) -> Result<Pair, CertificateError> {
        self.secrets
            .ensure(
                place,
                |existing| plan_leaf(existing, authority, names, now, horizon),
                |_, _| {
                    Ok(Contents {
                        pair: issue::leaf(authority, names, now)?,
                        others: vec![("ca.crt", authority.certificate.clone())],
                    })
                },
            )
            .await
    }

    /// Sets the webhook's CA bundle. Returns whether there is a configuration to set it in.
    ///
    /// # Errors
    /// When the API server does not give or take it.
    pub async fn ensure_ca_bundle(&self, authority: &str) -> Result<bool, CertificateError> {
        ca_bundle::ensure(&self.client, &self.webhook_configuration, authority).await
    }

    /// The leader's part: renews ahead of expiry and keeps the CA bundle, until cancelled.
    pub async fn lead(&self, shutdown: &CancellationToken) {
        loop {
            let pause = match self.round().await {
                Ok(true) => INTERVAL,
                Ok(false) => SOON,
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "certificates; tried again");
                    SOON
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn round(&self) -> Result<bool, CertificateError> {
        let trust = self.ensure(Horizon::Ahead).await?;
        self.ensure_ca_bundle(&trust.authority).await
    }

    /// Every replica's part: tells `trust` when the webhook's certificate or the authority is
    /// another, until cancelled.
    pub async fn follow(&self, trust: watch::Sender<Trust>, shutdown: CancellationToken) {
        let secret = |place: Place| {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
            let config = watch_config().fields(&format!("metadata.name={}", place.secret));
            watcher(api, config).default_backoff().applied_objects()
        };
        let secrets = futures::stream::select(secret(AUTHORITY), secret(WEBHOOK));
        let mut secrets = std::pin::pin!(secrets.take_until(shutdown.cancelled_owned()));
        while let Some(secret) = secrets.next().await {
            let secret = match secret {
                Ok(secret) => secret,
                Err(error) => {
                    tracing::warn!(%error, "watching certificates failed; it is tried again");
                    continue;
                }
            };
            trust.send_if_modified(|trust| learn(trust, &secret));
        }
    }
}

/// Takes a good certificate out of `secret`; a broken one is left for the leader to mend.
fn learn(trust: &mut Trust, secret: &Secret) -> bool {
    let before = trust.clone();
    let now = OffsetDateTime::now_utc();
    if secret.metadata.name.as_deref() == Some(AUTHORITY.secret) {
        let pair = secrets::read(secret, AUTHORITY);
        if let Some(pair) = pair
            && plan_authority(Some(&pair), now, Horizon::Now) == Plan::Keep
        {
            trust.authority = pair.certificate;
        }
    } else if let Some(pair) = secrets::read(secret, WEBHOOK)
        && inspect(&pair).is_ok_and(|inspected| inspected.key_matches)
    {
        trust.webhook = pair;
    }
    *trust != before
}
