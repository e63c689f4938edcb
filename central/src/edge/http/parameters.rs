//! Query parameters and bodies, refused in the shape of all errors.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::ServiceError;

/// The query of a call.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(invalid("query", error.body_text()).into_response()),
        }
    }
}

/// The JSON body of a call.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(invalid("body", error.body_text()).into_response()),
        }
    }
}

/// A refusal that names what is wrong.
pub(super) fn invalid(name: &'static str, message: impl Into<String>) -> ServiceError {
    let message = message.into();
    ServiceError::InvalidArgument { name, message }
}

/// The length of a page, of at most `most`.
pub(super) fn page_length(limit: Option<usize>, most: usize) -> Result<usize, ServiceError> {
    let limit = limit.unwrap_or(100);
    match (1..=most).contains(&limit) {
        true => Ok(limit),
        false => Err(invalid("limit", format!("give 1 to {most}"))),
    }
}

/// A time as RFC 3339 has it.
pub(super) fn moment(
    name: &'static str,
    text: Option<&str>,
) -> Result<Option<OffsetDateTime>, ServiceError> {
    let Some(text) = text else { return Ok(None) };
    // A plus that was not encoded arrives as a space.
    let time = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339);
    time.map(Some)
        .map_err(|_| invalid(name, "give a time as 2026-11-21T17:00:00Z (RFC 3339)"))
}

/// A position, version or other number of a path.
pub(super) fn number(name: &'static str, text: &str) -> Result<u64, ServiceError> {
    text.parse().map_err(|_| invalid(name, "give a number"))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{moment, page_length};

    #[test]
    fn a_time_may_have_an_offset_whose_plus_was_not_encoded() {
        let time = |text| moment("from", Some(text)).unwrap();
        let there = Some(datetime!(2026-11-21 16:00 UTC));
        assert_eq!(time("2026-11-21T17:00:00+01:00"), there);
        assert_eq!(time("2026-11-21T17:00:00 01:00"), there);
        assert_eq!(moment("from", None).unwrap(), None);
        let refused = moment("from", Some("yesterday")).unwrap_err();
        assert!(refused.to_string().starts_with("from: "), "{refused}");
    }

    #[test]
    fn a_page_has_a_bound() {
        assert_eq!(page_length(None, 1000).unwrap(), 100);
        assert_eq!(page_length(Some(1000), 1000).unwrap(), 1000);
        assert!(page_length(Some(0), 1000).is_err());
        assert!(page_length(Some(1001), 1000).is_err());
    }
}
