//! The id that ties an answer, its errors and its log lines together.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The header a caller may set and always finds in the answer.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_LENGTH: usize = 128;

/// The id of one call: the caller's own when it is sane, else a new UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .and_then(Self::parse);
        given.unwrap_or_else(|| Self(Uuid::new_v4().to_string()))
    }

    /// One that a caller may give; none if it is not sane.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let sane = !text.is_empty() && text.len() <= MAX_LENGTH && text.chars().all(allowed);
        sane.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As the correlation id of events: itself if it is a UUID, else one that is made of it. Stored
    /// events are found by it, so it must never be made otherwise.
    pub(crate) fn correlation_id(&self) -> Uuid {
        Uuid::try_parse(&self.0).unwrap_or_else(|_| {
            let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            uuid::Builder::from_custom_bytes(bytes).into_uuid()
        })
    }
}

/// Gives every call its id, and the answer the same.
pub(crate) async fn assign(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use uuid::Uuid;

    use super::{RequestId, X_REQUEST_ID};

    fn of(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(of("order-7:retry_2.a"), "order-7:retry_2.a");
    }

    #[test]
    fn anything_else_is_replaced_by_a_uuid() {
        let long = "x".repeat(129);
        for value in ["", "a b", "<script>", "\u{e4}", long.as_str()] {
            assert!(Uuid::try_parse(&of(value)).is_ok(), "{value}");
        }
    }

    #[test]
    fn every_id_is_a_correlation_id_and_always_the_same() {
        let correlation = |text: &str| RequestId::parse(text).unwrap().correlation_id();
        let uuid = Uuid::from_u128(7);
        assert_eq!(correlation(&uuid.to_string()), uuid);
        let made = correlation("order-7");
        assert_eq!(made.to_string(), "df8cf802-27ec-8237-922d-f0ecd88385c5");
        assert_ne!(made, correlation("order-8"));
    }
}
