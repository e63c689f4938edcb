//! What holds of every pod: nothing is lost, and a second call changes nothing.

use k8s_openapi::api::core::v1::Pod;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn settings() -> SidecarSettings {
    SidecarSettings {
        image: "signet/sidecar:1".into(),
        image_pull_policy: "Never".into(),
        resources: Resources {
            cpu_request: "10m".parse().unwrap(),
            cpu_limit: "1".parse().unwrap(),
            memory_request: "32Mi".parse().unwrap(),
            memory_limit: "128Mi".parse().unwrap(),
        },
        central_url: "http://signet-central.signet-system.svc:7750".into(),
        central_ca: String::new(),
        token_audience: "signet-central".into(),
        token_expiration_seconds: 600,
        log: "info".into(),
    }
}

/// Environments: none at all, empty, without and with our variable.
fn environment() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!([]))),
        Just(Some(json!([{"name": "A", "value": "1"}]))),
        Just(Some(
            json!([{"name": "SIGNET_URL", "value": "http://127.0.0.1:1"}, {"name": "B"}])
        )),
    ]
}

fn containers(prefix: &'static str) -> impl Strategy<Value = Vec<Value>> {
    vec(environment(), 0..4).prop_map(move |environments| {
        let numbered = environments.into_iter().enumerate();
        numbered
            .map(|(index, environment)| {
                let mut container = json!({"name": format!("{prefix}-{index}"), "image": "x"});
                if let Some(environment) = environment {
                    container["env"] = environment;
                }
                container
            })
            .collect()
    })
}

fn volumes() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!([]))),
        Just(Some(json!([{"name": "data", "emptyDir": {}}]))),
    ]
}

fn annotations() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!({}))),
        Just(Some(json!({"a/b~c": "d", "signet.dev/port": "8740"}))),
        Just(Some(
            json!({"signet.dev/injected": "copied from another pod"})
        )),
    ]
}

prop_compose! {
    fn pods()(
        app in containers("app"),
        init in proptest::option::of(containers("init")),
        volumes in volumes(),
        annotations in annotations(),
        user in proptest::option::of(0i64..2),
    ) -> Value {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": app}});
        for (parent, key, value) in [
            ("spec", "initContainers", init.map(Value::Array)),
            ("spec", "volumes", volumes),
            ("metadata", "annotations", annotations),
            ("spec", "securityContext", user.map(|user| json!({"runAsUser": user}))),
        ] {
            if let Some(value) = value {
                pod[parent][key] = value;
            }
        }
        pod
    }
}

fn injected(pod: &Value) -> Value {
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    let settings = settings();
    let context = InjectionContext {
        tenant: "acme",
        settings: &settings,
    };
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &inject(&typed, &context).unwrap().patch).unwrap();
    patched
}

/// All of `part` is in `whole`, lists being allowed to have grown.
fn kept(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|found| kept(found, value))),
        (Value::Array(whole), Value::Array(part)) => {
            let mut rest = whole.iter();
            part.iter()
                .all(|value| rest.any(|found| kept(found, value)))
        }
        (Value::String(_), Value::String(mark)) if mark.starts_with("copied") => true,
        (whole, part) => whole == part,
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_everyone_is_served(pod in pods()) {
        let after = injected(&pod);
        prop_assert!(kept(&after, &pod), "{pod} became {after}");
        prop_assert_eq!(&after["spec"]["initContainers"][0]["name"], "signet");
        prop_assert_eq!(&after["metadata"]["annotations"]["signet.dev/injected"], "acme");
        let init = after["spec"]["initContainers"].as_array().unwrap();
        let app = after["spec"]["containers"].as_array().unwrap();
        for container in init.iter().skip(1).chain(app) {
            let variables = container["env"].as_array().unwrap();
            let urls = variables.iter().filter(|v| v["name"] == "SIGNET_URL").count();
            prop_assert_eq!(urls, 1);
        }
        let volumes = after["spec"]["volumes"].as_array().unwrap();
        prop_assert_eq!(volumes.iter().filter(|v| v["name"] == "signet-token").count(), 1);
    }

    #[test]
    fn twice_is_as_once(pod in pods()) {
        let once = injected(&pod);
        prop_assert_eq!(injected(&once), once);
    }
}
