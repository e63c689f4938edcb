//! Errors of our HTTP ports, in the shape every Signet port has.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer that says what went wrong.
#[derive(Clone, Debug)]
pub(crate) struct HttpError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    request_id: String,
}

impl HttpError {
    /// For the request of these headers.
    pub(crate) fn new(
        headers: &HeaderMap,
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            request_id: request_id(headers),
        }
    }
}

/// The caller's request id if it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        (1..=128).contains(&id.len()) && id.bytes().all(allowed)
    };
    let given = headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(sane);
    given.map_or_else(|| Uuid::new_v4().to_string(), Into::into)
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = json!({
            "error": {
                "code": self.code,
                "message": self.message,
                "details": null,
                "timestamp": Timestamp::now().to_string(),
                "request_id": self.request_id,
            },
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

/// Whatever is not served.
pub(crate) async fn not_found(headers: HeaderMap) -> HttpError {
    let message = "there is nothing at this path";
    HttpError::new(
        &headers,
        StatusCode::NOT_FOUND,
        "SIGNET-OPERATOR-0050",
        message,
    )
}
