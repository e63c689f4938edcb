//! Two tenants in YAML files, and what an application asks its sidecar.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use cli::dev::{Environment, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest time a change may take to arrive where it is awaited.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) environment: Environment,
    pub(crate) files: TempDir,
    _data: TempDir,
}

impl World {
    /// Tenants acme (namespace shop) and globex (namespace depot), each with a generator `order-id`
    /// and a role that lets its own service account read orders.
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        write(files.path(), "acme.yaml", &tenant("acme", "shop", 1));
        write(
            files.path(),
            "globex.yaml",
            &tenant("globex", "depot", 500_000_000),
        );
        let data = tempfile::tempdir().unwrap();
        let environment = environment(files.path(), data.path()).await;
        environment.require_ready().unwrap();
        Self {
            environment,
            files,
            _data: data,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        write(self.files.path(), name, text);
    }

    /// The application beside a new sidecar of `NAMESPACE/NAME`.
    pub(crate) async fn application(&mut self, who: &str) -> Application {
        let url = self
            .environment
            .start_sidecar(who.parse().unwrap())
            .await
            .unwrap();
        Application {
            url,
            http: reqwest::Client::new(),
        }
    }

    /// Why the resource is not ready, or nothing when it is.
    pub(crate) fn refusal(&self, kind: &str, namespace: &str, name: &str) -> Option<String> {
        let states = self.environment.states();
        let state = states
            .iter()
            .find(|state| state.is(kind, namespace, name))
            .unwrap();
        match state.outcome() {
            cli::dev::Outcome::Ready(_) => None,
            cli::dev::Outcome::NotReady { reason, .. } => Some(reason.clone()),
        }
    }
}

async fn environment(files: &Path, data: &Path) -> Environment {
    let mut settings = Settings::new(files.to_owned()).on_free_ports();
    settings.data = Some(data.to_owned());
    Environment::start(settings).await.unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// The resources of one tenant in one namespace.
pub(crate) fn tenant(name: &str, namespace: &str, start: u64) -> String {
    let max = start + 100_000_000;
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{signet.dev/tenant: {name}}}}}
---
apiVersion: signet.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  namespaces: {{matchLabels: {{signet.dev/tenant: {name}}}}}
  tokens: {{audiences: [shared]}}
  deletionPolicy: Delete
---
{role}---
apiVersion: signet.dev/v1alpha1
kind: IdGenerator
metadata: {{name: order-id, namespace: {namespace}}}
spec:
  tenant: {name}
  segment: {{start: {start}, max: {max}, step: 100}}
  buffer: {{capacity: 10000}}
",
        role = role(name, namespace, "[read]", ""),
    )
}

/// A role `orders` for the service account `worker`.
pub(crate) fn role(tenant: &str, namespace: &str, actions: &str, condition: &str) -> String {
    format!(
        "apiVersion: signet.dev/v1alpha1
kind: Role
metadata: {{name: orders, namespace: {namespace}}}
spec:
  tenant: {tenant}
  rules: [{{effect: Allow, resources: [\"orders/*\"], actions: {actions}{condition}}}]
  subjects: [{{kind: ServiceAccount, name: worker}}]
"
    )
}

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T, F, P>(what: &str, mut probe: P) -> T
where
    F: Future<Output = Option<T>>,
    P: FnMut() -> F,
{
    let poll = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, poll).await {
        Ok(found) => found,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// HTTP on localhost, nothing else.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Application {
    pub(crate) async fn token(&self) -> String {
        let request = self.http.get(format!("{}/v1/token", self.url));
        let (status, body) = answer(request.header("Signet-Request", "true")).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Status and body of a decision about `orders/1`.
    pub(crate) async fn authorize(&self, token: &str, action: &str) -> (u16, Value) {
        let body = json!({"token": token, "resource": "orders/1", "action": action, "request": {}});
        answer(
            self.http
                .post(format!("{}/v1/authorize", self.url))
                .json(&body),
        )
        .await
    }

    pub(crate) async fn verify(&self, token: &str) -> (u16, Value) {
        let body = json!({ "token": token });
        answer(
            self.http
                .post(format!("{}/v1/token/verify", self.url))
                .json(&body),
        )
        .await
    }

    /// Status and body of a call for `count` ids.
    pub(crate) async fn ids(&self, generator: &str, count: usize) -> (u16, Value) {
        let url = format!("{}/v1/ids/{generator}?count={count}", self.url);
        answer(self.http.get(url).header("Accept", "application/json")).await
    }

    /// Adds `count` ids to `seen`, none of which may be there already.
    pub(crate) async fn collect(&self, generator: &str, count: usize, seen: &mut HashSet<u64>) {
        let (status, body) = self.ids(generator, count).await;
        assert_eq!(status, 200, "{body}");
        let ids = body["ids"].as_array().unwrap();
        assert_eq!(ids.len(), count);
        for id in ids {
            let id = id.as_str().unwrap().parse().unwrap();
            assert!(seen.insert(id), "{id} was given twice");
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}
