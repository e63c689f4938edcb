//! The HTTP side of the edge.
//!
//! Anonymous callers reach discovery, JWKS and health. The token endpoint takes its proof in the
//! request; everything else asks for the administrators' token, or, below a tenant, for a token of
//! that tenant whose roles allow it.

mod administration;
mod discovery;
mod health;
mod parameters;
mod scope;
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

use self::scope::scoped;
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
        .route_layer(current.clone())
        .route("/metrics", get(health::metrics))
        .route_layer(administrators);
    health
        .merge(public)
        .merge(administration)
        .merge(tenants(&application).route_layer(current))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(application)
}

/// What belongs to one tenant: for administrators, and for those its own roles allow to.
fn tenants(application: &Arc<Application>) -> Router<Arc<Application>> {
    let read = |resource, method| scoped(application, resource, "read", method);
    let routes = [
        (
            "/api/v1/tenants/{tenant}",
            read("signet/tenant", get(administration::tenant)),
        ),
        (
            "/api/v1/tenants/{tenant}/roles",
            read("signet/roles", get(administration::roles)),
        ),
        (
            "/api/v1/tenants/{tenant}/generators",
            read("signet/generators", get(administration::generators)),
        ),
        (
            "/api/v1/tenants/{tenant}/keys",
            read("signet/keys", get(administration::keys)),
        ),
        (
            "/api/v1/tenants/{tenant}/events",
            read("signet/events", get(administration::events)),
        ),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, method)| {
            router.route(path, method)
        })
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
