//! `/orders/{id}`: a service whose every answer is its own sidecar's decision about the caller's token.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::sidecar_url;

/// POST: the action `create`, with the JSON body as the request the rules see.
pub(crate) async fn create(
    State(client): State<reqwest::Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    decide(&client, &id, "create", &headers, &body).await
}

/// GET: the action `read`.
pub(crate) async fn read(
    State(client): State<reqwest::Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    decide(&client, &id, "read", &headers, &body).await
}

/// DELETE: the action `delete`.
pub(crate) async fn delete(
    State(client): State<reqwest::Client>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    decide(&client, &id, "delete", &headers, &body).await
}

/// 200 when allowed, 403 when not, 401 when the token does not hold, each with the sidecar's words.
async fn decide(
    client: &reqwest::Client,
    id: &str,
    action: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let Some(token) = bearer(headers) else {
        return answer(
            StatusCode::UNAUTHORIZED,
            &json!({ "reason": "no bearer token" }),
        );
    };
    let request: Value = if body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                return answer(
                    StatusCode::BAD_REQUEST,
                    &json!({ "reason": error.to_string() }),
                );
            }
        }
    };
    let question = json!({
        "token": token, "resource": format!("orders/{id}"), "action": action, "request": request,
    });
    match ask(client, &question).await {
        Ok((StatusCode::OK, decision)) if decision["allowed"] == true => {
            answer(StatusCode::OK, &decision)
        }
        Ok((StatusCode::OK, decision)) => answer(StatusCode::FORBIDDEN, &decision),
        Ok((StatusCode::UNAUTHORIZED, why)) => answer(StatusCode::UNAUTHORIZED, &why),
        Ok((status, body)) => answer(
            StatusCode::BAD_GATEWAY,
            &json!({ "reason": "the sidecar did not decide", "status": status.as_u16(), "body": body }),
        ),
        Err(error) => answer(
            StatusCode::BAD_GATEWAY,
            &json!({ "reason": format!("{error:#}") }),
        ),
    }
}

async fn ask(client: &reqwest::Client, question: &Value) -> anyhow::Result<(StatusCode, Value)> {
    let url = format!("{}/v1/authorize", sidecar_url()?);
    let answer = client.post(url).json(question).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body.clone())).into_response()
}
