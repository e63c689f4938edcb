//! Pods as their controllers make them, through `inject`, and what comes out.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

fn settings() -> SidecarSettings {
    SidecarSettings {
        image: "signet/sidecar:1".into(),
        image_pull_policy: "IfNotPresent".into(),
        resources: Resources {
            cpu_request: "10m".parse().unwrap(),
            cpu_limit: "1".parse().unwrap(),
            memory_request: "32Mi".parse().unwrap(),
            memory_limit: "128Mi".parse().unwrap(),
        },
        central_url: "https://signet-central.signet-system.svc:7750".into(),
        central_ca: "-----BEGIN CERTIFICATE-----\n".into(),
        token_audience: "signet-central".into(),
        token_expiration_seconds: 3600,
        log: "info".into(),
    }
}

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/pods/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn attempt(pod: &Value) -> Result<(Value, Injection), Denial> {
    let settings = settings();
    let context = InjectionContext {
        tenant: "acme",
        settings: &settings,
    };
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    let injection = inject(&typed, &context)?;
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &injection.patch).unwrap();
    serde_json::from_value::<Pod>(patched.clone()).unwrap();
    Ok((patched, injection))
}

fn injected(pod: &Value) -> Value {
    attempt(pod).unwrap().0
}

fn names(containers: &Value) -> Vec<&str> {
    let containers = containers.as_array().map(Vec::as_slice).unwrap_or_default();
    containers
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect()
}

fn variable<'a>(container: &'a Value, name: &str) -> Vec<&'a Value> {
    let variables = container["env"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    variables
        .iter()
        .filter(|variable| variable["name"] == name)
        .collect()
}

#[test]
fn the_sidecar_is_native_first_and_waits_for_nothing_else() {
    let pod = injected(&fixture("deployment"));
    assert_eq!(names(&pod["spec"]["initContainers"]), ["signet"]);
    assert_eq!(names(&pod["spec"]["containers"]), ["app", "log-shipper"]);
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always");
    for (probe, path) in [
        ("startupProbe", "/startup"),
        ("readinessProbe", "/ready"),
        ("livenessProbe", "/live"),
    ] {
        assert_eq!(sidecar[probe]["httpGet"]["path"], path);
        assert_eq!(sidecar[probe]["httpGet"]["port"], 7743);
    }
}

#[test]
fn it_meets_the_restricted_pod_security_standard_without_a_uid_of_ours() {
    let sidecar = injected(&fixture("deployment"))["spec"]["initContainers"][0].clone();
    assert_eq!(
        sidecar["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    for kind in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            assert!(
                sidecar["resources"][kind][resource].is_string(),
                "{kind} {resource}"
            );
        }
    }
}

#[test]
fn a_pod_that_runs_as_root_does_not_drag_the_sidecar_along() {
    let sidecar = injected(&fixture("init-containers"))["spec"]["initContainers"][0].clone();
    assert_eq!(sidecar["securityContext"]["runAsUser"], 65532);
}

