//! Answers one AdmissionReview.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use crds::Tenant;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams};
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::{Client, ResourceExt};
use tokio::time::timeout;

use crate::http::{HttpError, not_found};
use crate::injection::{
    Denial, InjectionContext, Overrides, SidecarSettings, choose, inject, wanted,
};
use crate::metrics::Metrics;
use crate::namespaces::labels_of;
use crate::watch::{Guarded, Watch};

/// A review holds a pod twice, which etcd bounds at about 1.5 MiB.
const BODY_LIMIT: usize = 8 << 20;
/// For one look at the API server; the webhook's whole time is 5 seconds.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1500);

/// Gives the settings of sidecars as they are at the moment.
pub type SettingsSource = Arc<dyn Fn() -> SidecarSettings + Send + Sync>;

/// Decides about pods.
pub struct Injector {
    /// The namespace of the release, whose pods are left alone.
    pub own_namespace: String,
    /// What sidecars are given.
    pub settings: SettingsSource,
    /// The tenants known.
    pub tenants: Watch<Tenant>,
    /// The namespaces known.
    pub namespaces: Watch<Namespace>,
    /// For a look at the API server itself, before a pod is refused or passed by on the word of a
    /// cache that may be behind.
    pub client: Option<Client>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Injector {
    /// The routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/mutate-pods", post(mutate_pods))
            .fallback(not_found)
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(self)
    }

    async fn answer(&self, request: &AdmissionRequest<Pod>) -> AdmissionResponse {
        let response = AdmissionResponse::from(request);
        let (Operation::Create, Some(pod)) = (&request.operation, &request.object) else {
            return self.counted("skipped", response);
        };
        let namespace = request
            .namespace
            .clone()
            .filter(|namespace| !namespace.is_empty())
            .or_else(|| pod.namespace())
            .unwrap_or_else(|| "default".into());
        let Some(labels) = self.labels_if_wanted(pod, &namespace).await else {
            return self.counted("skipped", response);
        };
        let settings = (self.settings)();
        let injected = match self.tenant(pod, &namespace, &labels, &settings).await {
            Ok(tenant) => {
                let context = InjectionContext {
                    tenant: &tenant,
                    settings: &settings,
                };
                inject(pod, &context)
            }
            Err(denial) => Err(denial),
        };
        match injected {
            Ok(injection) if injection.patch.0.is_empty() => self.counted("present", response),
            Ok(injection) => match response.with_patch(injection.patch) {
                Ok(patched) => self.counted("injected", patched),
                Err(error) => {
                    let response = AdmissionResponse::from(request).deny(error);
                    self.counted("failed", response)
                }
            },
            Err(denial) => {
                tracing::info!(
                    %namespace,
                    pod = pod.metadata.name.as_ref().or(pod.metadata.generate_name.as_ref()),
                    code = denial.code(),
                    %denial,
                    "pod denied"
                );
                let mut response = response.deny(format!("{}: {denial}", denial.code()));
                response.result.code = StatusCode::FORBIDDEN.as_u16();
                response.result.reason = "Forbidden".into();
                self.counted("denied", response)
            }
        }
    }

    /// The labels of the namespace, if the pod wants a sidecar. The API server has called because it
    /// thinks so; when the cache does not, it may be behind.
    async fn labels_if_wanted(
        &self,
        pod: &Pod,
        namespace: &str,
    ) -> Option<BTreeMap<String, String>> {
        let is_wanted = |labels: &BTreeMap<String, String>| {
            wanted(namespace, labels, pod.labels(), &self.own_namespace)
        };
        let known = self
            .namespaces
            .get(namespace, None)
            .map(|known| labels_of(&known));
        if let Some(labels) = known.filter(&is_wanted) {
            return Some(labels);
        }
        let labels = self.look_at_namespace(namespace).await.unwrap_or_default();
        is_wanted(&labels).then_some(labels)
    }

    async fn tenant(
        &self,
        pod: &Pod,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        settings: &SidecarSettings,
    ) -> Result<String, Denial> {
        let annotation = Overrides::read(pod.annotations(), &settings.resources)?.tenant;
        let known = self.tenants.all();
        let chosen = choose(annotation.as_deref(), namespace, labels, &known);
        match chosen {
            Err(denial) if denial.about_tenant() => {
                let Some(tenants) = self.look_at_tenants().await else {
                    return Err(denial);
                };
                let fresh = self.look_at_namespace(namespace).await;
                let labels = fresh.as_ref().unwrap_or(labels);
                choose(annotation.as_deref(), namespace, labels, &tenants)
            }
            chosen => chosen,
        }
    }

    async fn look_at_namespace(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let api: Api<Namespace> = Api::all(self.client.clone()?);
        match timeout(LOOK_TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(namespace)) => namespace.as_ref().map(labels_of),
            Ok(Err(error)) => {
                tracing::warn!(%error, namespace = name, "the namespace could not be read");
                None
            }
            Err(_) => None,
        }
    }

    async fn look_at_tenants(&self) -> Option<Vec<Tenant>> {
        let api: Api<Guarded<Tenant>> = Api::all(self.client.clone()?);
        match timeout(LOOK_TIMEOUT, api.list(&ListParams::default())).await {
            Ok(Ok(tenants)) => Some(
                tenants
                    .items
                    .into_iter()
                    .filter_map(|tenant| tenant.0.ok())
                    .collect(),
            ),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the tenants could not be listed");
                None
            }
            Err(_) => None,
        }
    }

    fn counted(&self, outcome: &str, response: AdmissionResponse) -> AdmissionResponse {
        self.metrics.admissions.with_label_values(&[outcome]).inc();
        response
    }
}

async fn mutate_pods(
    State(injector): State<Arc<Injector>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let review = serde_json::from_slice::<AdmissionReview<Pod>>(&body)
        .map_err(|error| error.to_string())
        .and_then(|review| {
            TryInto::<AdmissionRequest<Pod>>::try_into(review).map_err(|error| error.to_string())
        });
    match review {
        Ok(request) => Json(injector.answer(&request).await.into_review()).into_response(),
        Err(error) => {
            injector
                .metrics
                .admissions
                .with_label_values(&["failed"])
                .inc();
            let message = format!("this is no AdmissionReview (v1) of a Pod: {error}");
            HttpError::new(
                &headers,
                StatusCode::BAD_REQUEST,
                "SIGNET-OPERATOR-0062",
                message,
            )
            .into_response()
        }
    }
}
