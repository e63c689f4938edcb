//! What can be wrong with a request, and how the answer says so.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use idgen::ErrorCode;
use serde_json::{Value, json};

use crate::access::AccessError;
use crate::identity::OwnTokenError;
use crate::ids::IdError;

/// Every answer that is not the one asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// A parameter or the body is wrong.
    #[error("{problem}")]
    InvalidRequest {
        /// What is wrong, a sentence.
        problem: String,
        /// Which parameter.
        parameter: Option<String>,
    },
    /// A parameter of a request for ids is wrong.
    #[error("{problem}")]
    InvalidIdRequest {
        /// What is wrong, a sentence.
        problem: String,
        /// Which parameter.
        parameter: &'static str,
    },
    /// A token stands in the query string.
    #[error(
        "a token in a query string ends up in logs: send it in the JSON body (parameter {parameter:?})"
    )]
    TokenInQuery {
        /// Which parameter.
        parameter: String,
    },
    /// The Host header is not ours: DNS rebinding.
    #[error(
        "the Host header is not localhost: use http://127.0.0.1, or set SIGNET_URL on the sidecar to \
         the URL it is reached at"
    )]
    ForeignHost,
    /// A page of another origin asks.
    #[error("the request comes from a page of another origin")]
    ForeignOrigin,
    /// `GET /v1/token` without the header that no forged request has.
    #[error("add the header `Signet-Request: true`, which a forged request cannot have")]
    HeaderMissing,
    /// There is no such path.
    #[error("there is no such path: see the sidecar's interface under /v1")]
    NoSuchPath,
    /// The path is there, for another method.
    #[error("this path does not answer this method: see the header Allow")]
    MethodNotAllowed,
    /// The body is larger than a mebibyte.
    #[error("the body is larger than 1 MiB: ask in several batches")]
    BodyTooLarge,
    /// The body is not declared as JSON.
    #[error("send JSON, with the header `Content-Type: application/json`")]
    NotJson,
    /// The sidecar is starting.
    #[error("the sidecar is starting: {reason}")]
    Starting {
        /// What it waits for.
        reason: String,
    },
    /// A token, or the sidecar's right to judge it.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Ids.
    #[error(transparent)]
    Ids(#[from] IdError),
    /// The workload's own token.
    #[error(transparent)]
    OwnToken(#[from] OwnTokenError),
    /// A fault of ours.
    #[error("the sidecar failed; its log says why, under the request's id")]
    Internal,
}

impl ApiError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "SIGNET-SIDECAR-0001",
            Self::InvalidIdRequest { .. } => ErrorCode::InvalidRequest.as_str(),
            Self::TokenInQuery { .. } => "SIGNET-SIDECAR-0002",
            Self::ForeignHost => "SIGNET-SIDECAR-0003",
            Self::ForeignOrigin => "SIGNET-SIDECAR-0004",
            Self::HeaderMissing => "SIGNET-SIDECAR-0005",
            Self::NoSuchPath => "SIGNET-SIDECAR-0006",
            Self::MethodNotAllowed => "SIGNET-SIDECAR-0007",
            Self::BodyTooLarge => "SIGNET-SIDECAR-0008",
            Self::NotJson => "SIGNET-SIDECAR-0009",
            Self::Starting { .. }
            | Self::Access(AccessError::Missing(_))
            | Self::OwnToken(OwnTokenError::NotStarted) => "SIGNET-SIDECAR-0010",
            Self::Access(AccessError::Expired { .. }) => "SIGNET-SIDECAR-0011",
            Self::Access(AccessError::TenantClosed) => "SIGNET-SIDECAR-0012",
            Self::Access(AccessError::WrongTenant) => "SIGNET-SIDECAR-0013",
            Self::Access(AccessError::Rejected(rejection)) => rejection.code(),
            Self::OwnToken(OwnTokenError::Unavailable(_)) => "SIGNET-SIDECAR-0014",
            Self::OwnToken(OwnTokenError::Refused(_)) => "SIGNET-SIDECAR-0015",
            Self::OwnToken(OwnTokenError::UnknownAudience { .. }) => "SIGNET-SIDECAR-0016",
            Self::OwnToken(OwnTokenError::TenantClosed) => "SIGNET-SIDECAR-0017",
            Self::Ids(error) => error.code(),
            Self::Internal => "SIGNET-SIDECAR-0018",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidRequest { .. }
            | Self::InvalidIdRequest { .. }
            | Self::TokenInQuery { .. }
            | Self::OwnToken(OwnTokenError::UnknownAudience { .. }) => StatusCode::BAD_REQUEST,
            Self::Access(
                AccessError::Rejected(_) | AccessError::TenantClosed | AccessError::WrongTenant,
            ) => StatusCode::UNAUTHORIZED,
            Self::ForeignHost
            | Self::ForeignOrigin
            | Self::HeaderMissing
            | Self::OwnToken(OwnTokenError::Refused(_) | OwnTokenError::TenantClosed)
            | Self::Ids(IdError::TenantClosed) => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::Ids(IdError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Starting { .. }
            | Self::Access(AccessError::Missing(_) | AccessError::Expired { .. })
            | Self::OwnToken(OwnTokenError::NotStarted | OwnTokenError::Unavailable(_))
            | Self::Ids(
                IdError::Exhausted { .. }
                | IdError::Late { .. }
                | IdError::Crowded { .. }
                | IdError::Unreachable { .. }
                | IdError::NotStarted,
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// When to try again: with every 503. What heals by itself in moments comes first.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            _ if self.status() != StatusCode::SERVICE_UNAVAILABLE => return None,
            Self::Ids(IdError::Exhausted { .. }) => 30,
            Self::Access(AccessError::Expired { .. }) => 10,
            Self::Ids(IdError::Unreachable { .. }) | Self::OwnToken(_) => 5,
            _ => 1,
        };
        Some(Duration::from_secs(seconds))
    }

    fn details(&self) -> Value {
        match self {
            Self::InvalidRequest {
                parameter: Some(parameter),
                ..
            }
            | Self::TokenInQuery { parameter } => json!({ "parameter": parameter }),
            Self::InvalidIdRequest { parameter, .. } => json!({ "parameter": parameter }),
            Self::Access(AccessError::Expired { content, age }) => {
                json!({ "reason": "content_expired", "content": content, "age_seconds": age.as_secs() })
            }
            Self::Access(error) => json!({ "reason": error.reason() }),
            Self::Ids(
                IdError::Unknown { name }
                | IdError::Exhausted { name }
                | IdError::Late { name, .. }
                | IdError::Crowded { name }
                | IdError::Unreachable { name, .. },
            ) => json!({ "generator": name }),
            Self::OwnToken(OwnTokenError::UnknownAudience { known, .. }) => {
                json!({ "audiences": known })
            }
            _ => Value::Null,
        }
    }

    /// The JSON of the answer, for the request of this id.
    pub(super) fn body(&self, timestamp: &str, request_id: &str) -> Value {
        json!({ "error": {
            "code": self.code(),
            "message": self.to_string(),
            "details": self.details(),
            "timestamp": timestamp,
            "request_id": request_id,
        }})
    }
}

impl IntoResponse for ApiError {
    /// Status and headers; the room `render` writes the body, for it knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3.1
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}
