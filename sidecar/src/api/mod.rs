//! The API on localhost, as applications speak it: plain HTTP/1.1, text or JSON.
//!
//! **Here:** what a request must look like, and what an answer looks like. Every handler extracts,
//! calls a part, and maps; [`ApiError`] does the rest. **Never here:** a rule about tokens, roles or
//! ids.
//!
//! **The way through:** `guard` (request id, Host and Origin, no token in the query, started) →
//! a handler → `render`, which writes errors in their one shape.

mod accept;
mod access;
mod body;
mod error;
mod guard;
mod ids;
mod own_token;
mod query;
mod render;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use self::error::ApiError;
pub use self::guard::AllowedHosts;
use crate::access::Access;
use crate::central::Connection;
use crate::content::Content;
use crate::identity::OwnTokens;
use crate::ids::Generators;
use crate::metrics::Metrics;
use crate::startup::Startup;

/// A batch of a thousand questions with a token of 16 KiB fits.
const LARGEST_BODY_BYTES: usize = 1024 * 1024;

/// The parts that answer.
#[derive(Debug)]
pub struct Parts {
    /// Whom the sidecar stands for.
    pub tenant: String,
    /// In which namespace.
    pub namespace: String,
    /// In which pod.
    pub pod: String,
    /// Which Host headers are ours.
    pub hosts: AllowedHosts,
    /// Verifies and decides.
    pub access: Access,
    /// Hands out ids.
    pub generators: Arc<Generators>,
    /// The workload's own tokens.
    pub tokens: Arc<OwnTokens>,
    /// What is held.
    pub content: Arc<Content>,
    /// The way to central.
    pub connection: Arc<Connection>,
    /// How far the start is.
    pub startup: Arc<Startup>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The API over these parts.
pub fn router(parts: Arc<Parts>) -> Router {
    let served = Router::new()
        // A HEAD that took an id would take it for nobody.
        .route(
            "/v1/ids/{generator}",
            get(ids::take).head(async || ([(http::header::ALLOW, "GET")], ApiError::MethodNotAllowed)),
        )
        .route("/v1/token", get(own_token::get))
        .route("/v1/token/verify", post(access::verify))
        .route("/v1/authorize", post(access::authorize))
        .route("/v1/authorize/batch", post(access::authorize_batch))
        .route_layer(from_fn_with_state(Arc::clone(&parts), guard::started));
    Router::new()
        .merge(served)
        .route("/v1/status", get(status::get))
        .fallback(async || ApiError::NoSuchPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY_BYTES))
        .layer(CatchPanicLayer::custom(render::panicked))
        .layer(from_fn_with_state(Arc::clone(&parts), guard::admit))
        .layer(from_fn_with_state(Arc::clone(&parts), render::answers))
        .layer(from_fn(render::request_id))
        .with_state(parts)
}
