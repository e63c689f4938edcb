//! `/live`, `/ready` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::{HttpError, not_found};
use crate::metrics::Metrics;
use crate::watch::Staleness;

/// Watches that fail for longer make the process not live: a new one may have more luck.
const STALE_LIMIT: Duration = Duration::from_secs(600);

/// What the probes are answered from.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    staleness: Arc<Staleness>,
    metrics: Metrics,
}

impl Health {
    /// Not ready yet.
    pub fn new(staleness: Arc<Staleness>, metrics: Metrics) -> Self {
        Self {
            ready: AtomicBool::new(false),
            staleness,
            metrics,
        }
    }

    /// Says whether the webhook can answer.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// The routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/live", get(live))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .fallback(not_found)
            .with_state(self)
    }

    /// Serves on `address` until cancelled.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn serve(
        self: Arc<Self>,
        address: SocketAddr,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

async fn live(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    let stale = health.staleness.stale(STALE_LIMIT, Instant::now());
    if stale.is_empty() {
        return "live\n".into_response();
    }
    let message = format!(
        "watches have been failing for too long: {}",
        stale.join(", ")
    );
    unavailable(&headers, "SIGNET-OPERATOR-0051", message)
}

async fn ready(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    if health.ready.load(Ordering::Acquire) {
        return "ready\n".into_response();
    }
    let message = "certificates or caches are not there yet, or the process is ending";
    unavailable(&headers, "SIGNET-OPERATOR-0052", message)
}

async fn metrics(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    match health.metrics.encode() {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, text).into_response()
        }
        Err(error) => unavailable(&headers, "SIGNET-OPERATOR-0053", error.to_string()),
    }
}

fn unavailable(headers: &HeaderMap, code: &'static str, message: impl Into<String>) -> Response {
    HttpError::new(headers, StatusCode::SERVICE_UNAVAILABLE, code, message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    fn health() -> Arc<Health> {
        Arc::new(Health::new(Arc::default(), Metrics::new().unwrap()))
    }

    async fn get(health: &Arc<Health>, path: &str) -> (StatusCode, String) {
        let request = Request::get(path)
            .header("x-request-id", "r-1")
            .body(Body::empty())
            .unwrap();
        let response = Arc::clone(health).router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_follows_what_it_is_told() {
        let health = health();
        let (status, body) = get(&health, "/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let error: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["code"], "SIGNET-OPERATOR-0052");
        assert_eq!(error["error"]["request_id"], "r-1");
        health.set_ready(true);
        assert_eq!(get(&health, "/ready").await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn live_fails_once_watches_have_failed_for_too_long() {
        let health = health();
        assert_eq!(get(&health, "/live").await.0, StatusCode::OK);
        for _ in 0..=13 {
            health.staleness.failed("Tenant", Instant::now());
            tokio::time::advance(Duration::from_secs(50)).await;
        }
        let (status, body) = get(&health, "/live").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("Tenant"), "{body}");
    }

    #[tokio::test]
    async fn metrics_are_text_and_the_rest_is_not_found() {
        let health = health();
        assert!(
            get(&health, "/metrics")
                .await
                .1
                .contains("signet_operator_leader")
        );
        assert_eq!(get(&health, "/other").await.0, StatusCode::NOT_FOUND);
    }
}