#[test]
fn the_token_is_projected_for_central_and_mounted_in_the_sidecar_only() {
    let pod = injected(&fixture("deployment"));
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert_eq!(
        names(&pod["spec"]["volumes"]),
        ["kube-api-access-x", "signet-token"]
    );
    let token = &volumes[1]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        token,
        &json!({"audience": "signet-central", "expirationSeconds": 3600, "path": "token"})
    );
    let mounts = |container: &Value| -> Vec<String> {
        let mounts = container["volumeMounts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        mounts
            .iter()
            .map(|mount| mount["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(mounts(&pod["spec"]["initContainers"][0]), ["signet-token"]);
    for container in pod["spec"]["containers"].as_array().unwrap() {
        assert!(!mounts(container).contains(&"signet-token".to_owned()));
    }
}

#[test]
fn the_environment_is_that_of_the_contract() {
    let pod = injected(&fixture("deployment"));
    let sidecar = &pod["spec"]["initContainers"][0];
    for (name, value) in [
        ("SIGNET_TENANT", "acme"),
        (
            "SIGNET_CENTRAL_URL",
            "https://signet-central.signet-system.svc:7750",
        ),
        ("SIGNET_CENTRAL_CA", "-----BEGIN CERTIFICATE-----\n"),
        ("SIGNET_TOKEN_FILE", "/var/run/secrets/signet.dev/token"),
        ("SIGNET_GENERATORS", "order-id"),
        ("SIGNET_PORT", "7740"),
        ("SIGNET_HEALTH_PORT", "7743"),
        ("SIGNET_LOG", "info"),
    ] {
        assert_eq!(variable(sidecar, name)[0]["value"], value, "{name}");
    }
    for (name, path) in [
        ("SIGNET_POD_NAME", "metadata.name"),
        ("SIGNET_NAMESPACE", "metadata.namespace"),
    ] {
        assert_eq!(
            variable(sidecar, name)[0]["valueFrom"]["fieldRef"]["fieldPath"],
            path
        );
    }
    assert!(variable(sidecar, "SIGNET_URL").is_empty());
}

#[test]
fn every_other_container_learns_the_url_unless_it_has_one() {
    let pod = injected(&fixture("init-containers"));
    let spec = &pod["spec"];
    assert_eq!(
        names(&spec["initContainers"]),
        ["signet", "mesh-proxy", "migrate"]
    );
    for (container, url) in [
        (&spec["initContainers"][1], "http://127.0.0.1:7740"),
        (&spec["initContainers"][2], "http://127.0.0.1:9999"),
        (&spec["containers"][0], "http://127.0.0.1:7740"),
        (&spec["containers"][1], "http://127.0.0.1:7740"),
    ] {
        let found = variable(container, "SIGNET_URL");
        assert_eq!(found.len(), 1, "{container}");
        assert_eq!(found[0]["value"], url);
    }
}

#[test]
fn a_moved_port_moves_the_url() {
    let mut pod = fixture("job");
    pod["metadata"]["annotations"] = json!({"signet.dev/port": "8740"});
    let pod = injected(&pod);
    let url = variable(&pod["spec"]["containers"][0], "SIGNET_URL")[0].clone();
    assert_eq!(url["value"], "http://127.0.0.1:8740");
    let port = variable(&pod["spec"]["initContainers"][0], "SIGNET_PORT")[0].clone();
    assert_eq!(port["value"], "8740");
}

#[test]
fn the_pod_is_marked_and_kubectl_shows_the_application() {
    let annotations = |name| injected(&fixture(name))["metadata"]["annotations"].clone();
    let default = "kubectl.kubernetes.io/default-container";
    assert_eq!(annotations("deployment")["signet.dev/injected"], "acme");
    assert_eq!(annotations("deployment")[default], "app");
    assert_eq!(annotations("deployment")["prometheus.io/scrape"], "true");
    assert_eq!(annotations("job")[default], "main");
    assert_eq!(annotations("init-containers")[default], "worker");
}

#[test]
fn nothing_of_the_pod_is_lost() {
    for name in ["deployment", "job", "init-containers"] {
        let before = fixture(name);
        let (_, injection) = attempt(&before).unwrap();
        for operation in &injection.patch.0 {
            assert!(
                matches!(operation, json_patch::PatchOperation::Add(_)),
                "{name}: {operation:?}"
            );
        }
        let after = injected(&before);
        assert_eq!(
            after["spec"]["restartPolicy"],
            before["spec"]["restartPolicy"]
        );
        assert_eq!(
            after["spec"]["containers"][0]["command"],
            before["spec"]["containers"][0]["command"]
        );
        assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    }
}

#[test]
fn a_second_call_changes_nothing() {
    for name in ["deployment", "job", "init-containers"] {
        let once = injected(&fixture(name));
        let (twice, injection) = attempt(&once).unwrap();
        assert!(
            injection.present && injection.patch.0.is_empty(),
            "{name}: {injection:?}"
        );
        assert_eq!(twice, once);
    }
}

#[test]
fn a_second_call_serves_what_another_webhook_added_since() {
    let mut pod = injected(&fixture("job"));
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({"name": "late", "image": "example/late:1"}));
    pod["spec"]["volumes"] = json!([]);
    let (pod, injection) = attempt(&pod).unwrap();
    assert!(injection.present);
    assert_eq!(names(&pod["spec"]["initContainers"]), ["signet"]);
    assert_eq!(
        variable(&pod["spec"]["containers"][1], "SIGNET_URL").len(),
        1
    );
    assert_eq!(names(&pod["spec"]["volumes"]), ["signet-token"]);
}

#[test]
fn a_copied_mark_without_the_container_is_no_sidecar() {
    let mut pod = fixture("job");
    pod["metadata"]["annotations"] = json!({"signet.dev/injected": "acme"});
    assert_eq!(names(&injected(&pod)["spec"]["initContainers"]), ["signet"]);
}

#[test]
fn what_leaves_no_room_is_denied_with_advice() {
    for (pointer, value, advice) in [
        ("/spec/hostNetwork", json!(true), "hostNetwork"),
        (
            "/spec/containers/0/name",
            json!("signet"),
            "container named `signet`",
        ),
        (
            "/spec/volumes",
            json!([{"name": "signet-token"}]),
            "volume named `signet-token`",
        ),
        (
            "/spec/containers/0/ports",
            json!([{"containerPort": 7740}]),
            "signet.dev/port",
        ),
        (
            "/spec/containers/0/ports",
            json!([{"containerPort": 7743}]),
            "move the container's",
        ),
        (
            "/metadata/annotations",
            json!({"signet.dev/port": "x"}),
            "signet.dev/port",
        ),
        (
            "/metadata/annotations",
            json!({"signet.dev/proxy-port": "1"}),
            "signet.dev/proxy-port",
        ),
    ] {
        let mut pod = fixture("job");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[key] = value;
        let denial = attempt(&pod).unwrap_err().to_string();
        assert!(denial.contains(advice), "{pointer}: {denial}");
    }
}
