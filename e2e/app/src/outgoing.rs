//! `POST /request`: a request made from inside the pod, as a test describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// What to send. In the URL, header values and a text body, `${file:PATH}` becomes the file's text and
/// `${env:NAME}` the environment variable's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outgoing {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text is sent as it is, anything else as JSON.
    #[serde(default)]
    body: Value,
    /// Instead of `body`: bytes.
    body_base64: Option<String>,
    /// The only certificates that may have signed the server's, as PEM text.
    ca: Option<String>,
    /// Takes any certificate.
    #[serde(default)]
    insecure: bool,
    /// Speaks HTTP/2 from the first byte, as gRPC does.
    #[serde(default)]
    http2: bool,
    #[serde(default = "ten")]
    timeout_seconds: u64,
}

fn get() -> String {
    "GET".to_owned()
}

fn ten() -> u64 {
    10
}

/// Performs it. Answers 200 with `{"status", "headers", "body", "body_base64"}`, or with `{"error"}`
/// when there was no answer.
pub(crate) async fn request(Json(outgoing): Json<Outgoing>) -> Json<Value> {
    Json(match perform(outgoing).await {
        Ok(answer) => answer,
        Err(error) => json!({ "error": format!("{error:#}") }),
    })
}

async fn perform(outgoing: Outgoing) -> anyhow::Result<Value> {
    let client = client(&outgoing)?;
    let method = reqwest::Method::from_bytes(outgoing.method.as_bytes()).context("method")?;
    let mut request = client.request(method, fill(&outgoing.url)?);
    for (name, value) in &outgoing.headers {
        request = request.header(name, fill(value)?);
    }
    request = match (outgoing.body_base64, outgoing.body) {
        (Some(encoded), _) => request.body(STANDARD.decode(encoded).context("body_base64")?),
        (None, Value::Null) => request,
        (None, Value::String(text)) => request.body(fill(&text)?),
        (None, value) => request.json(&value),
    };
    let answer = request.send().await.context("no answer")?;
    let status = answer.status().as_u16();
    let headers: BTreeMap<String, String> = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = answer.bytes().await.context("the answer's body")?;
    Ok(json!({
        "status": status,
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
        "body_base64": STANDARD.encode(&body),
    }))
}

/// A client for plain HTTP in the pod. It trusts no certificate, so that it needs none of the system's.
pub(crate) fn local_client() -> anyhow::Result<reqwest::Client> {
    Ok(base(10).build()?)
}

fn client(outgoing: &Outgoing) -> anyhow::Result<reqwest::Client> {
    let mut builder = base(outgoing.timeout_seconds);
    if let Some(pem) = &outgoing.ca {
        builder = builder
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).context("ca")?);
    }
    if outgoing.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if outgoing.http2 {
        builder = builder.http2_prior_knowledge();
    }
    Ok(builder.build()?)
}

fn base(timeout_seconds: u64) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(timeout_seconds))
}

/// Replaces `${file:PATH}` and `${env:NAME}`.
fn fill(text: &str) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, remainder) = after
            .split_once('}')
            .with_context(|| format!("no closing brace in {text:?}"))?;
        filled.push_str(before);
        match reference.split_once(':') {
            Some(("file", path)) => {
                let content = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
                filled.push_str(content.trim_end());
            }
            Some(("env", name)) => {
                filled.push_str(&std::env::var(name).with_context(|| name.to_owned())?);
            }
            _ => bail!("what is ${{{reference}}}? file:PATH and env:NAME are known"),
        }
        rest = remainder;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn text_without_references_stays() {
        assert_eq!(fill("a $b {c}").unwrap(), "a $b {c}");
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let path = std::env::temp_dir().join(format!("e2e-app-fill-{}", std::process::id()));
        std::fs::write(&path, "token\n").unwrap();
        let text = format!(
            "Bearer ${{file:{}}}, ${{env:CARGO_PKG_NAME}}!",
            path.display()
        );
        assert_eq!(fill(&text).unwrap(), "Bearer token, e2e-app!");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_found_is_an_error() {
        assert!(fill("${file:/there/is/no/such/file}").is_err());
        assert!(fill("${env:E2E_APP_NO_SUCH_VARIABLE}").is_err());
        assert!(fill("${secret:x}").is_err());
        assert!(fill("${env:HOME").is_err());
    }
}
