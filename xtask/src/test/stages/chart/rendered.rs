//! What the rendered chart promises, whatever its values: a webhook that neither lets pods slip by
//! nor blocks the cluster's own, pods that pass the restricted standard, keys that stay.

use serde_json::{Value, json};

/// Made once, and never lost: by the chart itself.
const KEPT_SECRETS: [&str; 2] = ["signet-master-key", "signet-bootstrap"];
const DEPLOYMENTS: [&str; 2] = ["signet-central", "signet-operator"];
const WEBHOOKS: usize = 2;

/// What differs from the promise, as sentences that name the object.
pub(super) fn defects(objects: &[Value], namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in DEPLOYMENTS {
        if named(objects, "Deployment", name).is_none() {
            found.push(format!("there is no Deployment {name}"));
        }
    }
    for name in KEPT_SECRETS {
        match named(objects, "Secret", name) {
            Some(secret) => found.extend(of_kept_secret(secret, name)),
            None => found.push(format!("there is no Secret {name}")),
        }
    }
    for object in objects {
        let name = text(object, "/metadata/name");
        if let Some(pod) = object.pointer("/spec/template/spec") {
            found.extend(of_pod(pod, name));
        }
    }
    let webhooks: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == "MutatingWebhookConfiguration")
        .filter_map(|object| object["webhooks"].as_array())
        .flatten()
        .collect();
    if webhooks.len() != WEBHOOKS {
        found.push(format!("{} webhooks, not {WEBHOOKS}", webhooks.len()));
    }
    for webhook in webhooks {
        found.extend(of_webhook(webhook, namespace));
    }
    found
}

fn of_webhook(webhook: &Value, namespace: &str) -> Vec<String> {
    let name = text(webhook, "/name");
    let mut found = unequal(
        webhook,
        name,
        &[
            ("/failurePolicy", json!("Fail")),
            ("/reinvocationPolicy", json!("IfNeeded")),
            ("/sideEffects", json!("None")),
            ("/clientConfig/service/namespace", json!(namespace)),
        ],
    );
    let timeout = webhook["timeoutSeconds"].as_u64();
    if !timeout.is_some_and(|seconds| (1..=5).contains(&seconds)) {
        found.push(format!("{name}: timeoutSeconds is {timeout:?}, not 1 to 5"));
    }
    if webhook.pointer("/clientConfig/caBundle").is_some() {
        found.push(format!(
            "{name}: has a caBundle, which is the operator's to set"
        ));
    }
    for excluded in ["kube-system", namespace] {
        if !excludes(webhook, excluded) {
            found.push(format!("{name}: does not exclude the namespace {excluded}"));
        }
    }
    found
}

fn excludes(webhook: &Value, namespace: &str) -> bool {
    let expressions = webhook.pointer("/namespaceSelector/matchExpressions");
    expressions
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|expression| {
            expression["key"] == "kubernetes.io/metadata.name" && expression["operator"] == "NotIn"
        })
        .filter_map(|expression| expression["values"].as_array())
        .flatten()
        .any(|value| value == namespace)
}

/// The restricted Pod Security Standard, with the root filesystem read-only on top.
fn of_pod(pod: &Value, name: &str) -> Vec<String> {
    let mut found = unequal(
        pod,
        name,
        &[
            ("/securityContext/runAsNonRoot", json!(true)),
            (
                "/securityContext/seccompProfile/type",
                json!("RuntimeDefault"),
            ),
        ],
    );
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.get(field).is_some_and(|value| *value != false) {
            found.push(format!("{name}: {field} is set"));
        }
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        if volume.get("hostPath").is_some() {
            found.push(format!("{name}: a volume of the host is mounted"));
        }
    }
    let containers: Vec<&Value> = ["initContainers", "containers"]
        .iter()
        .filter_map(|list| pod[*list].as_array())
        .flatten()
        .collect();
    if containers.is_empty() {
        found.push(format!("{name}: has no containers"));
    }
    for container in containers {
        let place = format!("{name}, container {}", text(container, "/name"));
        found.extend(unequal(
            container,
            &place,
            &[
                ("/securityContext/allowPrivilegeEscalation", json!(false)),
                ("/securityContext/readOnlyRootFilesystem", json!(true)),
                ("/securityContext/runAsNonRoot", json!(true)),
                ("/securityContext/capabilities", json!({ "drop": ["ALL"] })),
                (
                    "/securityContext/seccompProfile/type",
                    json!("RuntimeDefault"),
                ),
            ],
        ));
        for field in ["privileged", "runAsUser", "procMount"] {
            if container["securityContext"].get(field).is_some() {
                found.push(format!("{place}: securityContext.{field} is set"));
            }
        }
    }
    found
}

