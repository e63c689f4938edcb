//! The HTTP side of the edge.
//!
//! Anonymous callers reach discovery, JWKS and health. The token endpoint takes its proof in the
//! request; everything else asks for the administrators' token, or, below a tenant, for a token of
//! that tenant whose roles allow it.

mod administration;
mod allocations;
mod checkpoints;
mod dead_letters;
mod discovery;
mod events;
mod health;
mod letter_replays;
mod parameters;
mod place;
mod projections;
mod replays;
mod scope;
mod states;
mod streams;
mod subscriptions;
mod token_endpoint;
mod views;
mod wording;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{delete, get, post},
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
        .route("/api/v1/allocations", get(allocations::list))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/{position}", get(events::one))
        .route("/api/v1/replays", get(replays::list).post(replays::start))
        .route(
            "/api/v1/replays/{id}",
            get(replays::one).delete(replays::cancel),
        )
        .route("/api/v1/checkpoints", get(checkpoints::list))
        .route("/api/v1/projections", get(projections::list))
        .route("/api/v1/projections/{name}", get(projections::one))
        .route("/api/v1/projections/{name}/pause", post(projections::pause))
        .route(
            "/api/v1/projections/{name}/resume",
            post(projections::resume),
        )
        .route(
            "/api/v1/projections/{name}/rebuild",
            post(projections::rebuild).delete(projections::cancel_rebuild),
        )
        .route("/api/v1/projections/{name}/clear", post(projections::clear))
        .route(
            "/api/v1/projections/{name}/clear-cache",
            post(projections::clear_cache),
        )
        .route(
            "/api/v1/projections/{name}/refresh",
            post(projections::refresh),
        )
        .route("/api/v1/subscriptions", get(subscriptions::list))
        .route("/api/v1/subscriptions/{name}", get(subscriptions::one))
        .route(
            "/api/v1/subscriptions/{name}/pause",
            post(subscriptions::pause),
        )
        .route(
            "/api/v1/subscriptions/{name}/resume",
            post(subscriptions::resume),
        )
        .route(
            "/api/v1/dead-letters",
            get(dead_letters::list).delete(dead_letters::drop_all),
        )
        .route(
            "/api/v1/dead-letters/replay",
            post(dead_letters::replay_all),
        )
        .route("/api/v1/dead-letters/{id}", delete(dead_letters::drop_one))
        .route(
            "/api/v1/dead-letters/{id}/replay",
            post(dead_letters::replay),
        )
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
    let write = |resource, method| scoped(application, resource, "write", method);
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
            "/api/v1/tenants/{tenant}/allocations",
            read("signet/allocations", get(allocations::list)),
        ),
        (
            "/api/v1/tenants/{tenant}/events",
            read("signet/events", get(events::list)),
        ),
        (
            "/api/v1/tenants/{tenant}/events/{position}",
            read("signet/events", get(events::one)),
        ),
        (
            "/api/v1/tenants/{tenant}/streams/{type}/{*id}",
            read("signet/events", get(streams::one)),
        ),
        (
            "/api/v1/tenants/{tenant}/states/{type}/{*id}",
            read("signet/events", get(states::one)),
        ),
        (
            "/api/v1/tenants/{tenant}/replays",
            read("signet/replays", get(replays::list))
                .merge(write("signet/replays", post(replays::start))),
        ),
        (
            "/api/v1/tenants/{tenant}/replays/{id}",
            read("signet/replays", get(replays::one))
                .merge(write("signet/replays", delete(replays::cancel))),
        ),
        (
            "/api/v1/tenants/{tenant}/subscriptions",
            read("signet/subscriptions", get(subscriptions::list)),
        ),
        (
            "/api/v1/tenants/{tenant}/subscriptions/{name}",
            read("signet/subscriptions", get(subscriptions::one)),
        ),
        (
            "/api/v1/tenants/{tenant}/dead-letters",
            read("signet/dead-letters", get(dead_letters::list)),
        ),
        (
            "/api/v1/tenants/{tenant}/projections",
            read("signet/projections", get(projections::list)),
        ),
        (
            "/api/v1/tenants/{tenant}/projections/{name}",
            read("signet/projections", get(projections::one)),
        ),
        (
            "/api/v1/tenants/{tenant}/checkpoints",
            read("signet/checkpoints", get(checkpoints::list)),
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
