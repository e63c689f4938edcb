//! Query parameters and bodies, refused in the shape of all errors.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::wording;
use crate::error::ServiceError;

/// The query of a call.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        if let Some(name) = parts.uri.query().and_then(with_nul) {
            return Err(nul(name).into_response());
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(refused("query", &error.body_text(), &[]).into_response()),
        }
    }
}

/// That a call takes no parameters: one that is given was misspelt, or meant for another call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What of a body has to be given.
pub(super) trait Required {
    /// The members by their names, and what each must be.
    const REQUIRED: &[(&str, &str)];
}

/// The JSON body of a call.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + Required, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                let message = "send it with the header Content-Type: application/json";
                Err(invalid("body", message).into_response())
            }
            Err(JsonRejection::JsonSyntaxError(error)) => {
                let message = wording::no_json(&error.body_text());
                Err(invalid("body", message).into_response())
            }
            Err(error) => Err(refused("body", &error.body_text(), T::REQUIRED).into_response()),
        }
    }
}

/// A refusal that names what is wrong.
pub(super) fn invalid(
    name: impl Into<Cow<'static, str>>,
    message: impl Into<String>,
) -> ServiceError {
    let (name, message) = (name.into(), message.into());
    ServiceError::InvalidArgument { name, message }
}

/// That something is named by a NUL character, which no name has and PostgreSQL cannot be asked for.
fn nul(name: &str) -> ServiceError {
    let name = if is_name(name) { name } else { "query" };
    invalid(name.to_owned(), "give it without NUL characters")
}

/// The first parameter of a query that has one.
fn with_nul(query: &str) -> Option<&str> {
    let parameter = query
        .split('&')
        .find(|parameter| parameter.contains("%00"))?;
    parameter.split('=').next()
}

/// What a query or body is refused for, by the name of its part: axum and serde say
/// `What failed: NAME: why`, or `What failed: why`, with the name in backticks if there is one.
fn refused(whole: &'static str, text: &str, required: &[(&str, &str)]) -> ServiceError {
    let why = text.split_once(": ").map_or(text, |(_, why)| why);
    if let Some((name, why)) = why.split_once(": ")
        && is_name(name)
    {
        return invalid(name.to_owned(), wording::mend(Some(name), why, required));
    }
    let message = wording::mend(None, why, required);
    let quoted = why.split_once("field `").map(|(_, rest)| rest);
    let quoted = quoted.and_then(|rest| rest.split('`').next());
    match quoted.filter(|name| is_name(name)) {
        Some(name) => invalid(name.to_owned(), message),
        None => invalid(whole, message),
    }
}

/// Whether a text can be the name of a parameter or member, given or misspelt.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
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

    use super::{moment, nul, page_length, refused, with_nul};

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
    fn what_is_wrong_is_named_where_it_has_a_name() {
        for (why, name) in [
            ("tpye: unknown field `tpye`, expected `type`", "tpye"),
            ("after: invalid digit found in string", "after"),
            ("missing field `purpose` at line 1 column 2", "purpose"),
            ("duplicate field `limit`", "limit"),
            ("invalid type: sequence, expected a map", "query"),
            ("a b: unknown field `a b`", "query"),
        ] {
            let error = refused("query", &format!("Failed to read: {why}"), &[]);
            assert_eq!(error.details().unwrap()["parameter"], name, "{why}");
        }
    }

    #[test]
    fn a_parameter_with_a_nul_character_is_named() {
        assert_eq!(with_nul("limit=3&tenant=a%00b"), Some("tenant"));
        assert_eq!(with_nul("tenant=a%2500b"), None);
        assert!(nul("tenant").to_string().starts_with("tenant: "));
        assert!(nul("%00").to_string().starts_with("query: "));
    }

    #[test]
    fn a_page_has_a_bound() {
        assert_eq!(page_length(None, 1000).unwrap(), 100);
        assert_eq!(page_length(Some(1000), 1000).unwrap(), 1000);
        assert!(page_length(Some(0), 1000).is_err());
        assert!(page_length(Some(1001), 1000).is_err());
    }
}
