//! Namespaces, and tenants in them, that are there for one test.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use rand::RngExt;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::condition::{Observed, await_condition};
use crate::diagnostics;
use crate::logs;
use crate::objects::{Kind, NAMESPACE, TENANT};
use crate::resources;

/// How long what a test made may take to go away, finalizers included.
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// A tenant and the namespace that acts for it, both of one test. They share their name.
#[derive(Clone)]
pub struct Scope {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace: labelled for the tenant and for injection.
    pub namespace: String,
    /// The tenant: Ready.
    pub tenant: String,
}

/// A name nobody has.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    let ending: String = (0..6)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect();
    format!("{prefix}-{ending}")
}

/// Runs a test in a namespace of its own that enforces the restricted Pod Security Standard. What the
/// sidecars wrote in it is looked at. The namespace goes away afterwards; that it does is part of the test.
///
/// # Errors
/// The test's, after everything in the namespace was written down; or the namespace did not go away.
pub async fn with_temp_namespace<T>(
    cluster: &Cluster,
    prefix: &str,
    labels: &[(&str, &str)],
    test: impl AsyncFnOnce(&str) -> Result<T>,
) -> Result<T> {
    with_namespace(cluster, &unique_name(prefix), labels, test).await
}

/// The same in a namespace of a given name.
///
/// # Errors
/// As [`with_temp_namespace`].
pub async fn with_namespace<T>(
    cluster: &Cluster,
    name: &str,
    labels: &[(&str, &str)],
    test: impl AsyncFnOnce(&str) -> Result<T>,
) -> Result<T> {
    let mut manifest = json!({
        "apiVersion": NAMESPACE.api_version(), "kind": "Namespace",
        "metadata": { "name": name, "labels": {
            "signet.dev/e2e": "true", "pod-security.kubernetes.io/enforce": "restricted",
        } },
    });
    for (key, value) in labels {
        manifest["metadata"]["labels"][key] = (*value).into();
    }
    cluster.apply(&manifest).await?;
    let outcome = AssertUnwindSafe(async {
        let value = test(name).await?;
        logs::sidecars_are_sound(cluster, name).await?;
        Ok(value)
    })
    .catch_unwind()
    .await;
    match outcome {
        Ok(Ok(value)) => {
            delete_and_wait(cluster, NAMESPACE, name).await?;
            Ok(value)
        }
        Ok(Err(error)) => {
            write_down(cluster, name, &format!("{error:#}")).await;
            Err(error)
        }
        Err(panic) => {
            write_down(cluster, name, &panic_message(panic.as_ref())).await;
            resume_unwind(panic)
        }
    }
}

/// Writes everything down, then lets the namespace go without waiting for it.
async fn write_down(cluster: &Cluster, namespace: &str, failure: &str) {
    diagnostics::dump(cluster, namespace, failure).await;
    if let Err(error) = cluster.delete(NAMESPACE, None, namespace).await {
        diagnostics::note(&format!("{error:#}"));
    }
}

/// Runs a test with a Ready tenant, in a namespace that acts for it.
///
/// # Errors
/// The test's; or the tenant did not become Ready; or something did not go away.
pub async fn with_tenant<T>(
    cluster: &Cluster,
    prefix: &str,
    test: impl AsyncFnOnce(&Scope) -> Result<T>,
) -> Result<T> {
    with_tenant_of(cluster, prefix, |_| {}, test).await
}

/// The same, with a change to the tenant's manifest.
///
/// # Errors
/// As [`with_tenant`].
pub async fn with_tenant_of<T>(
    cluster: &Cluster,
    prefix: &str,
    change: impl FnOnce(&mut Value),
    test: impl AsyncFnOnce(&Scope) -> Result<T>,
) -> Result<T> {
    let name = unique_name(prefix);
    let labels = [
        ("signet.dev/tenant", name.as_str()),
        ("signet.dev/injection", "enabled"),
    ];
    let scope = Scope {
        cluster: cluster.clone(),
        namespace: name.clone(),
        tenant: name.clone(),
    };
    let mut manifest = resources::tenant(&name);
    change(&mut manifest);
    let outcome = AssertUnwindSafe(with_namespace(cluster, &name, &labels, async |_| {
        cluster.apply(&manifest).await?;
        resources::await_ready(cluster, TENANT, None, &name).await?;
        test(&scope).await
    }))
    .catch_unwind()
    .await;
    match outcome {
        Ok(Ok(value)) => {
            delete_and_wait(cluster, TENANT, &name).await?;
            Ok(value)
        }
        failed => {
            if let Err(error) = cluster.delete(TENANT, None, &name).await {
                diagnostics::note(&format!("{error:#}"));
            }
            match failed {
                Ok(result) => result,
                Err(panic) => resume_unwind(panic),
            }
        }
    }
}

/// Deletes a cluster-scoped object and waits until it is gone.
///
/// # Errors
/// It is still there after two minutes: a finalizer hangs.
pub async fn delete_and_wait(cluster: &Cluster, kind: Kind, name: &str) -> Result<()> {
    cluster.delete(kind, None, name).await?;
    let what = format!("{} {name} to be gone", kind.plural());
    await_condition(&what, GONE_WITHIN, async || {
        Ok(match cluster.find(kind, None, name).await? {
            None => Observed::Yes(()),
            Some(object) => Observed::NotYet(format!(
                "finalizers {}, status {}",
                object["metadata"]["finalizers"], object["status"]
            )),
        })
    })
    .await
    .map_err(|error| anyhow!(error))
    .context("cleaning up")
}

/// What a panic said.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}
