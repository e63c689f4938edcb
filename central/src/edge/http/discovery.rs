//! What anybody may know of a tenant: where its issuer is, and its public keys.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use serde_json::json;

use super::token_endpoint::TOKEN_EXCHANGE;
use crate::{directory::Content, edge::Application, error::ServiceError};

/// Consumers that keep keys longer than this could miss a new one before it signs.
const LONGEST_CACHE: Duration = Duration::from_secs(300);

/// The provider's metadata (OpenID Connect Discovery 1.0 section 3): only what is true of this
/// release, which has neither an authorization endpoint nor id tokens of its own.
pub(super) async fn configuration(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
) -> Result<Response, ServiceError> {
    let realm = application.published(&tenant)?;
    let issuer = application.config.issuer(&tenant);
    let algorithms: BTreeSet<&str> = realm.keys().map(|key| key.algorithm.as_str()).collect();
    let body = Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": [TOKEN_EXCHANGE],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }));
    Ok(([(CACHE_CONTROL, cache(&application))], body).into_response())
}

/// The tenant's published keys (RFC 7517 section 5). Of a closed tenant there are none.
pub(super) async fn jwks(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ServiceError> {
    let realm = application.published(&tenant)?;
    let etag = format!("\"{}\"", realm.version(Content::Keys, ""));
    let caching = [(CACHE_CONTROL, cache(&application)), (ETAG, header(&etag))];
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let mut response = (caching, Json(realm.jwks())).into_response();
    let kind = HeaderValue::from_static("application/jwk-set+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn cache(application: &Application) -> HeaderValue {
    let age = application.config.key_propagation.min(LONGEST_CACHE);
    header(&format!("public, max-age={}", age.as_secs()))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("no-store"))
}
