//! JSON bodies, and what is wrong with one.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use http::header;
use serde::de::DeserializeOwned;

use super::ApiError;

/// A JSON body. It must be declared as one: a page of another origin cannot do that unasked.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let declared = request.headers().get(header::CONTENT_TYPE);
        if !declared.is_some_and(|kind| kind.to_str().is_ok_and(is_json)) {
            return Err(ApiError::NotJson);
        }
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection {
                    BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                        ApiError::BodyTooLarge
                    }
                    _ => invalid("the body cannot be read"),
                })?;
        // serde_json names the place and the field; its messages do not repeat long values.
        serde_json::from_slice(&bytes)
            .map(JsonBody)
            .map_err(|error| {
                invalid(&format!(
                    "the body is not what is expected here: {}",
                    described(&error)
                ))
            })
    }
}

/// A value of the wrong type would be repeated in the message; it may be a token.
fn described(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let text = error.to_string();
    match error.classify() {
        Category::Data if text.starts_with("invalid type") || text.starts_with("invalid value") => {
            let expected = text.split("expected ").last().unwrap_or_default();
            format!("expected {expected}")
        }
        _ => text,
    }
}

fn invalid(problem: &str) -> ApiError {
    ApiError::InvalidRequest {
        problem: problem.to_owned(),
        parameter: None,
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_repeated_in_an_error() {
        let error = serde_json::from_str::<u32>("\"secret\"").unwrap_err();
        assert_eq!(described(&error), "expected u32 at line 1 column 8");
    }

    #[test]
    fn json_by_its_names() {
        for json in [
            "application/json",
            "application/json; charset=utf-8",
            "application/a+json",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "",
            "json",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
