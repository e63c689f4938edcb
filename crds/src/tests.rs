//! The generated definitions are fresh, structural, and refuse what they promise to refuse.

use std::path::Path;

use kube::CustomResourceExt;
use kube_cel::Validator;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{IdGenerator, Role, Tenant, render};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples");

fn tenant() -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
        "spec": {
            "namespaces": {"matchLabels": {"signet.dev/tenant": "acme"}},
            "tokens": {"audiences": ["acme"]},
        },
    })
}

fn role() -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "Role",
        "metadata": {"name": "order-writer", "namespace": "shop"},
        "spec": {
            "tenant": "acme",
            "rules": [{"effect": "Allow", "resources": ["orders/*"], "actions": ["read"]}],
            "subjects": [{"kind": "ServiceAccount", "name": "checkout"}],
        },
    })
}

fn generator() -> Value {
    json!({
        "apiVersion": "signet.dev/v1alpha1", "kind": "IdGenerator",
        "metadata": {"name": "order-id", "namespace": "shop"},
        "spec": {"tenant": "acme", "segment": {"start": 1, "max": 1000, "step": 10}},
    })
}

/// Sets `pointer` of `object` to `value`, making the objects on the way; `null` removes.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut place = &mut object;
    for step in parent.split('/').skip(1) {
        place = match place {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            Value::Object(fields) => fields.entry(step).or_insert_with(|| json!({})),
            other => panic!("{pointer} leads through {other}"),
        };
    }
    let fields = place.as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(key);
    } else {
        fields.insert(key.into(), value);
    }
    object
}

/// What the API server's CEL rules say of `object`, defaults filled in as it does.
fn verdict<K>(object: &Value, old: Option<&Value>) -> Vec<String>
where
    K: CustomResourceExt + Serialize + DeserializeOwned,
{
    let defaulted = |object: &Value| {
        serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
    };
    let definition = serde_json::to_value(K::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let old = old.map(defaulted);
    match Validator::new().validate(schema, &defaulted(object), old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.message.clone()).collect(),
    }
}

fn refused<K>(object: Value, old: Option<&Value>, message: &str)
where
    K: CustomResourceExt + Serialize + DeserializeOwned,
{
    let verdict = verdict::<K>(&object, old);
    assert!(
        verdict.iter().any(|given| given.contains(message)),
        "expected a refusal with `{message}`, got {verdict:?} for {object}"
    );
}

#[test]
fn the_committed_yaml_is_fresh() {
    for manifest in render().unwrap() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("yaml")
            .join(manifest.file);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == manifest.text,
            "crds/yaml/{} is stale: run `cargo xtask generate`",
            manifest.file
        );
    }
}

#[test]
fn the_samples_hold_and_name_no_field_that_we_do_not_know() {
    fn check<K>(document: &str)
    where
        K: CustomResourceExt + Serialize + DeserializeOwned,
    {
        let written: Value = serde_saphyr::from_str(document).unwrap();
        assert_eq!(verdict::<K>(&written, None), Vec::<String>::new());
        let read: K = serde_json::from_value(written.clone()).unwrap();
        contains(&serde_json::to_value(read).unwrap(), &written, "");
    }
    let read = |file: &str| std::fs::read_to_string(format!("{SAMPLES}/{file}")).unwrap();
    check::<Tenant>(&read("tenant.yaml"));
    check::<IdGenerator>(&read("id-generator.yaml"));
    let roles = read("role.yaml");
    let roles: Vec<&str> = roles.split("\n---\n").collect();
    assert_eq!(roles.len(), 2);
    for role in roles {
        check::<Role>(role);
    }
}

/// Every value written is there after reading, except lists and maps written empty.
fn contains(whole: &Value, part: &Value, path: &str) {
    match part {
        Value::Object(fields) => {
            for (key, value) in fields {
                if value != &json!([]) && value != &json!({}) {
                    contains(&whole[key], value, &format!("{path}/{key}"));
                }
            }
        }
        value => assert_eq!(&whole, &value, "{path} was lost"),
    }
}

