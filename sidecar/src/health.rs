//! `/live`, `/ready`, `/startup` and `/metrics`: all that is answered beyond the pod.
//!
//! Readiness does not depend on central: a sidecar that has started goes on with what it holds, and
//! taking its pod out of service would help nobody. What it can still do stands in the body.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use tracing::error;

use crate::api::{ApiError, Parts};
use crate::central::ConnectionState;
use crate::content::{KINDS, Standing, name_of};

/// Health and metrics over these parts.
pub fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/startup", get(startup))
        .route("/metrics", get(metrics))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(parts)
}

/// The process answers.
async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// 200 once started, for ever.
async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let started = parts.startup.is_started();
    let status = if started {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut content = Map::new();
    let mut expired = false;
    for kind in KINDS {
        let standing = match parts.content.freshness().standing(kind) {
            Standing::Expired { .. } => {
                expired = true;
                "expired"
            }
            Standing::Usable { .. } if parts.content.holds(kind) => "usable",
            Standing::Usable { .. } | Standing::Missing => "missing",
        };
        content.insert(name_of(kind).to_owned(), standing.into());
    }
    let (connected, problem) = match &*parts.connection.state().borrow() {
        ConnectionState::Connected => (true, None),
        ConnectionState::Connecting => (false, None),
        ConnectionState::Away { problem } => (false, Some(problem.clone())),
    };
    let mode = match (started, expired, connected) {
        (false, ..) => "starting",
        (true, true, _) => "failed-closed",
        (true, false, true) => "connected",
        (true, false, false) => "fail-static",
    };
    let freshness = parts.content.freshness();
    let body = json!({
        "ready": started,
        "mode": mode,
        "content": content,
        "central": {
            "connected": connected,
            "problem": problem,
            "last_contact_seconds_ago": freshness.since_contact().map(|age| age.as_secs()),
            "fail_static_seconds": freshness.fail_static().as_secs(),
        },
    });
    (status, Json(body)).into_response()
}

/// 200 once started, else what is waited for and why.
async fn startup(State(parts): State<Arc<Parts>>) -> Response {
    let progress = parts.startup.progress().borrow().clone();
    let status = if progress.started {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(progress)).into_response()
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response {
    set_gauges(&parts);
    match parts.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(problem) => {
            error!(%problem, "cannot write the metrics");
            ApiError::Internal.into_response()
        }
    }
}

/// What is true at a moment, rather than counted, is looked up when it is asked for.
fn set_gauges(parts: &Parts) {
    let metrics = &parts.metrics;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for generator in parts.generators.opened() {
        let label = &[generator.name()];
        metrics
            .ring_level
            .with_label_values(label)
            .set(signed(generator.level()));
        metrics
            .ring_capacity
            .with_label_values(label)
            .set(signed(generator.capacity()));
        let waiting = signed(generator.waiting() as u64);
        metrics.ring_waiters.with_label_values(label).set(waiting);
    }
    for kind in KINDS {
        let label = &[name_of(kind)];
        let (age, expired) = match parts.content.freshness().standing(kind) {
            Standing::Missing => continue,
            Standing::Usable { age } => (age, 0),
            Standing::Expired { age } => (age, 1),
        };
        metrics
            .content_age
            .with_label_values(label)
            .set(age.as_secs_f64());
        metrics
            .content_expired
            .with_label_values(label)
            .set(expired);
    }
    let defective = parts
        .content
        .policy()
        .map_or(0, |policy| policy.defective().len());
    metrics.defective_roles.set(signed(defective as u64));
    let contact = parts.content.freshness().since_contact();
    metrics
        .since_contact
        .set(contact.map_or(-1.0, |age| age.as_secs_f64()));
    metrics.own_token_remaining.reset();
    for (audience, remaining) in parts.tokens.remaining() {
        let gauge = metrics.own_token_remaining.with_label_values(&[audience]);
        gauge.set(remaining.as_secs_f64());
    }
}
