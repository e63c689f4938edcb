//! The story on a real cluster: install, apply, inject, ask from inside a pod.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster::{self, Layout};
use crate::images::{self, Listing};
use crate::progress::Steps;
use crate::{components, http, paths, process};

const SYSTEM: &str = "signet-system";
const NAMESPACE: &str = "shop";
/// The ServiceAccount that the sample role is bound to, and the application's name.
const APPLICATION: &str = "checkout";
/// Where an application finds its sidecar.
const SIDECAR: &str = "http://127.0.0.1:7740";

/// Tells the story; leaves the cluster running with `keep`.
///
/// # Errors
/// When a step does not come out as told. The cluster is then left for a look.
pub(crate) fn run(keep: bool) -> Result<()> {
    let layout = Layout::find()?;
    let steps = Steps::new();
    let images = images::build(&steps)?;
    let _reserved = cluster::reserve()?;
    cluster::up(&layout)?;
    steps.run("images imported", || {
        cluster::load(&layout, &images.archives())
    })?;
    let database = cluster::new_database(&layout, &steps)?;
    steps.run("helm install signet charts/signet", || {
        install(&layout, &images, &database)
    })?;
    steps.run("kubectl apply -f config/samples", || apply_samples(&layout))?;
    steps.run(
        "kubectl wait --for=condition=Ready: tenant, roles, generator",
        || ready(&layout),
    )?;
    let pod = steps.run("an application in namespace shop, with its sidecar", || {
        start_application(&layout, images.image("signet-e2e-app")?)
    })?;
    tell(&pod)?;
    if keep {
        println!("\nIt is left running: eval \"$(cargo xtask cluster env)\"; kubectl get pods -A");
        println!("`cargo xtask cluster down` ends it.");
        return Ok(());
    }
    cluster::down(&layout)
}

fn install(layout: &Layout, images: &Listing, database: &str) -> Result<()> {
    let values = json!({
        "database": { "url": database },
        "central": { "image": images.image("signet-central")? },
        "operator": { "image": images.image("signet-operator")? },
        "sidecar": { "image": images.image("signet-sidecar")? },
    });
    let mut helm = cluster::client(&components::HELM)?;
    helm.env("KUBECONFIG", layout.admin_kubeconfig());
    helm.args(["upgrade", "--install", "signet"])
        .arg(paths::checkout().join("charts/signet"));
    helm.args([
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--wait",
        "--timeout=3m",
    ]);
    process::feed(helm.args(["--values", "-"]), values.to_string().as_bytes()).map(drop)
}

fn apply_samples(layout: &Layout) -> Result<()> {
    let samples = paths::checkout().join("config/samples");
    // The folder is applied in the order of its names, and the namespace must be first.
    for what in [samples.join("namespace.yaml"), samples] {
        process::output(kubectl(layout)?.arg("apply").arg("--filename").arg(what))?;
    }
    Ok(())
}

fn ready(layout: &Layout) -> Result<()> {
    for what in [
        "tenants.signet.dev",
        "roles.signet.dev",
        "idgenerators.signet.dev",
    ] {
        let mut wait = kubectl(layout)?;
        wait.args([
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "--all",
            what,
        ]);
        process::output(wait.args(["--namespace", NAMESPACE]))?;
    }
    Ok(())
}

/// The application's pod. The bridge that pods hang on is this machine's, so they can be called.
struct Pod {
    name: String,
    control: SocketAddr,
}

/// Starts it and gives its pod.
fn start_application(layout: &Layout, image: &str) -> Result<Pod> {
    let apply = |manifest: Value| -> Result<()> {
        let mut command = kubectl(layout)?;
        command.args(["apply", "--namespace", NAMESPACE, "--filename", "-"]);
        process::feed(&mut command, manifest.to_string().as_bytes()).map(drop)
    };
    apply(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": APPLICATION },
    }))?;
    apply(deployment(image))?;
    let mut rollout = kubectl(layout)?;
    rollout.args([
        "--namespace",
        NAMESPACE,
        "rollout",
        "status",
        "--timeout=120s",
    ]);
    process::output(rollout.arg(format!("deployment/{APPLICATION}")))?;
    let mut pods = kubectl(layout)?;
    pods.args(["--namespace", NAMESPACE, "get", "pods", "--selector"]);
    pods.arg(format!("app={APPLICATION}"));
    pods.arg("--output=jsonpath={.items[0].metadata.name} {.items[0].status.podIP}");
    let said = process::output(&mut pods)?;
    let (name, address) = said.split_once(' ').context("the application has no pod")?;
    let control = SocketAddr::new(address.parse().context("the pod's address")?, 8080);
    Ok(Pod {
        name: name.to_owned(),
        control,
    })
}

fn deployment(image: &str) -> Value {
    let labels = json!({ "app": APPLICATION });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": APPLICATION },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": { "signet.dev/generators": "order-id" },
                },
                "spec": {
                    "serviceAccountName": APPLICATION,
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "app",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "readinessProbe": {
                            "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1,
                        },
                        "securityContext": {
                            "runAsNonRoot": true,
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": { "drop": ["ALL"] },
                            "seccompProfile": { "type": "RuntimeDefault" },
                        },
                    }],
                },
            },
        },
    })
}

fn tell(pod: &Pod) -> Result<()> {
    let ask = |request: &Value| from_inside(pod, request);
    println!("\nFrom inside {NAMESPACE}/{}, on localhost:", pod.name);
    let answer = ask(&json!({
        "method": "GET",
        "url": format!("{SIDECAR}/v1/token"),
        "headers": { "Signet-Request": "true" },
    }))?;
    let answer: Value = serde_json::from_str(&answer).context("the token's answer")?;
    let token = answer["access_token"]
        .as_str()
        .context("the answer has no access_token")?;
    println!("  GET /v1/token: a token of {} characters", token.len());

    for (amount, expected) in [(10, true), (5000, false)] {
        let answer = ask(&json!({
            "method": "POST",
            "url": format!("{SIDECAR}/v1/authorize"),
            "headers": {},
            "body": {
                "token": token,
                "resource": "orders/42",
                "action": "create",
                "request": { "amount": amount },
            },
        }))?;
        let decision: Value = serde_json::from_str(&answer).context("the decision")?;
        let verdict = if decision["allowed"] == true {
            "allowed"
        } else {
            "refused"
        };
        let reason = decision["reason"].as_str().unwrap_or_default();
        println!("  POST /v1/authorize: create orders/42 of amount {amount}: {verdict}: {reason}");
        if decision["allowed"] != expected {
            bail!("a decision on the amount {amount} came out as {verdict}");
        }
    }
    let url = format!("{SIDECAR}/v1/ids/order-id?count=5");
    let ids = ask(&json!({ "method": "GET", "url": url, "headers": {} }))?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    println!("  GET /v1/ids/order-id?count=5: {}", ids.join(" "));
    if ids.len() != 5 {
        bail!("asked for 5 ids and got {}", ids.len());
    }
    Ok(())
}

/// Has the application in `pod` perform `request`; gives the body of a good answer.
fn from_inside(pod: &Pod, request: &Value) -> Result<String> {
    let answer = http::post(pod.control, "/request", &request.to_string())?;
    let answer: Value = serde_json::from_str(&answer).context("the application's answer")?;
    match answer["status"].as_u64() {
        Some(200) => Ok(answer["body"].as_str().unwrap_or_default().to_owned()),
        _ => bail!("{} answered: {answer}", request["url"]),
    }
}

fn kubectl(layout: &Layout) -> Result<Command> {
    cluster::kubectl(layout)
}
