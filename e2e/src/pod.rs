//! A pod of the test application, asked through the API server's proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::diagnostics::note;
use crate::objects;

/// Where every test pod finds a ServiceAccount token for central, as its sidecar has one.
pub const CENTRAL_TOKEN_FILE: &str = "/var/run/secrets/e2e/token";

/// How often a question is put through the API server's proxy before its failure counts.
const PROXY_ATTEMPTS: usize = 4;

/// A running pod.
#[derive(Clone)]
pub struct Pod {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// The body as it is.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("HTTP {}, no JSON: {}", self.status, self.body))
    }

    /// The answer, when its status is this one.
    ///
    /// # Errors
    /// It is another; says which, and the body.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "HTTP {} instead of {status}: {}",
            self.status,
            self.body
        );
        Ok(self)
    }
}

/// What a loop over ids brought.
#[derive(Debug, Deserialize)]
pub struct Taken {
    /// The ids, in the order they came.
    pub ids: Vec<String>,
    /// Why the loop ended early: `{"status", "code", "body"}`.
    pub error: Option<Value>,
}

impl Pod {
    /// A pod that runs.
    ///
    /// # Errors
    /// It has no address yet.
    pub fn of(cluster: &Cluster, pod: &Value) -> Result<Self> {
        Ok(Self {
            cluster: cluster.clone(),
            namespace: objects::text(pod, "/metadata/namespace")?.to_owned(),
            name: objects::name(pod)?.to_owned(),
            ip: objects::text(pod, "/status/podIP")?.to_owned(),
        })
    }

    /// Asks a port of the pod from outside, through the API server. Its proxy sometimes cuts an
    /// answer short ("use of closed network connection" in its log); such a question is asked again.
    /// Ids in a lost answer are lost with it, which nobody may mind.
    ///
    /// # Errors
    /// There was no answer within a minute.
    pub async fn proxy(
        &self,
        method: &str,
        port: u16,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let (namespace, name) = (&self.namespace, &self.name);
        let what = format!("{method} {path} of the pod {namespace}/{name}:{port}");
        let bytes = body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default();
        let asking = async {
            let mut attempt = 1;
            loop {
                let mut request = http::Request::builder().method(method).uri(format!(
                    "/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}"
                ));
                if body.is_some() {
                    request = request.header("content-type", "application/json");
                }
                match self
                    .exchange(request.body(Body::from(bytes.clone()))?)
                    .await
                {
                    Err(error) if attempt < PROXY_ATTEMPTS => {
                        note(&format!("{what}, attempt {attempt}: {error:#}"));
                        attempt += 1;
                    }
                    outcome => return outcome,
                }
            }
        };
        let (head, bytes) = tokio::time::timeout(Duration::from_secs(60), asking)
            .await
            .with_context(|| format!("{what}: no answer within a minute"))?
            .with_context(|| what.clone())?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    async fn exchange(
        &self,
        request: http::Request<Body>,
    ) -> Result<(http::response::Parts, Vec<u8>)> {
        let (head, body) = self.cluster.client.send(request).await?.into_parts();
        Ok((head, body.collect_bytes().await?.to_vec()))
    }

    async fn ask_application(&self, path: &str, body: &Value) -> Result<Value> {
        self.proxy("POST", 8080, path, Some(body))
            .await?
            .expect(200)?
            .json()
    }

    /// Lets the application make a request (`e2e/app/src/outgoing.rs` says what it may hold).
    ///
    /// # Errors
    /// It got no answer.
    pub async fn request(&self, request: &Value) -> Result<Answer> {
        let answer = self.ask_application("/request", request).await?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{} from the pod {}: {error}", request["url"], self.name);
        }
        let encoded = answer["body_base64"].as_str().context("body_base64")?;
        Ok(Answer {
            status: answer["status"].as_u64().context("status")?.try_into()?,
            headers: serde_json::from_value(answer["headers"].clone())?,
            body: answer["body"].as_str().context("body")?.to_owned(),
            bytes: STANDARD.decode(encoded)?,
        })
    }

    /// GETs a path of the pod's own sidecar.
    ///
    /// # Errors
    /// It got no answer.
    pub async fn ask_sidecar(&self, path: &str) -> Result<Answer> {
        self.request(&json!({ "url": format!("${{env:SIGNET_URL}}{path}") }))
            .await
    }

    /// POSTs JSON to a path of the pod's own sidecar.
    ///
    /// # Errors
    /// It got no answer.
    pub async fn tell_sidecar(&self, path: &str, body: &Value) -> Result<Answer> {
        let url = format!("${{env:SIGNET_URL}}{path}");
        self.request(&json!({ "method": "POST", "url": url, "body": body }))
            .await
    }

    /// The workload's own token, as `GET /v1/token` answers it.
    ///
    /// # Errors
    /// The sidecar did not give one.
    pub async fn token(&self) -> Result<String> {
        let answer = self
            .request(&json!({
                "url": "${env:SIGNET_URL}/v1/token",
                "headers": { "Signet-Request": "true" },
            }))
            .await?
            .expect(200)?
            .json()?;
        ensure!(
            answer["token_type"] == "Bearer",
            "not a bearer token: {}",
            answer["token_type"]
        );
        Ok(answer["access_token"]
            .as_str()
            .context("access_token")?
            .to_owned())
    }

    /// What the sidecar says of a token.
    ///
    /// # Errors
    /// It got no answer.
    pub async fn verify(&self, token: &str) -> Result<Answer> {
        self.tell_sidecar("/v1/token/verify", &json!({ "token": token }))
            .await
    }

    /// Calls the protected service of another pod with a token.
    ///
    /// # Errors
    /// It got no answer.
    pub async fn call_orders(
        &self,
        other: &Self,
        method: &str,
        token: &str,
        body: &Value,
    ) -> Result<Answer> {
        self.request(&json!({
            "method": method,
            "url": format!("http://{}:8080/orders/42", other.ip),
            "headers": { "authorization": format!("Bearer {token}") },
            "body": body,
        }))
        .await
    }

    /// Takes ids in a loop, `batch` a call (0 or 1: one by one), until there are `count` or a call fails.
    ///
    /// # Errors
    /// The application did not answer.
    pub async fn take_ids(&self, generator: &str, count: usize, batch: usize) -> Result<Taken> {
        let body = json!({ "generator": generator, "count": count, "batch": batch });
        Ok(serde_json::from_value(
            self.ask_application("/ids", &body).await?,
        )?)
    }

    /// The same, all of them.
    ///
    /// # Errors
    /// A call failed.
    pub async fn take_all_ids(
        &self,
        generator: &str,
        count: usize,
        batch: usize,
    ) -> Result<Vec<String>> {
        let taken = self.take_ids(generator, count, batch).await?;
        if let Some(error) = taken.error {
            bail!(
                "{} of {count} ids of {generator} came, then: {error}",
                taken.ids.len()
            );
        }
        Ok(taken.ids)
    }
}
