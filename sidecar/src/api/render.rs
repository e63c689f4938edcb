//! What every answer has: a request id, the one shape of errors, no caching; and it is counted.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use http::{HeaderName, HeaderValue, header};
use tracing::{debug, error};
use uuid::Uuid;

use super::{ApiError, Parts};
use crate::clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// The id of a request: the caller's if it gave a sane one.
#[derive(Debug, Clone)]
struct RequestId(HeaderValue);

impl RequestId {
    fn of(request: &Request) -> Self {
        let given = request
            .headers()
            .get(REQUEST_ID)
            .filter(|id| is_sane(id.as_bytes()));
        let made = || HeaderValue::try_from(Uuid::new_v4().to_string());
        Self(
            given
                .cloned()
                .map_or_else(made, Ok)
                .unwrap_or(HeaderValue::from_static("unknown")),
        )
    }

    fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Gives the request an id, and the answer the same one.
pub(super) async fn request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

/// Writes errors in their shape, forbids caching, counts and logs.
pub(super) async fn answers(
    State(parts): State<Arc<Parts>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.unwrap_or_else(|| RequestId::of(&request));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let body = Json(error.body(&clock::rfc3339_now(), id.as_str())).into_response();
        let (mut head, _) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.extend(body.headers().clone());
        response = Response::from_parts(head, body.into_body());
        debug!(request_id = id.as_str(), code = error.code(), problem = %error, "refused");
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let status = response.status();
    parts
        .metrics
        .requests
        .with_label_values(&[route, status.as_str()])
        .inc();
    debug!(request_id = id.as_str(), %method, route, status = status.as_u16(),
        took = ?began.elapsed(), "answered");
    response
}

/// A handler panicked.
pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    error!(cause, "a handler panicked");
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_only_when_it_is_sane() {
        for sane in ["a", "0190-x_y.z", &"a".repeat(128)] {
            assert!(is_sane(sane.as_bytes()), "{sane}");
        }
        for other in ["", "a b", "a\"b", "é", &"a".repeat(129)] {
            assert!(!is_sane(other.as_bytes()), "{other}");
        }
    }
}
