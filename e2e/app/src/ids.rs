//! `POST /ids`: takes ids from the sidecar, one by one or in batches.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sidecar_url;

/// How many ids of which generator, and how many a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Take {
    generator: String,
    count: usize,
    /// Above 1: `?count=N` is asked for. Else one id a call.
    #[serde(default)]
    batch: usize,
}

/// Answers `{"ids": [text…], "error": null}`. A call that fails ends the loop: what was taken until then
/// is in `ids`, and `error` is `{"status", "code", "body"}` (`status` null when there was no answer).
pub(crate) async fn take(
    State(client): State<reqwest::Client>,
    Json(take): Json<Take>,
) -> Json<Value> {
    let mut ids: Vec<String> = Vec::with_capacity(take.count.min(1_000_000));
    let mut failure = Value::Null;
    while ids.len() < take.count {
        match ask(&client, &take, take.count - ids.len()).await {
            Ok(more) => ids.extend(more),
            Err(error) => {
                failure = error;
                break;
            }
        }
    }
    Json(json!({ "ids": ids, "error": failure }))
}

async fn ask(client: &reqwest::Client, take: &Take, missing: usize) -> Result<Vec<String>, Value> {
    let base = sidecar_url().map_err(no_answer)?;
    let mut url = format!("{base}/v1/ids/{}", take.generator);
    if take.batch > 1 {
        url.push_str(&format!("?count={}", take.batch.min(missing)));
    }
    let answer = client.get(&url).send().await.map_err(no_answer)?;
    let status = answer.status();
    let body = answer.text().await.map_err(no_answer)?;
    if !status.is_success() {
        let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
        return Err(json!({
            "status": status.as_u16(),
            "code": parsed["error"]["code"],
            "body": body,
        }));
    }
    let ids: Vec<String> = body.lines().map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(
            json!({ "status": status.as_u16(), "code": null, "body": "a success without ids" }),
        );
    }
    Ok(ids)
}

fn no_answer(error: impl std::fmt::Display) -> Value {
    json!({ "status": null, "code": null, "body": error.to_string() })
}
