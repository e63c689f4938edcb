//! The HTTP side of the edge.
//!
//! Anonymous callers reach discovery, JWKS and health. The token endpoint takes its proof in the
//! request; everything else asks for the administrators' token.

mod administration;
mod discovery;
mod health;
mod parameters;
mod token_endpoint;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};

use super::Application;
use crate::error::ServiceError;

/// No call here has a large body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The routes of HTTP.
pub(super) fn router(application: Arc<Application>) -> Router {
    let current = middleware::from_fn_with_state(Arc::clone(&application), current_only);
    let administrators =
        middleware::from_fn_with_state(Arc::clone(&application), administrators_only);
    let health = Router::new()
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .route("/health", get(health::health));
    let public = Router::new()
        .route(
            "/t/{tenant}/.well-known/openid-configuration",
            get(discovery::configuration),
        )
        .route("/t/{tenant}/jwks", get(discovery::jwks))
        .route("/t/{tenant}/oauth2/token", post(token_endpoint::token))
        .route_layer(current.clone());
    let administration = Router::new()
        .route("/api/v1/tenants", get(administration::tenants))
        .route("/api/v1/tenants/{tenant}", get(administration::tenant))
        .route("/api/v1/tenants/{tenant}/roles", get(administration::roles))
        .route(
            "/api/v1/tenants/{tenant}/generators",
            get(administration::generators),
        )
        .route("/api/v1/tenants/{tenant}/keys", get(administration::keys))
        .route(
            "/api/v1/tenants/{tenant}/events",
            get(administration::events),
        )
        .route_layer(current)
        .route("/metrics", get(health::metrics))
        .route_layer(administrators);
    health
        .merge(public)
        .merge(administration)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(application)
}

/// Lets nobody through before the read models have caught up.
async fn current_only(
    State(application): State<Arc<Application>>,
    request: Request,
    next: Next,
) -> Result<Response, ServiceError> {
    application.readiness.trustworthy().await?;
    Ok(next.run(request).await)
}

async fn administrators_only(
    State(application): State<Arc<Application>>,
    request: Request,
    next: Next,
) -> Result<Response, ServiceError> {
    application.gate.administrator(request.headers())?;
    Ok(next.run(request).await)
}