#[test]
fn schemas_are_structural() {
    fn walk(schema: &Value, path: &str) {
        for keyword in [
            "$ref",
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "const",
            "definitions",
        ] {
            assert!(schema.get(keyword).is_none(), "{path} has {keyword}");
        }
        assert_ne!(
            schema.get("additionalProperties"),
            Some(&json!(false)),
            "{path}"
        );
        let free = schema.get("x-kubernetes-int-or-string").is_some();
        assert!(
            free || schema["type"].is_string(),
            "{path} has no single type"
        );
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            walk(property, &format!("{path}.{name}"));
        }
        for nested in ["items", "additionalProperties"] {
            if let Some(schema) = schema.get(nested) {
                walk(schema, &format!("{path}[]"));
            }
        }
    }
    for definition in [Tenant::crd(), Role::crd(), IdGenerator::crd()] {
        let name = definition.metadata.name.clone().unwrap();
        let definition = serde_json::to_value(definition).unwrap();
        let version = &definition["spec"]["versions"][0];
        walk(&version["schema"]["openAPIV3Schema"], &name);
        assert!(version["subresources"]["status"].is_object(), "{name}");
        assert_eq!(definition["spec"]["names"]["categories"], json!(["signet"]));
    }
}

#[test]
fn kubectl_knows_the_names() {
    let names = |definition: Value| {
        let spec = &definition["spec"];
        (
            spec["scope"].clone(),
            spec["names"]["shortNames"][0].clone(),
        )
    };
    let of = |definition| names(serde_json::to_value(definition).unwrap());
    assert_eq!(of(Tenant::crd()), (json!("Cluster"), json!("tn")));
    assert_eq!(of(Role::crd()), (json!("Namespaced"), json!("srole")));
    assert_eq!(of(IdGenerator::crd()), (json!("Namespaced"), json!("idg")));
}

#[test]
fn good_resources_pass_and_may_be_changed_where_they_may() {
    for (object, verdict) in [
        (
            tenant(),
            verdict::<Tenant> as fn(&Value, Option<&Value>) -> Vec<String>,
        ),
        (role(), verdict::<Role>),
        (generator(), verdict::<IdGenerator>),
    ] {
        assert_eq!(verdict(&object, None), Vec::<String>::new());
        assert_eq!(verdict(&object, Some(&object)), Vec::<String>::new());
    }
    // As the documents write them: what is not served yet may stand there empty.
    let empty = [
        ("/spec/trustedIssuers", json!([])),
        ("/spec/clients", json!([])),
        ("/spec/passwordPolicy", json!({})),
        ("/spec/quotas", json!({})),
    ];
    let documented = empty.into_iter().fold(tenant(), |tenant, (field, value)| {
        with(tenant, field, value)
    });
    assert_eq!(verdict::<Tenant>(&documented, None), Vec::<String>::new());
    let documented = with(generator(), "/spec/fallback", json!([]));
    let nothing = Vec::<String>::new();
    assert_eq!(verdict::<IdGenerator>(&documented, None), nothing);
    let raised = with(generator(), "/spec/segment/max", json!(2000));
    assert_eq!(
        verdict::<IdGenerator>(&raised, Some(&generator())),
        Vec::<String>::new()
    );
}

#[test]
fn defaults_are_those_of_the_documents() {
    let tenant: Tenant = serde_json::from_value(tenant()).unwrap();
    let tenant = serde_json::to_value(tenant.spec).unwrap();
    assert_eq!(
        (
            &tenant["tokens"]["algorithm"],
            &tenant["tokens"]["accessTokenLifetime"]
        ),
        (&json!("ES256"), &json!("15m"))
    );
    assert_eq!(tenant["tokens"]["refreshTokenLifetime"], "168h");
    assert_eq!(
        tenant["keys"],
        json!({"rotateEvery": "720h", "overlap": "24h"})
    );
    assert_eq!(tenant["deletionPolicy"], "Retain");
    let generator: IdGenerator = serde_json::from_value(generator()).unwrap();
    assert_eq!(
        serde_json::to_value(generator.spec.buffer).unwrap(),
        json!({"capacity": 1_000_000, "refillAt": 10, "outageBudget": "10m"})
    );
}

