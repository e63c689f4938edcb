//! `GET /v1/token`

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use http::HeaderMap;
use serde::Serialize;

use super::query::pairs;
use super::{ApiError, Parts};
use crate::clock::Moment;

/// RFC 6749 §5.1, as far as it applies.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// The workload's own token for an audience.
pub(super) async fn get(
    State(parts): State<Arc<Parts>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<TokenAnswer>, ApiError> {
    let header = headers.get("signet-request");
    if !header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
        return Err(ApiError::HeaderMissing);
    }
    let audience = audience(query.as_deref().unwrap_or_default())?;
    let token = parts.tokens.get(audience.as_deref()).await?;
    Ok(Json(TokenAnswer {
        access_token: token.access_token.to_string(),
        token_type: "Bearer",
        expires_in: token.remaining(Moment::now()).as_secs(),
    }))
}

fn audience(query: &str) -> Result<Option<String>, ApiError> {
    let mut audience = None;
    for (name, value) in pairs(query) {
        if name != "audience" || audience.is_some() {
            return Err(ApiError::InvalidRequest {
                problem: "there is one parameter here, given once at most: audience".to_owned(),
                parameter: Some(if name == "audience" {
                    name
                } else {
                    "query".to_owned()
                }),
            });
        }
        audience = Some(value);
    }
    Ok(audience)
}
