//! An application: it knows `SIGNET_URL` and speaks HTTP, nothing else.

use serde::Deserialize;
use serde_json::{Value, json};

/// A workload beside its sidecar.
#[derive(Debug, Clone)]
pub(super) struct Application {
    signet_url: String,
    http: reqwest::Client,
}

/// The sidecar's decision.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    /// Whether the action may be done.
    pub allowed: bool,
    /// Why, in a sentence.
    pub reason: String,
    /// The role that decided.
    pub role: Option<String>,
}

/// What came back when something else was expected.
pub(super) type Unexpected = String;

impl Application {
    /// An application whose sidecar answers at `signet_url`.
    #[must_use]
    pub(super) fn new(signet_url: String) -> Self {
        Self {
            signet_url,
            http: reqwest::Client::new(),
        }
    }

    /// `GET /v1/token`: this workload's own token.
    ///
    /// # Errors
    /// Anything but 200.
    pub(super) async fn token(&self) -> Result<String, Unexpected> {
        let request = self
            .http
            .get(self.url("/v1/token"))
            .header("Signet-Request", "true");
        let answer: Value = parsed(request).await?;
        answer["access_token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the answer has no access_token".to_owned())
    }

    /// `POST /v1/authorize`: may the bearer of `token` do this?
    ///
    /// # Errors
    /// Anything but 200, a token that does not hold among them.
    pub(super) async fn authorize(
        &self,
        token: &str,
        action: &str,
        resource: &str,
        request: Value,
    ) -> Result<Decision, Unexpected> {
        let body = json!({
            "token": token, "action": action, "resource": resource, "request": request
        });
        parsed(self.http.post(self.url("/v1/authorize")).json(&body)).await
    }

    /// `POST /v1/token/verify`: the status and the reason given for `token`.
    ///
    /// # Errors
    /// The sidecar cannot be reached.
    pub(super) async fn verify(&self, token: &str) -> Result<(u16, String), Unexpected> {
        let request = self
            .http
            .post(self.url("/v1/token/verify"))
            .json(&json!({ "token": token }));
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body: Value = response.json().await.map_err(|error| error.to_string())?;
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok((status, message))
    }

    /// `GET /v1/ids/{generator}`: one id.
    ///
    /// # Errors
    /// Anything but 200 with a number.
    pub(super) async fn id(&self, generator: &str) -> Result<u64, Unexpected> {
        let text = text(self.http.get(self.url(&format!("/v1/ids/{generator}")))).await?;
        number(&text)
    }

    /// `GET /v1/ids/{generator}?count=N`: a batch.
    ///
    /// # Errors
    /// Anything but 200 with `count` numbers.
    pub(super) async fn ids(&self, generator: &str, count: usize) -> Result<Vec<u64>, Unexpected> {
        let url = self.url(&format!("/v1/ids/{generator}?count={count}"));
        let text = text(self.http.get(url)).await?;
        let ids: Vec<u64> = text.lines().map(number).collect::<Result<_, _>>()?;
        if ids.len() == count {
            Ok(ids)
        } else {
            Err(format!("asked for {count} ids and got {}", ids.len()))
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.signet_url)
    }
}

async fn text(request: reqwest::RequestBuilder) -> Result<String, Unexpected> {
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if status.is_success() {
        Ok(text)
    } else {
        Err(format!("{status}: {text}"))
    }
}

async fn parsed<T: serde::de::DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, Unexpected> {
    let text = text(request).await?;
    serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
}

fn number(text: &str) -> Result<u64, Unexpected> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?} is no id"))
}
