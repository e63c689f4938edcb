//! The cluster, spoken to in JSON.

use anyhow::{Context, Result};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::environment::Environment;
use crate::objects::{self, Kind};

const FIELD_MANAGER: &str = "signet-e2e";

/// A cluster and what the run was told about it.
#[derive(Clone)]
pub struct Cluster {
    /// For what the methods here do not do.
    pub client: Client,
    /// What the run was told.
    pub environment: Environment,
}

/// The API server's "no" to an object, its own or that of a webhook, which may be that it is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// What a user of kubectl would read.
    pub message: String,
}

impl Cluster {
    /// Connects to the cluster of the kubeconfig.
    ///
    /// # Errors
    /// The kubeconfig does not lead to a working API server.
    pub async fn connect(environment: Environment) -> Result<Self> {
        let path = &environment.kubeconfig;
        let kubeconfig =
            Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("using {}", path.display()))?;
        let client = Client::try_from(config).context("a client for the cluster")?;
        client
            .apiserver_version()
            .await
            .context("asking the API server")?;
        Ok(Self {
            client,
            environment,
        })
    }

    fn api(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = kind.resource();
        match namespace {
            Some(namespace) if kind.namespaced => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            _ => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Applies a manifest on the server's side, as `kubectl apply --server-side --force-conflicts`.
    ///
    /// # Errors
    /// The API server refused it, or could not be asked.
    pub async fn apply(&self, manifest: &Value) -> Result<Value> {
        let what = describe(manifest);
        self.try_apply(manifest, false)
            .await?
            .map_err(|refused| anyhow::anyhow!("{what} was refused: {}", refused.message))
    }

    /// The same; a refusal is an answer. With `dry_run` nothing is kept.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn try_apply(
        &self,
        manifest: &Value,
        dry_run: bool,
    ) -> Result<Result<Value, Refused>> {
        let kind = Kind::of(manifest)?;
        let namespace = manifest
            .pointer("/metadata/namespace")
            .and_then(Value::as_str);
        let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
        parameters.dry_run = dry_run;
        let answer = self
            .api(kind, namespace)
            .patch(
                objects::name(manifest)?,
                &parameters,
                &Patch::Apply(manifest),
            )
            .await;
        accepted(answer).with_context(|| format!("applying {}", describe(manifest)))
    }

    /// Creates an object; a refusal is an answer. With `dry_run` nothing is kept.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn try_create(
        &self,
        manifest: &Value,
        dry_run: bool,
    ) -> Result<Result<Value, Refused>> {
        let kind = Kind::of(manifest)?;
        let namespace = manifest
            .pointer("/metadata/namespace")
            .and_then(Value::as_str);
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let parameters = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let answer = self.api(kind, namespace).create(&parameters, &object).await;
        accepted(answer).with_context(|| format!("creating {}", describe(manifest)))
    }

    /// Changes fields of an object by a JSON merge patch (RFC 7386); a refusal is an answer.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn try_merge(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Result<Value, Refused>> {
        let answer = self
            .api(kind, namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        accepted(answer).with_context(|| format!("patching {} {name}", kind.plural()))
    }

    /// Changes fields of an object by a JSON merge patch (RFC 7386).
    ///
    /// # Errors
    /// The API server refused it, or could not be asked.
    pub async fn merge(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value> {
        self.try_merge(kind, namespace, name, patch)
            .await?
            .map_err(|refused| {
                anyhow::anyhow!(
                    "{} {name}: the change was refused: {}",
                    kind.plural(),
                    refused.message
                )
            })
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn find(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>> {
        let found = self
            .api(kind, namespace)
            .get_opt(name)
            .await
            .with_context(|| format!("getting {} {name}", kind.plural()))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// An object.
    ///
    /// # Errors
    /// It is not there, or the API server could not be asked.
    pub async fn get(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<Value> {
        self.find(kind, namespace, name)
            .await?
            .with_context(|| format!("{} {name} is not there", kind.plural()))
    }

    /// All objects of a kind, in a namespace or everywhere, chosen by labels (empty: all).
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Value>> {
        let objects = self
            .api(kind, namespace)
            .list(&ListParams::default().labels(labels))
            .await
            .with_context(|| format!("listing {}", kind.plural()))?;
        objects
            .items
            .into_iter()
            .map(|object| Ok(serde_json::to_value(object)?))
            .collect()
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// The API server refused, or could not be asked.
    pub async fn delete(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<()> {
        self.delete_with(kind, namespace, name, &DeleteParams::background())
            .await
    }

    /// Takes a pod away without asking it to stop.
    ///
    /// # Errors
    /// The API server refused, or could not be asked.
    pub async fn kill_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let at_once = DeleteParams::default().grace_period(0);
        self.delete_with(objects::POD, Some(namespace), name, &at_once)
            .await
    }

    async fn delete_with(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        parameters: &DeleteParams,
    ) -> Result<()> {
        match self.api(kind, namespace).delete(name, parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {} {name}", kind.plural())),
        }
    }
}

/// What the API server says (with a 500) of a webhook that must agree and does not answer.
const WEBHOOK_AWAY: &str = "failed calling webhook";

/// Separates the server's "no" from a failure to ask.
fn accepted(answer: kube::Result<DynamicObject>) -> Result<Result<Value, Refused>> {
    match answer {
        Ok(object) => Ok(Ok(serde_json::to_value(object)?)),
        Err(kube::Error::Api(status))
            if (400..500).contains(&status.code) || status.message.contains(WEBHOOK_AWAY) =>
        {
            Ok(Err(Refused {
                code: status.code,
                message: status.message,
            }))
        }
        Err(error) => Err(error.into()),
    }
}

/// "Role shop/order-writer", for messages.
fn describe(manifest: &Value) -> String {
    let part = |pointer| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("?")
    };
    match manifest
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
    {
        Some(namespace) => format!("{} {namespace}/{}", part("/kind"), part("/metadata/name")),
        None => format!("{} {}", part("/kind"), part("/metadata/name")),
    }
}