fn of_kept_secret(secret: &Value, name: &str) -> Vec<String> {
    unequal(
        secret,
        name,
        &[
            ("/immutable", json!(true)),
            (
                "/metadata/annotations/helm.sh~1resource-policy",
                json!("keep"),
            ),
        ],
    )
}

fn unequal(object: &Value, name: &str, expected: &[(&str, Value)]) -> Vec<String> {
    let defect = |(pointer, value): &(&str, Value)| {
        let now = object.pointer(pointer).unwrap_or(&Value::Null);
        (now != value).then(|| format!("{name}: {pointer} is {now}, not {value}"))
    };
    expected.iter().filter_map(defect).collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("(no name)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(name: &str) -> Value {
        json!({ "kind": "Deployment", "metadata": { "name": name }, "spec": { "template": { "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "it", "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            } }],
        } } } })
    }

    fn secret(name: &str) -> Value {
        json!({ "kind": "Secret", "immutable": true,
            "metadata": { "name": name, "annotations": { "helm.sh/resource-policy": "keep" } } })
    }

    fn webhook(name: &str) -> Value {
        json!({
            "name": name, "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None", "timeoutSeconds": 5,
            "clientConfig": { "service": { "namespace": "platform" } },
            "namespaceSelector": { "matchExpressions": [{
                "key": "kubernetes.io/metadata.name", "operator": "NotIn",
                "values": ["kube-system", "platform"],
            }] },
        })
    }

    fn chart() -> Value {
        json!([
            deployment("signet-central"), deployment("signet-operator"),
            secret("signet-master-key"), secret("signet-bootstrap"),
            { "kind": "MutatingWebhookConfiguration", "webhooks": [webhook("a"), webhook("b")] },
        ])
    }

    fn defects_of(chart: &Value) -> Vec<String> {
        defects(chart.as_array().unwrap(), "platform")
    }

    #[test]
    fn each_promise_broken_is_one_defect() {
        assert_eq!(defects_of(&chart()), [""; 0]);
        let container = "/0/spec/template/spec/containers/0/securityContext";
        let broken = [
            ("/4/webhooks/1/failurePolicy".to_owned(), json!("Ignore")),
            ("/4/webhooks/0/timeoutSeconds".to_owned(), json!(10)),
            ("/4/webhooks/0/reinvocationPolicy".to_owned(), Value::Null),
            (
                "/4/webhooks/0/clientConfig/caBundle".to_owned(),
                json!("Cg=="),
            ),
            (
                "/4/webhooks/1/namespaceSelector/matchExpressions/0/values".to_owned(),
                json!(["platform"]),
            ),
            (
                "/4/webhooks/1/namespaceSelector/matchExpressions/0/values".to_owned(),
                json!(["kube-system", "signet-system"]),
            ),
            ("/4/webhooks".to_owned(), json!([webhook("a")])),
            ("/0/kind".to_owned(), json!("DaemonSet")),
            ("/2/immutable".to_owned(), json!(false)),
            ("/3/metadata/annotations".to_owned(), Value::Null),
            ("/3/metadata/name".to_owned(), json!("another")),
            ("/1/spec/template/spec/hostNetwork".to_owned(), json!(true)),
            (
                "/1/spec/template/spec/volumes".to_owned(),
                json!([{ "hostPath": { "path": "/" } }]),
            ),
            (
                "/1/spec/template/spec/securityContext/runAsNonRoot".to_owned(),
                json!(false),
            ),
            ("/1/spec/template/spec/containers".to_owned(), json!([])),
            (format!("{container}/readOnlyRootFilesystem"), json!(false)),
            (
                format!("{container}/capabilities"),
                json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] }),
            ),
            (format!("{container}/privileged"), json!(true)),
        ];
        for (pointer, value) in broken {
            let mut chart = chart();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            chart.pointer_mut(parent).unwrap()[key] = value;
            let found = defects_of(&chart);
            assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        }
    }
}
