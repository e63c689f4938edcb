//! What happens to every call: a span, a time limit, a net under panics, errors in one shape, counts.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::request_id::RequestId;
use crate::{error::ServiceError, metrics::Metrics};

/// Longest time to the head of an answer.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Methods that are counted under their own name; there is no counting what callers invent.
const GRPC_METHODS: [&str; 14] = [
    "ApplyTenant",
    "DeleteTenant",
    "ApplyRole",
    "DeleteRole",
    "ApplyIdGenerator",
    "DeleteIdGenerator",
    "Subscribe",
    "AllocateRange",
    "ExchangeToken",
    "Check",
    "Watch",
    "List",
    "ServerReflectionInfo",
    "other",
];

impl IntoResponse for ServiceError {
    /// The error travels as an extension; [`call`] gives it the shape its caller understands.
    fn into_response(self) -> Response {
        let mut response = self.http_status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let mut status = Self::new(error.grpc_code(), error.to_string());
        if let Ok(code) = error.code().parse() {
            status.metadata_mut().insert("signet-code", code);
        }
        if let Some(pause) = error.retry_after() {
            let seconds = pause.as_secs().into();
            status.metadata_mut().insert("retry-after", seconds);
        }
        if let ServiceError::Internal(cause) = &error {
            tracing::error!(cause, "a call failed");
        }
        status
    }
}

/// Whether a call speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.starts_with("application/grpc"))
}

/// Runs one call inside its span and its time limit, and counts it.
pub(crate) async fn call(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = route(&request);
    let id = request.extensions().get::<RequestId>().cloned();
    let request_id = id.as_ref().map_or("", RequestId::as_str).to_owned();
    let grpc = is_grpc(request.headers());
    let span = tracing::info_span!("call", request_id, method = %request.method(), route);

    let limited = tokio::time::timeout(TIME_LIMIT, next.run(request));
    let answered = limited.instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| ServiceError::TimedOut.into_response());
    if let Some(error) = response.extensions_mut().remove::<ServiceError>() {
        response = span.in_scope(|| {
            if grpc {
                Status::from(error).into_http()
            } else {
                shape(&error, &request_id)
            }
        });
    }

    let status = outcome(&response, grpc);
    metrics
        .requests
        .with_label_values(&[route.as_str(), status.as_str()])
        .inc();
    metrics
        .latency
        .with_label_values(&[&route])
        .observe(started.elapsed().as_secs_f64());
    span.in_scope(|| {
        let milliseconds = started.elapsed().as_millis();
        if response.status().is_server_error() {
            tracing::warn!(status, milliseconds, "answered");
        } else {
            tracing::debug!(status, milliseconds, "answered");
        }
    });
    response
}

/// What a panic of a handler is answered with; its cause stays in the log.
pub(crate) fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    ServiceError::Internal(format!("panic: {cause}")).into_response()
}

fn shape(error: &ServiceError, request_id: &str) -> Response {
    if let ServiceError::Internal(cause) = error {
        tracing::error!(cause, "a call failed");
    }
    let timestamp = OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default();
    let body = Json(json!({ "error": {
        "code": error.code(),
        "message": error.to_string(),
        "details": error.details(),
        "timestamp": timestamp,
        "request_id": request_id,
    } }));
    let mut response = (error.http_status(), body).into_response();
    let headers = response.headers_mut();
    if let Some(pause) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs()));
    }
    if error.http_status() == StatusCode::UNAUTHORIZED {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"signet\""),
        );
    }
    response
}

/// The route as a label: what was declared, never what the caller wrote.
fn route(request: &Request) -> String {
    let Some(matched) = request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str)
    else {
        return "none".to_owned();
    };
    let Some(service) = matched.strip_suffix("/{*rest}") else {
        return matched.to_owned();
    };
    let method = request.uri().path().rsplit('/').next().unwrap_or_default();
    let method = if GRPC_METHODS.contains(&method) {
        method
    } else {
        "other"
    };
    format!("{service}/{method}")
}

/// The outcome as a label: the gRPC code of a gRPC answer, else the HTTP status. An answer that has
/// no gRPC code at its head went well so far.
fn outcome(response: &Response, grpc: bool) -> String {
    match response.headers().get(Status::GRPC_STATUS) {
        Some(status) => format!("{:?}", Code::from_bytes(status.as_bytes())),
        None if grpc && response.status() == StatusCode::OK => format!("{:?}", Code::Ok),
        None => response.status().as_u16().to_string(),
    }
}
