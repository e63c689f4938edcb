use eventstore::command::Aggregate;
use serde_json::{Value, json};

use super::{Generator, Role, Tenant};

const AT: &str = "2026-01-02T03:04:05.000006Z";

fn tenant_spec() -> Value {
    json!({
        "name": "acme",
        "displayName": "Acme",
        "namespaces": ["shop"],
        "tokens": {
            "algorithm": "ES256",
            "accessTokenLifetimeSeconds": 900,
            "refreshTokenLifetimeSeconds": 604_800,
            "audiences": ["acme"],
        },
        "keys": { "rotateEverySeconds": 2_592_000, "overlapSeconds": 86_400 },
    })
}

fn generator_spec() -> Value {
    json!({
        "algorithm": { "segment": { "start": 1, "max": 1000, "step": 10 } },
        "buffer": { "capacity": 10, "refillAtPercent": 10, "outageBudgetSeconds": 1 },
    })
}

fn role() -> Value {
    json!({
        "namespace": "shop",
        "name": "reader",
        "rules": [{ "effect": "Allow", "resources": ["a"], "actions": ["b"] }],
    })
}

fn event<A: Aggregate>(event_type: &str, data: Value) -> A::Event {
    A::decode(event_type, 1, data).unwrap()
}

/// The state after events, as a snapshot has it, and read from there.
fn kept<A: Aggregate>(events: Vec<(&str, Value)>) -> Value
where
    A::State: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let state = events
        .into_iter()
        .map(|(event_type, data)| event::<A>(event_type, data))
        .fold(A::State::default(), |state, event| A::evolve(state, &event));
    let written = serde_json::to_value(&state).unwrap();
    let read: A::State = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(read, state);
    written
}

// When one of the three below fails, the shape of a state changed: give it a new version, or snapshots
// that were taken before are read as something else.

#[test]
fn a_tenant_s_state_has_the_shape_of_its_version() {
    let key = |name: &str| {
        json!({
            "type": name, "kid": "a", "algorithm": "ES256",
            "publicJwk": { "kty": "EC", "d": "private" }, "at": AT,
        })
    };
    let mut second = key("KeyAdded");
    second["kid"] = json!("b");
    let retired = json!({ "type": "KeyRetired", "kid": "z", "at": AT });
    let events = vec![
        (
            "TenantDeclared",
            json!({ "type": "Declared", "spec": tenant_spec() }),
        ),
        ("TenantKeyAdded", key("KeyAdded")),
        ("TenantKeyActivated", key("KeyActivated")),
        ("TenantKeyAdded", second),
        ("TenantKeyRetired", retired),
    ];

    let expected = json!({
        "standing": "Open",
        "spec": tenant_spec(),
        "keys": [
            {
                "kid": "a",
                "algorithm": "ES256",
                "public_jwk": { "kty": "EC" },
                "added_at": AT,
                "activated_at": AT,
                "superseded_at": null,
                "longest_token_lifetime_seconds": 900,
            },
            {
                "kid": "b",
                "algorithm": "ES256",
                "public_jwk": { "kty": "EC" },
                "added_at": AT,
                "activated_at": null,
                "superseded_at": null,
                "longest_token_lifetime_seconds": 0,
            },
        ],
        "retired": ["z"],
    });
    assert_eq!(kept::<Tenant>(events), expected);
}

#[test]
fn a_role_s_state_has_the_shape_of_its_version() {
    let declared = json!({ "type": "Declared", "role": role() });
    let written = kept::<Role>(vec![("RoleDeclared", declared)]);

    for member in ["namespace", "name"] {
        assert_eq!(written["role"][member], role()[member]);
    }
    assert_eq!(written["role"]["rules"][0]["effect"], "Allow");
    let removed = kept::<Role>(vec![("RoleRemoved", json!({ "type": "Removed" }))]);
    assert_eq!(removed, json!({ "role": null }));
}

#[test]
fn a_generator_s_state_has_the_shape_of_its_version() {
    let range = json!({ "start": 1, "end": 11, "stride": 1, "epoch": 1 });
    let events = vec![
        (
            "Declared",
            json!({ "type": "Declared", "namespace": "shop", "spec": generator_spec() }),
        ),
        (
            "RangeAllocated",
            json!({ "type": "RangeAllocated", "namespace": "shop", "range": range, "owner": "o" }),
        ),
    ];

    let expected = json!({
        "members": { "shop": { "spec": generator_spec(), "next": 11, "removed": false } },
        "allocations": 1,
    });
    assert_eq!(kept::<Generator>(events), expected);
}

/// Reads an event of every registered name, and looks whether it would be stored under that name.
fn names_hold<A: Aggregate>(names: &[&str], prefix: &str, data: &Value) {
    let types = crate::event_types::registry().unwrap();
    for name in names {
        let mut data = data.clone();
        data["type"] = json!(name.strip_prefix(prefix).unwrap());
        let encoded = A::encode(&event::<A>(name, data)).unwrap();

        assert_eq!(encoded.event_type, *name);
        let known = types.types().into_iter().any(|known| {
            known.name.event_type == *name
                && known.name.stream_type.as_deref() == Some(A::STREAM_TYPE)
                && known.current_version == encoded.schema_version
        });
        assert!(known, "{name} is not registered");
    }
}

#[test]
fn every_event_is_stored_under_a_registered_name() {
    let data = json!({
        "spec": tenant_spec(), "kid": "a", "algorithm": "ES256",
        "publicJwk": { "kty": "EC" }, "at": AT,
    });
    names_hold::<Tenant>(&iam::tenant::EVENT_TYPES, "Tenant", &data);
    names_hold::<Role>(&iam::role::EVENT_TYPES, "Role", &json!({ "role": role() }));
    let data = json!({
        "namespace": "shop", "spec": generator_spec(), "owner": "o",
        "range": { "start": 1, "end": 11, "stride": 1, "epoch": 1 },
    });
    names_hold::<Generator>(&idgen::generator::EVENT_TYPES, "", &data);
}

#[test]
fn an_event_that_no_registry_knows_is_not_written() {
    assert!(super::registered("Invented", &iam::role::EVENT_TYPES).is_err());
}
