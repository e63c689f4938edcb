//! What a failure leaves behind: logs, events and objects as files, and a short version on stderr.

#![allow(clippy::print_stderr)]

use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::Value;

use crate::application::describe_pod;
use crate::cluster::Cluster;
use crate::installation::SYSTEM_NAMESPACE;
use crate::objects::{self, Kind};

/// What is written down of a namespace. Secrets are not.
const NAMESPACED: &[Kind] = &[
    objects::POD,
    objects::DEPLOYMENT,
    objects::JOB,
    objects::LEASE,
    objects::ROLE,
    objects::ID_GENERATOR,
    objects::EVENT,
];
const OF_THE_CLUSTER: &[Kind] = &[
    objects::NAMESPACE,
    objects::TENANT,
    objects::MUTATING_WEBHOOK,
];
const LINES_ON_STDERR: usize = 15;

/// A line for whoever watches the run.
pub fn note(line: &str) {
    eprintln!("e2e: {line}");
}

/// Writes down everything about a namespace and about Signet's own. Never fails: what cannot be had is said.
pub async fn dump(cluster: &Cluster, namespace: &str, failure: &str) {
    let folder = cluster.environment.logs.join(namespace);
    note(&format!(
        "failure in {namespace}: {failure}\n     more in {}",
        folder.display()
    ));
    if let Err(error) = write_all(cluster, namespace, &folder, failure).await {
        note(&format!("could not write everything down: {error:#}"));
    }
}

async fn write_all(cluster: &Cluster, namespace: &str, folder: &Path, failure: &str) -> Result<()> {
    write(folder, "failure.txt", failure)?;
    for kind in OF_THE_CLUSTER {
        write_objects(cluster, *kind, None, folder).await;
    }
    for one in [namespace, SYSTEM_NAMESPACE] {
        let folder = folder.join(one);
        for kind in NAMESPACED {
            write_objects(cluster, *kind, Some(one), &folder).await;
        }
        write_logs(cluster, one, &folder).await?;
        warnings(cluster, one).await?;
    }
    Ok(())
}

async fn write_objects(cluster: &Cluster, kind: Kind, namespace: Option<&str>, folder: &Path) {
    let written = async {
        let mut found = cluster.list(kind, namespace, "").await?;
        for object in &mut found {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
        let text = serde_saphyr::to_string_multiple(&found).context("as YAML")?;
        write(folder, &format!("{}.yaml", kind.plural()), &text)
    };
    if let Err(error) = written.await {
        note(&format!("{error:#}"));
    }
}

async fn write_logs(cluster: &Cluster, namespace: &str, folder: &Path) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    for pod in cluster.list(objects::POD, Some(namespace), "").await? {
        note(&describe_pod(&pod));
        let name = objects::name(&pod)?;
        for container in containers(&pod) {
            for previous in [false, true] {
                let parameters = LogParams {
                    container: Some(container.to_owned()),
                    previous,
                    timestamps: true,
                    ..LogParams::default()
                };
                // A container that never ran, or never restarted, has none.
                let Ok(text) = api.logs(name, &parameters).await else {
                    continue;
                };
                let ending = if previous { "previous.log" } else { "log" };
                write(folder, &format!("{name}.{container}.{ending}"), &text)?;
                if !previous {
                    print_tail(name, container, &text);
                }
            }
        }
    }
    Ok(())
}

fn containers(pod: &Value) -> impl Iterator<Item = &str> {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|pointer| objects::list(pod, pointer))
        .filter_map(|container| container["name"].as_str())
}

fn print_tail(pod: &str, container: &str, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LINES_ON_STDERR)..] {
        eprintln!("     {pod} {container} | {line}");
    }
}

async fn warnings(cluster: &Cluster, namespace: &str) -> Result<()> {
    for event in cluster.list(objects::EVENT, Some(namespace), "").await? {
        if event["type"] == "Warning" {
            let about = &event["involvedObject"];
            eprintln!(
                "     warning {namespace} {} {}: {} {}",
                about["kind"], about["name"], event["reason"], event["message"]
            );
        }
    }
    Ok(())
}

fn write(folder: &Path, file: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(file);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}