#[test]
fn a_wrong_tenant_is_refused_with_advice() {
    for (pointer, value, message) in [
        ("/metadata/name", json!("acme.example"), "no dots"),
        ("/spec/namespaces", json!({}), "would admit every namespace"),
        (
            "/spec/tokens/audiences",
            json!(["a", "b", "a"]),
            "audiences must be unique",
        ),
        (
            "/spec/tokens/accessTokenLifetime",
            json!("30s"),
            "between 1m and 24h",
        ),
        (
            "/spec/tokens/accessTokenLifetime",
            json!("25h"),
            "between 1m and 24h",
        ),
        (
            "/spec/tokens/refreshTokenLifetime",
            json!("10m"),
            "between accessTokenLifetime and",
        ),
        (
            "/spec/keys",
            json!({"overlap": "10m"}),
            "must not outlive its key",
        ),
        (
            "/spec/keys",
            json!({"overlap": "720h"}),
            "rotateEvery must be longer",
        ),
        (
            "/spec/trustedIssuers",
            json!([{"issuer": "x"}]),
            "trustedIssuers is not served",
        ),
        (
            "/spec/clients",
            json!([{"clientId": "x"}]),
            "clients is not served",
        ),
        (
            "/spec/passwordPolicy",
            json!({"minLength": 12}),
            "passwordPolicy is not served",
        ),
        ("/spec/quotas", json!({"users": 10}), "quotas is not served"),
    ] {
        refused::<Tenant>(with(tenant(), pointer, value), None, message);
    }
}

#[test]
fn a_wrong_role_is_refused_with_advice() {
    refused::<Role>(
        with(role(), "/spec/inherits", json!(["order-writer"])),
        None,
        "cannot inherit itself",
    );
    refused::<Role>(
        with(role(), "/spec/inherits", json!(["a", "a"])),
        None,
        "once",
    );
    refused::<Role>(
        with(role(), "/spec/rules", json!([])),
        None,
        "at least one rule",
    );
    refused::<Role>(
        with(
            role(),
            "/spec/subjects",
            json!([{"kind": "User", "name": "x", "namespace": "y"}]),
        ),
        None,
        "belongs to a ServiceAccount only",
    );
    refused::<Role>(
        with(role(), "/spec/tenant", json!("other")),
        Some(&role()),
        "tenant cannot be changed",
    );
}

#[test]
fn a_wrong_generator_is_refused_with_advice() {
    let snowflake = json!({"epoch": "2026-01-01T00:00:00Z"});
    let both = with(generator(), "/spec/snowflake", snowflake.clone());
    let neither = with(generator(), "/spec/segment", Value::Null);
    let other = with(both.clone(), "/spec/segment", Value::Null);
    refused::<IdGenerator>(both, None, "exactly one of");
    refused::<IdGenerator>(neither, None, "exactly one of");
    refused::<IdGenerator>(
        other.clone(),
        Some(&generator()),
        "algorithm cannot be changed",
    );
    refused::<IdGenerator>(
        with(
            other.clone(),
            "/spec/snowflake/epoch",
            json!("2027-01-01T00:00:00Z"),
        ),
        Some(&other),
        "epoch cannot be changed",
    );
    refused::<IdGenerator>(
        with(other, "/spec/snowflake/bits", json!("1/42/3/8/11")),
        None,
        "add up to 64",
    );
    for (pointer, value, message) in [
        (
            "/spec/segment/max",
            json!(1),
            "max must be greater than start",
        ),
        (
            "/spec/segment/step",
            json!(1001),
            "step is greater than the whole segment",
        ),
        ("/spec/fallback", json!(["uuid"]), "fallback is not served"),
        (
            "/spec/buffer",
            json!({"outageBudget": "169h"}),
            "at most 168h",
        ),
    ] {
        refused::<IdGenerator>(with(generator(), pointer, value), None, message);
    }
    for (pointer, value, message) in [
        ("/spec/segment/max", json!(999), "max cannot be lowered"),
        ("/spec/segment/start", json!(2), "start cannot be moved"),
        ("/spec/tenant", json!("other"), "tenant cannot be changed"),
    ] {
        refused::<IdGenerator>(
            with(generator(), pointer, value),
            Some(&generator()),
            message,
        );
    }
}
