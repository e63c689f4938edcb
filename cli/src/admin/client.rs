//! A client of central's `/api/v1`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::Connection;
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(30);

/// How an absence of central is borne where something is followed.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    /// How often it is asked again.
    every: Duration,
    /// After this long it is not coming back.
    longest: Duration,
}

/// A new pod has two minutes to start, and reads all events before it answers.
pub(super) const RESTART: Absence = Absence {
    every: Duration::from_secs(1),
    longest: Duration::from_mins(10),
};

/// Why there is no answer.
enum Failure {
    /// Central is away, or cannot answer now.
    Away(Error),
    /// It will not answer otherwise the next time.
    Final(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(error) | Failure::Final(error) => error,
        }
    }
}

/// Asks one central, as its administrator or with a tenant's own token.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    secret: SecretString,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, Error> {
        let file = connection.token_file.as_deref().ok_or_else(|| {
            Error::Usage(
                "give the administrators' secret with --token-file; in a cluster it is key `token` \
                 of Secret signet-bootstrap, in development `signet dev` prints the file"
                    .to_owned(),
            )
        })?;
        let secret = SecretString::from(read(file)?.trim().to_owned());
        let mut builder = reqwest::Client::builder().timeout(PATIENCE);
        if let Some(path) = &connection.ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(read(path)?.as_bytes())
                .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| Error::Central(error.to_string()))?;
        Ok(Self {
            http,
            server: connection.server.trim_end_matches('/').to_owned(),
            secret,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        Ok(self.call(Method::GET, path, None).await?)
    }

    /// As [`get`](Self::get), again and again while central is away; tells so once.
    pub(super) async fn get_after(
        &self,
        absence: Absence,
        path: &str,
        tell: impl Fn(&str),
    ) -> Result<Value, Error> {
        let mut since = None;
        loop {
            let error = match self.call(Method::GET, path, None).await {
                Err(Failure::Away(error)) => error,
                answer => return Ok(answer?),
            };
            let since = since.get_or_insert_with(|| {
                tell(&format!("{error}; asking again"));
                Instant::now()
            });
            if since.elapsed() >= absence.longest {
                let longest = absence.longest.as_secs();
                return Err(Error::Central(format!("{error}; so for {longest} s")));
            }
            tokio::time::sleep(absence.every).await;
        }
    }

    pub(super) async fn post(&self, path: &str, body: Option<Value>) -> Result<Value, Error> {
        Ok(self.call(Method::POST, path, body).await?)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Error> {
        Ok(self.call(Method::DELETE, path, None).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let server = &self.server;
        let mut request = self
            .http
            .request(method, format!("{server}{path}"))
            .bearer_auth(self.secret.expose_secret());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let unreachable = |error: reqwest::Error| {
            Failure::Away(Error::Central(format!(
                "central at {server} cannot be reached: {}",
                causes(&error)
            )))
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        // What stands before central while it is away answers in its own words.
        let failure = match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Away,
            _ => Failure::Final,
        };
        let body: Value = serde_json::from_slice(&body).map_err(|error| {
            failure(Error::Central(format!(
                "{server} does not answer as central does: {status}, {error}"
            )))
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("no reason given");
        let mend = match (status, body["error"]["code"].as_str()) {
            (StatusCode::UNAUTHORIZED, _) => {
                "; compare --token-file with central's own, or name the tenant of a tenant's token \
                 (--tenant)"
            }
            (_, Some("SIGNET-CENTRAL-0005")) => "; `signet get tenants` lists what there is",
            _ => "",
        };
        Err(failure(Error::Central(format!(
            "{status}: {message}{mend}"
        ))))
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::State {
        path: path.to_owned(),
        source,
    })
}

/// An error of HTTP hides the reason in its sources.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
