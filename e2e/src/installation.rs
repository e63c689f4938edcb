//! Signet itself, installed with helm.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::application::is_ready;
use crate::cluster::Cluster;
use crate::condition::{Observed, await_condition};
use crate::objects::{self, DEPLOYMENT, NAMESPACE, POD};
use crate::resources;

/// The release's namespace.
pub const SYSTEM_NAMESPACE: &str = "signet-system";
/// The release's name.
pub const RELEASE: &str = "signet";
/// Replicas of central.
pub const CENTRAL_REPLICAS: usize = 2;
/// Replicas of the operator.
pub const OPERATOR_REPLICAS: usize = 2;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Installs the chart, or upgrades what an earlier run left; once a run.
///
/// # Errors
/// helm failed; its words are in the error.
pub async fn install_signet(cluster: &Cluster) -> Result<()> {
    INSTALLED
        .get_or_try_init(async || {
            cluster
                .apply(&json!({
                    "apiVersion": NAMESPACE.api_version(), "kind": "Namespace",
                    "metadata": { "name": SYSTEM_NAMESPACE, "labels": {
                        "pod-security.kubernetes.io/enforce": "restricted",
                    } },
                }))
                .await?;
            upgrade(cluster, &[]).await?;
            bring_definitions_up_to_date(cluster).await?;
            await_replicas(cluster, "operator", OPERATOR_REPLICAS).await?;
            await_replicas(cluster, "central", CENTRAL_REPLICAS).await?;
            Ok(())
        })
        .await
        .copied()
}

/// helm makes the resource definitions once and leaves those of an earlier run as they are.
async fn bring_definitions_up_to_date(cluster: &Cluster) -> Result<()> {
    let folder = cluster.environment.chart.join("crds");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        for manifest in resources::documents(&entry?.path())? {
            cluster.apply(&manifest).await?;
        }
    }
    Ok(())
}

/// `helm upgrade --install` with the run's values and these settings beside them.
///
/// # Errors
/// helm failed; its words are in the error.
pub async fn upgrade(cluster: &Cluster, settings: &[&str]) -> Result<()> {
    let values = tempfile::Builder::new().suffix(".json").tempfile()?;
    std::fs::write(values.path(), values_of(cluster)?.to_string())?;
    let chart = cluster.environment.chart.display().to_string();
    let file = values.path().display().to_string();
    let mut arguments = vec!["upgrade", "--install", RELEASE, &chart, "--values", &file];
    arguments.extend(["--wait", "--timeout", "5m"]);
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    helm(cluster, &arguments).await.map(drop)
}

/// Runs helm on the release's namespace and gives back what it printed.
///
/// # Errors
/// It failed; its words are in the error.
pub async fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let environment = &cluster.environment;
    let home = tempfile::tempdir()?;
    let output = Command::new(&environment.helm)
        .args(arguments)
        .args(["--namespace", SYSTEM_NAMESPACE])
        .env("KUBECONFIG", &environment.kubeconfig)
        .env("HELM_CACHE_HOME", home.path().join("cache"))
        .env("HELM_CONFIG_HOME", home.path().join("config"))
        .env("HELM_DATA_HOME", home.path().join("data"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", environment.helm.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("helm {} failed: {words}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn values_of(cluster: &Cluster) -> Result<Value> {
    let environment = &cluster.environment;
    Ok(json!({
        "image": { "pullPolicy": "IfNotPresent" },
        "database": { "url": environment.database_url },
        "central": {
            "image": environment.image("signet-central")?,
            "replicas": CENTRAL_REPLICAS,
            "resources": { "requests": { "cpu": "20m" } },
        },
        "operator": {
            "image": environment.image("signet-operator")?,
            "replicas": OPERATOR_REPLICAS,
            "resources": { "requests": { "cpu": "20m" } },
        },
        "sidecar": { "image": environment.image("signet-sidecar")? },
    }))
}

/// Scales central or the operator, and waits until just so many pods are ready, and no other is left.
///
/// # Errors
/// It did not come to that in time.
pub async fn scale(cluster: &Cluster, component: &str, replicas: usize) -> Result<()> {
    let name = format!("signet-{component}");
    let patch = json!({ "spec": { "replicas": replicas } });
    cluster
        .merge(DEPLOYMENT, Some(SYSTEM_NAMESPACE), &name, &patch)
        .await?;
    await_replicas(cluster, component, replicas).await
}

/// Runs something while a component has no pods, and brings them back whatever comes of it.
///
/// # Errors
/// What was run failed, or the pods did not go or come in time.
pub async fn while_away<T>(
    cluster: &Cluster,
    component: &str,
    replicas: usize,
    run: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let gone = scale(cluster, component, 0).await;
    let outcome = match gone {
        Ok(()) => run().await,
        Err(error) => Err(error),
    };
    let back = scale(cluster, component, replicas).await;
    let value = outcome.with_context(|| format!("while {component} is away"))?;
    back.map(|()| value)
}

/// Waits until just so many pods of a component are ready, and no other is left.
///
/// # Errors
/// It did not come to that in time.
pub async fn await_replicas(cluster: &Cluster, component: &str, replicas: usize) -> Result<()> {
    let what = format!("{replicas} pods of {component}");
    await_condition(&what, Duration::from_secs(180), async || {
        let pods = component_pods(cluster, component).await?;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Ok(if ready == replicas && pods.len() == replicas {
            Observed::Yes(())
        } else {
            Observed::NotYet(format!("{} pods, {ready} of them ready", pods.len()))
        })
    })
    .await
}

/// The pods of central or the operator, also those that are going.
///
/// # Errors
/// The API server could not be asked.
pub async fn component_pods(cluster: &Cluster, component: &str) -> Result<Vec<Value>> {
    let labels = format!("app.kubernetes.io/component={component}");
    cluster.list(POD, Some(SYSTEM_NAMESPACE), &labels).await
}

/// The names of a component's ready pods.
///
/// # Errors
/// The API server could not be asked.
pub async fn ready_pod_names(cluster: &Cluster, component: &str) -> Result<Vec<String>> {
    let pods = component_pods(cluster, component).await?;
    pods.iter()
        .filter(|pod| is_ready(pod))
        .map(|pod| Ok(objects::name(pod)?.to_owned()))
        .collect()
}
