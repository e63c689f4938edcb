//! Liveness, readiness, health in detail, and metrics.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{edge::Application, error::ServiceError};

/// The process runs.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Whether this replica should be given work: 200, else 503.
pub(super) async fn ready(State(application): State<Arc<Application>>) -> Response {
    match application.readiness.state().is_ready() {
        true => Json(json!({ "status": "ready" })).into_response(),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "not ready" })),
        )
            .into_response(),
    }
}

/// Whether everything works, 200, else 503 and which component is to blame. Anybody may ask, so frozen
/// tenants are counted here; the list of tenants names them.
pub(super) async fn health(State(application): State<Arc<Application>>) -> Response {
    let state = application.readiness.state();
    let frozen = application.metrics.tenants_frozen.get();
    let (code, status) = match (state.is_healthy() && frozen == 0, state.is_ready()) {
        (true, _) => (StatusCode::OK, "healthy"),
        (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "components": {
            "event_store": { "status": if state.store_up { "up" } else { "down" } },
            "read_models": {
                "status": if state.caught_up { "caught up" } else { "catching up" },
                "position": application.directory.position(),
            },
            "tenants": {
                "status": if frozen == 0 { "followed" } else { "frozen" },
                "frozen": frozen,
            },
            "server": { "status": if state.draining { "draining" } else { "serving" } },
        },
    });
    (code, Json(body)).into_response()
}

/// What Prometheus scrapes, with the administrators' token.
pub(super) async fn metrics(
    State(application): State<Arc<Application>>,
) -> Result<Response, ServiceError> {
    let rendered = application.metrics.render();
    let text = rendered.map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
