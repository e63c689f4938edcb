//! A sidecar on free ports, and an application beside it.

use std::net::SocketAddr;

use clap::Parser;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sidecar::{Config, Running};

use super::central::{BEARER, Central};

pub(crate) struct Sidecar {
    pub(crate) running: Running,
    pub(crate) token_file: tempfile::NamedTempFile,
    http: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status and code of an error, whose shape is checked on the way.
    pub(crate) fn error(&self) -> (u16, String) {
        let body = self.json();
        let error = &body["error"];
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert_eq!(error.as_object().unwrap().len(), 5, "{body}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
        assert!(
            error["details"].is_object() || error["details"].is_null(),
            "{body}"
        );
        assert!(
            error["timestamp"].as_str().unwrap().ends_with('Z'),
            "{body}"
        );
        assert_eq!(
            error["request_id"].as_str().unwrap(),
            self.headers["x-request-id"],
            "{body}"
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(self.headers.contains_key("retry-after"), "{self:?}");
        }
        (
            self.status.as_u16(),
            error["code"].as_str().unwrap().to_owned(),
        )
    }

    /// The numbers of a text answer.
    pub(crate) fn ids(&self) -> Vec<u64> {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.text
            .split('\n')
            .map(|id| id.parse().unwrap())
            .collect()
    }
}

impl Sidecar {
    /// Started, and ready.
    pub(crate) async fn ready(central: &Central, arguments: &[&str]) -> Self {
        let sidecar = Self::start(central.address, arguments).await;
        let ready =
            tokio::time::timeout(std::time::Duration::from_secs(60), sidecar.running.ready());
        assert!(ready.await.is_ok(), "{:?}", sidecar.running.progress());
        sidecar
    }

    /// Started, ready or not.
    pub(crate) async fn start(central: SocketAddr, arguments: &[&str]) -> Self {
        let url = format!("http://{central}");
        Self::start_with(&[&["--central-url", &url], arguments].concat()).await
    }

    /// Started with nothing but these arguments and free ports.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let token_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&token_file, format!("{BEARER}\n")).unwrap();
        let file = token_file.path().to_str().unwrap();
        let fixed = [
            "signet-sidecar",
            "--tenant=acme",
            "--namespace=shop",
            "--pod-name=checkout-1",
            "--port=0",
            "--health-port=0",
            "--health-address=127.0.0.1",
            "--token-file",
            file,
        ];
        let config = Config::try_parse_from(fixed.iter().chain(arguments)).unwrap();
        let running = sidecar::start(config).await.unwrap();
        Self {
            running,
            token_file,
            http: reqwest::Client::new(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.running.api_address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn get_json(&self, path: &str) -> Answer {
        send(
            self.request(Method::GET, path)
                .header("accept", "application/json"),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// The workload's own token.
    pub(crate) async fn token(&self, query: &str) -> Answer {
        let path = format!("/v1/token{query}");
        send(
            self.request(Method::GET, &path)
                .header("signet-request", "true"),
        )
        .await
    }

    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.post("/v1/token/verify", json!({ "token": token }))
            .await
    }

    pub(crate) async fn health(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.running.health_address);
        send(self.http.get(url)).await
    }

    /// The value of a metric, with its labels as Prometheus writes them.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.health("/metrics").await.text;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer {
        status,
        headers,
        text: response.text().await.unwrap(),
    }
}
