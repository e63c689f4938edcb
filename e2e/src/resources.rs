//! Signet's resources as users write them, and waiting for what the operator says of them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::condition::{Observed, await_condition};
use crate::objects::{self, EVENT, Kind};

const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// A tenant for the namespaces that carry its name in the label `signet.dev/tenant`.
#[must_use]
pub fn tenant(name: &str) -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant",
        "metadata": { "name": name },
        "spec": {
            "displayName": name,
            "namespaces": { "matchLabels": { "signet.dev/tenant": name } },
            "tokens": { "audiences": [name] },
            "deletionPolicy": "Delete",
        },
    })
}

/// A role with these rules, bound to one ServiceAccount of its namespace.
#[must_use]
pub fn role(namespace: &str, name: &str, tenant: &str, account: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Role",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "tenant": tenant,
            "rules": rules,
            "subjects": [{ "kind": "ServiceAccount", "name": account }],
        },
    })
}

/// A generator of consecutive numbers from `start` to `max`, committed in blocks of `step`.
#[must_use]
pub fn segment(
    namespace: &str,
    name: &str,
    tenant: &str,
    (start, max, step): (u64, u64, u64),
) -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "IdGenerator",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "tenant": tenant, "segment": { "start": start, "max": max, "step": step } },
    })
}

/// Waits until the operator says Ready of the object's present generation, and gives it back.
///
/// # Errors
/// It did not become Ready in time.
pub async fn await_ready(
    cluster: &Cluster,
    kind: Kind,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value> {
    let what = format!("{} {name} to be Ready", kind.plural());
    await_condition(&what, SETTLED_WITHIN, async || {
        let object = cluster.get(kind, namespace, name).await?;
        let ready = settled(&object).is_some_and(|condition| condition["status"] == "True");
        Ok(if ready {
            Observed::Yes(object)
        } else {
            Observed::NotYet(describe(&object))
        })
    })
    .await
}

/// Applies a manifest and waits until it is Ready.
///
/// # Errors
/// It was refused, or did not become Ready in time.
pub async fn apply_ready(cluster: &Cluster, manifest: &Value) -> Result<Value> {
    cluster.apply(manifest).await?;
    let namespace = manifest
        .pointer("/metadata/namespace")
        .and_then(Value::as_str);
    await_ready(
        cluster,
        Kind::of(manifest)?,
        namespace,
        objects::name(manifest)?,
    )
    .await
}

/// Waits until the operator says of the object's present generation that it is not Ready, and gives back
/// the condition.
///
/// # Errors
/// It did not say so in time.
pub async fn await_not_ready(
    cluster: &Cluster,
    kind: Kind,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value> {
    let what = format!("{} {name} to be refused", kind.plural());
    await_condition(&what, SETTLED_WITHIN, async || {
        let object = cluster.get(kind, namespace, name).await?;
        let refused = settled(&object).filter(|condition| condition["status"] == "False");
        Ok(Observed::from_option(refused.cloned(), describe(&object)))
    })
    .await
}

/// Waits for an Event that warns, with this reason, in a namespace, and gives it back.
///
/// # Errors
/// There was none in time.
pub async fn await_warning(cluster: &Cluster, namespace: &str, reason: &str) -> Result<Value> {
    let what = format!("a warning with the reason {reason}");
    await_condition(&what, Duration::from_secs(60), async || {
        let events = cluster.list(EVENT, Some(namespace), "").await?;
        let count = events.len();
        let found = events
            .into_iter()
            .find(|event| event["reason"] == reason && event["type"] == "Warning");
        Ok(Observed::from_option(found, format!("{count} events")))
    })
    .await
}

/// The documents of a file of samples.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub fn sample(cluster: &Cluster, file: &str) -> Result<Vec<Value>> {
    documents(&cluster.environment.samples.join(file))
}

/// The documents of a YAML file.
///
/// # Errors
/// It cannot be read, or is no YAML.
pub fn documents(path: &Path) -> Result<Vec<Value>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_saphyr::from_multiple(&text).with_context(|| format!("parsing {}", path.display()))
}

/// The Ready condition, when status and condition are about the present generation.
fn settled(object: &Value) -> Option<&Value> {
    let generation = object.pointer("/metadata/generation")?;
    let condition = objects::condition(object, "Ready")?;
    (object.pointer("/status/observedGeneration") == Some(generation)
        && condition.get("observedGeneration") == Some(generation))
    .then_some(condition)
}

fn describe(object: &Value) -> String {
    format!(
        "generation {}, status {}",
        object["metadata"]["generation"], object["status"]
    )
}
