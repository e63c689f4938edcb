//! Workloads of the test application.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::condition::{Observed, await_condition};
use crate::objects::{self, DEPLOYMENT, POD, SERVICE_ACCOUNT};
use crate::pod::Pod;

/// A Deployment of the test application, or a pod of it.
#[derive(Debug, Clone)]
pub struct Application {
    namespace: String,
    name: String,
    service_account: String,
    replicas: usize,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Application {
    /// One replica under a ServiceAccount of the same name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            service_account: name.to_owned(),
            replicas: 1,
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            annotations: BTreeMap::new(),
            arguments: Vec::new(),
        }
    }

    /// Another ServiceAccount.
    #[must_use]
    pub fn account(mut self, service_account: &str) -> Self {
        self.service_account = service_account.to_owned();
        self
    }

    /// Another number of replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// A label of the pods.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// An annotation of the pods.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Arguments of the program.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        self
    }

    /// The ServiceAccount's manifest.
    #[must_use]
    pub fn account_manifest(&self) -> Value {
        json!({
            "apiVersion": SERVICE_ACCOUNT.api_version(), "kind": "ServiceAccount",
            "metadata": { "namespace": self.namespace, "name": self.service_account },
        })
    }

    /// Metadata and spec of the pods. They pass the restricted Pod Security Standard, and hold a token
    /// for central of their own at [`crate::pod::CENTRAL_TOKEN_FILE`].
    ///
    /// # Errors
    /// The run was not told the image.
    pub fn template(&self, cluster: &Cluster) -> Result<Value> {
        let mut container = json!({
            "name": "app",
            "image": cluster.environment.image("signet-e2e-app")?,
            "imagePullPolicy": "IfNotPresent",
            "args": self.arguments,
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [{ "name": "central-token", "mountPath": "/var/run/secrets/e2e" }],
        });
        if self.arguments.is_empty() {
            container["readinessProbe"] = json!({
                "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1,
            });
        }
        Ok(json!({
            "metadata": { "labels": self.labels, "annotations": self.annotations },
            "spec": {
                "serviceAccountName": self.service_account,
                "terminationGracePeriodSeconds": 5,
                "containers": [container],
                "volumes": [{
                    "name": "central-token",
                    "projected": { "sources": [{ "serviceAccountToken": {
                        "path": "token", "audience": "signet-central", "expirationSeconds": 3600,
                    } }] },
                }],
            },
        }))
    }

    /// A pod by itself, not of a Deployment.
    ///
    /// # Errors
    /// The run was not told the image.
    pub fn pod_manifest(&self, cluster: &Cluster) -> Result<Value> {
        let mut pod = self.template(cluster)?;
        pod["apiVersion"] = POD.api_version().into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["namespace"] = self.namespace.clone().into();
        pod["metadata"]["name"] = self.name.clone().into();
        Ok(pod)
    }

    fn manifest(&self, cluster: &Cluster) -> Result<Value> {
        Ok(json!({
            "apiVersion": DEPLOYMENT.api_version(), "kind": "Deployment",
            "metadata": { "namespace": self.namespace, "name": self.name },
            "spec": {
                "replicas": self.replicas,
                "selector": { "matchLabels": { "app": self.name } },
                "template": self.template(cluster)?,
            },
        }))
    }

    /// Applies ServiceAccount and Deployment, and waits until every replica is ready.
    ///
    /// # Errors
    /// They were refused, or did not become ready in time.
    pub async fn deploy(&self, cluster: &Cluster) -> Result<Vec<Pod>> {
        cluster.apply(&self.account_manifest()).await?;
        cluster.apply(&self.manifest(cluster)?).await?;
        await_condition(
            &format!(
                "{} ready pods of {}/{}",
                self.replicas, self.namespace, self.name
            ),
            Duration::from_secs(120),
            async || {
                let ready = self.ready_pods(cluster).await?;
                if ready.len() == self.replicas {
                    return Ok(Observed::Yes(ready));
                }
                Ok(Observed::NotYet(self.describe(cluster).await?))
            },
        )
        .await
    }

    /// Makes a pod by itself, with its ServiceAccount, and waits until it is ready.
    ///
    /// # Errors
    /// It was refused, or did not become ready in time.
    pub async fn run_alone(&self, cluster: &Cluster) -> Result<Pod> {
        cluster.apply(&self.account_manifest()).await?;
        cluster.apply(&self.pod_manifest(cluster)?).await?;
        let what = format!("the pod {}/{} to be ready", self.namespace, self.name);
        await_condition(&what, Duration::from_secs(120), async || {
            let pod = cluster.get(POD, Some(&self.namespace), &self.name).await?;
            Ok(if is_ready(&pod) {
                Observed::Yes(Pod::of(cluster, &pod)?)
            } else {
                Observed::NotYet(describe_pod(&pod))
            })
        })
        .await
    }

    /// The one pod of a Deployment with one replica.
    ///
    /// # Errors
    /// As [`Self::deploy`].
    pub async fn deploy_one(&self, cluster: &Cluster) -> Result<Pod> {
        self.deploy(cluster)
            .await?
            .pop()
            .context("a Deployment without pods")
    }

    async fn ready_pods(&self, cluster: &Cluster) -> Result<Vec<Pod>> {
        let pods = self.pods(cluster).await?;
        pods.iter()
            .filter(|pod| is_ready(pod))
            .map(|pod| Pod::of(cluster, pod))
            .collect()
    }

    /// The pods that are not being deleted, ready or not.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn pods(&self, cluster: &Cluster) -> Result<Vec<Value>> {
        let label = format!("app={}", self.name);
        let mut pods = cluster.list(POD, Some(&self.namespace), &label).await?;
        pods.retain(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        Ok(pods)
    }

    async fn describe(&self, cluster: &Cluster) -> Result<String> {
        let pods = self.pods(cluster).await?;
        if !pods.is_empty() {
            return Ok(pods.iter().map(describe_pod).collect::<Vec<_>>().join("; "));
        }
        let deployment = cluster
            .get(DEPLOYMENT, Some(&self.namespace), &self.name)
            .await?;
        let failure = objects::condition(&deployment, "ReplicaFailure");
        Ok(format!(
            "no pods; {}",
            failure.map_or("no failure said", |one| {
                one["message"].as_str().unwrap_or("?")
            })
        ))
    }
}

/// Whether a pod is ready and stays.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && objects::condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// A pod in one line: its phase, and how each container fares.
#[must_use]
pub fn describe_pod(pod: &Value) -> String {
    let containers = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let states: Vec<String> = containers
        .into_iter()
        .flat_map(|pointer| objects::list(pod, pointer))
        .map(|status| {
            format!(
                "{} {} restarts={} ready={}",
                status["name"].as_str().unwrap_or("?"),
                status["state"],
                status["restartCount"],
                status["ready"]
            )
        })
        .collect();
    format!(
        "{} {} [{}]",
        objects::name(pod).unwrap_or("?"),
        pod.pointer("/status/phase")
            .and_then(Value::as_str)
            .unwrap_or("?"),
        states.join(", ")
    )
}
