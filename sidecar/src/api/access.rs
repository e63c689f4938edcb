//! `POST /v1/token/verify`, `POST /v1/authorize`, `POST /v1/authorize/batch`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use policy::Decision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use token::Claims;

use super::body::JsonBody;
use super::{ApiError, Parts};
use crate::access::Question;

/// The most questions of one batch.
const LARGEST_BATCH: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyRequest {
    token: String,
    audience: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizeRequest {
    token: String,
    audience: Option<String>,
    resource: String,
    action: String,
    request: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest {
    token: String,
    audience: Option<String>,
    requests: Vec<BatchQuestion>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchQuestion {
    resource: String,
    action: String,
    request: Option<Map<String, Value>>,
}

#[derive(Debug, Serialize)]
pub(super) struct BatchAnswer {
    /// In the order of the questions.
    decisions: Vec<Decision>,
}

/// The claims of a token that holds.
pub(super) async fn verify(
    State(parts): State<Arc<Parts>>,
    JsonBody(body): JsonBody<VerifyRequest>,
) -> Result<Json<Claims>, ApiError> {
    let claims = parts.access.verify(&body.token, body.audience.as_deref())?;
    Ok(Json(Claims::clone(&claims)))
}

/// Whether the bearer of a token may do something.
pub(super) async fn authorize(
    State(parts): State<Arc<Parts>>,
    JsonBody(body): JsonBody<AuthorizeRequest>,
) -> Result<Json<Decision>, ApiError> {
    named("resource", &body.resource)?;
    named("action", &body.action)?;
    let request = context(body.request);
    let question = Question {
        resource: &body.resource,
        action: &body.action,
        request: &request,
    };
    let decisions = parts
        .access
        .decide(&body.token, body.audience.as_deref(), [question])?;
    decisions
        .into_iter()
        .next()
        .map(Json)
        .ok_or(ApiError::Internal)
}

/// The same for many questions about one bearer.
pub(super) async fn authorize_batch(
    State(parts): State<Arc<Parts>>,
    JsonBody(body): JsonBody<BatchRequest>,
) -> Result<Json<BatchAnswer>, ApiError> {
    if !(1..=LARGEST_BATCH).contains(&body.requests.len()) {
        let problem = format!("requests must have 1 to {LARGEST_BATCH} members");
        return Err(invalid("requests", problem));
    }
    let mut asked = Vec::with_capacity(body.requests.len());
    for (index, question) in body.requests.into_iter().enumerate() {
        named(&format!("requests[{index}].resource"), &question.resource)?;
        named(&format!("requests[{index}].action"), &question.action)?;
        asked.push((
            question.resource,
            question.action,
            context(question.request),
        ));
    }
    let questions = asked.iter().map(|(resource, action, request)| Question {
        resource,
        action,
        request,
    });
    let decisions = parts
        .access
        .decide(&body.token, body.audience.as_deref(), questions)?;
    Ok(Json(BatchAnswer { decisions }))
}

fn context(request: Option<Map<String, Value>>) -> Value {
    Value::Object(request.unwrap_or_default())
}

fn named(parameter: &str, value: &str) -> Result<(), ApiError> {
    if value.is_empty() {
        return Err(invalid(parameter, format!("{parameter} must not be empty")));
    }
    Ok(())
}

fn invalid(parameter: &str, problem: String) -> ApiError {
    ApiError::InvalidRequest {
        problem,
        parameter: Some(parameter.to_owned()),
    }
}
