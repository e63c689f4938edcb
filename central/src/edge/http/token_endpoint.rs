//! The token endpoint of a tenant: token exchange (RFC 8693), errors as RFC 6749 section 5.2 has them.

use std::sync::Arc;

use axum::{
    Form, Json,
    extract::{Path, State, rejection::FormRejection},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, PRAGMA, RETRY_AFTER},
};
use serde_json::json;

use crate::{
    authentication::{AuthenticationError, Caller, Workload},
    edge::Application,
    error::ServiceError,
    exchange::{ExchangeError, Issued},
};

/// The grant type of RFC 8693 section 2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// An error as OAuth writes it.
#[derive(Debug)]
struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
}

/// A request that is one by its form.
#[derive(Debug, PartialEq, Eq)]
struct ExchangeRequest {
    subject_token: String,
    audiences: Vec<String>,
    issued_token_type: &'static str,
}

/// Exchanges a ServiceAccount token for one of the tenant.
pub(super) async fn token(
    State(application): State<Arc<Application>>,
    Path(tenant): Path<String>,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Response {
    if let Err(error) = application.published(&tenant) {
        return error.into_response();
    }
    match answer(&application, &tenant, form).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(
    application: &Application,
    tenant: &str,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, OAuthError> {
    let Form(fields) = form.map_err(|error| match error.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => OAuthError {
            status,
            ..OAuthError::invalid("the body is too large")
        },
        _ => OAuthError::invalid("give the parameters as application/x-www-form-urlencoded"),
    })?;
    let request = ExchangeRequest::parse(fields)?;
    let workload = subject(application, &request.subject_token).await?;
    let issued = application
        .exchange
        .exchange(&workload, tenant, &request.audiences)
        .await?;
    Ok(success(&issued, request.issued_token_type))
}

async fn subject(application: &Application, token: &str) -> Result<Workload, OAuthError> {
    match application.gate.bearer_of(token).await {
        Ok(Caller::Workload(workload)) => Ok(workload),
        Ok(Caller::Operator | Caller::Administrator) => {
            Err(OAuthError::invalid("subject_token: it is not a workload's"))
        }
        // RFC 8693 section 2.2.2 wants this code for a token that does not hold.
        Err(AuthenticationError::Refused(reason)) => {
            Err(OAuthError::invalid(format!("subject_token: {reason}")))
        }
        Err(AuthenticationError::Unavailable(reason)) => {
            tracing::warn!(reason, "a subject token could not be reviewed");
            Err(OAuthError::unavailable(
                ServiceError::AuthenticationUnavailable.to_string(),
            ))
        }
    }
}

fn success(issued: &Issued, issued_token_type: &str) -> Response {
    let body = Json(json!({
        "access_token": issued.token,
        "issued_token_type": issued_token_type,
        "token_type": "Bearer",
        "expires_in": issued.lifetime.as_secs(),
    }));
    never_stored(body.into_response())
}

impl ExchangeRequest {
    fn parse(fields: Vec<(String, String)>) -> Result<Self, OAuthError> {
        let mut fields = Fields(fields);
        match fields.one("grant_type")?.as_deref() {
            None => return Err(OAuthError::invalid("grant_type is missing")),
            Some(TOKEN_EXCHANGE) => {}
            Some(_) => {
                return Err(OAuthError {
                    error: "unsupported_grant_type",
                    ..OAuthError::invalid(format!("grant_type: only {TOKEN_EXCHANGE} is served"))
                });
            }
        }
        let subject_token = fields
            .one("subject_token")?
            .ok_or_else(|| OAuthError::invalid("subject_token is missing"))?;
        match fields.one("subject_token_type")?.as_deref() {
            Some(JWT | ACCESS_TOKEN) => {}
            None => return Err(OAuthError::invalid("subject_token_type is missing")),
            Some(_) => {
                let message = format!("subject_token_type: give {JWT} or {ACCESS_TOKEN}");
                return Err(OAuthError::invalid(message));
            }
        }
        let issued_token_type = match fields.one("requested_token_type")?.as_deref() {
            None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
            Some(JWT) => JWT,
            Some(_) => {
                let message = format!("requested_token_type: give {ACCESS_TOKEN} or {JWT}");
                return Err(OAuthError::invalid(message));
            }
        };
        if fields.one("actor_token")?.is_some() || fields.one("actor_token_type")?.is_some() {
            return Err(OAuthError::invalid("actor_token: delegation is not served"));
        }
        if !fields.all("resource").is_empty() {
            let message = "resource: name the audience instead";
            return Err(OAuthError {
                error: "invalid_target",
                ..OAuthError::invalid(message)
            });
        }
        if fields.one("scope")?.is_some() {
            let message = "scope: rights come from roles, not from scopes; leave it out";
            return Err(OAuthError {
                error: "invalid_scope",
                ..OAuthError::invalid(message)
            });
        }
        Ok(Self {
            subject_token,
            audiences: fields.all("audience"),
            issued_token_type,
        })
    }
}

/// The parameters that are left to be read. An empty one counts as left out (RFC 6749 section 3.2).
struct Fields(Vec<(String, String)>);

impl Fields {
    fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.0.extract_if(.., |(key, _)| key == name);
        taken
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
            .collect()
    }

    fn one(&mut self, name: &str) -> Result<Option<String>, OAuthError> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(OAuthError::invalid(format!(
                "{name} is there more than once"
            ))),
        }
    }
}

impl OAuthError {
    fn invalid(description: impl Into<String>) -> Self {
        let (status, error) = (StatusCode::BAD_REQUEST, "invalid_request");
        Self {
            status,
            error,
            description: description.into(),
        }
    }

    fn unavailable(description: impl Into<String>) -> Self {
        let (status, error) = (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
        Self {
            status,
            error,
            description: description.into(),
        }
    }
}

impl From<ExchangeError> for OAuthError {
    fn from(error: ExchangeError) -> Self {
        let description = error.to_string();
        match error {
            ExchangeError::UnknownAudience(_) => Self {
                error: "invalid_target",
                ..Self::invalid(description)
            },
            ExchangeError::Service(error) => match error.http_status() {
                // RFC 8693 section 2.2.2 wants this code for a token that policy does not accept.
                StatusCode::FORBIDDEN => Self::invalid(description),
                StatusCode::SERVICE_UNAVAILABLE => Self::unavailable(description),
                status => {
                    tracing::error!(%error, cause = ?error, "an exchange failed");
                    Self {
                        status,
                        error: "server_error",
                        description,
                    }
                }
            },
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        never_stored(response)
    }
}

fn never_stored(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests;
