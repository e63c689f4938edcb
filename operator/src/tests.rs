//! Resources from YAML, through the real `validate` and `build`, as they reach central.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use protocol::v1;
use serde::de::DeserializeOwned;

use crate::{InvalidResource, NamespaceLabels, id_generator, labels_of, role, tenant};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/resources");

fn documents<K: DeserializeOwned>(directory: &str, file: &str) -> Vec<K> {
    let text = std::fs::read_to_string(format!("{directory}/{file}")).unwrap();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

fn document<K: DeserializeOwned>(directory: &str, file: &str) -> K {
    documents(directory, file).remove(0)
}

fn shop_labels() -> BTreeMap<String, String> {
    labels_of(&document::<Namespace>(SAMPLES, "namespace.yaml"))
}

fn namespaces() -> NamespaceLabels {
    let other = BTreeMap::from([("signet.dev/tenant".into(), "globex".into())]);
    BTreeMap::from([("shop".into(), shop_labels()), ("elsewhere".into(), other)])
}

fn acme() -> Arc<crds::Tenant> {
    Arc::new(document(SAMPLES, "tenant.yaml"))
}

fn tenant_request(tenant: &crds::Tenant) -> Result<v1::ApplyTenantRequest, InvalidResource> {
    let dereferenced = tenant::Dereferenced {
        namespaces: namespaces(),
    };
    Ok(tenant::build(&tenant::validate(tenant, &dereferenced)?))
}

fn role_request(role: &crds::Role) -> Result<v1::ApplyRoleRequest, InvalidResource> {
    let dereferenced = role::Dereferenced {
        tenant: Some(acme()),
        namespace_labels: shop_labels(),
    };
    Ok(role::build(&role::validate(role, &dereferenced)?))
}

fn generator_request(
    generator: &crds::IdGenerator,
) -> Result<v1::ApplyIdGeneratorRequest, InvalidResource> {
    let dereferenced = id_generator::Dereferenced {
        tenant: Some(acme()),
        namespace_labels: shop_labels(),
    };
    Ok(id_generator::build(&id_generator::validate(
        generator,
        &dereferenced,
    )?))
}

#[test]
fn the_sample_tenant_reaches_central_whole() {
    let request = tenant_request(&acme()).unwrap();
    assert_eq!(request.name, "acme");
    assert_eq!(
        request.spec.unwrap(),
        v1::TenantSpec {
            display_name: "Acme".into(),
            namespaces: vec!["shop".into()],
            tokens: Some(v1::TokenSettings {
                algorithm: "ES256".into(),
                access_token_lifetime_seconds: 900,
                refresh_token_lifetime_seconds: 604_800,
                audiences: vec!["acme".into()],
            }),
            keys: Some(v1::KeySettings {
                rotate_every_seconds: 2_592_000,
                overlap_seconds: 86_400,
            }),
        }
    );
}

#[test]
fn the_sample_roles_reach_central_whole() {
    let roles: Vec<crds::Role> = documents(SAMPLES, "role.yaml");
    let requests: Vec<_> = roles
        .iter()
        .map(|role| role_request(role).unwrap())
        .collect();
    let (reader, writer) = (&requests[0], &requests[1]);
    assert_eq!(
        (reader.name.as_str(), reader.namespace.as_str()),
        ("order-reader", "shop")
    );
    assert!(reader.spec.as_ref().unwrap().subjects.is_empty());
    assert_eq!(
        (writer.tenant.as_str(), writer.name.as_str()),
        ("acme", "order-writer")
    );
    let spec = writer.spec.clone().unwrap();
    assert_eq!(spec.inherits, ["order-reader"]);
    assert_eq!(
        spec.rules,
        [v1::Rule {
            effect: v1::rule::Effect::Allow.into(),
            resources: vec!["orders/*".into()],
            actions: vec!["create".into(), "read".into()],
            when: "request.amount < 1000".into(),
        }]
    );
    assert_eq!(
        spec.subjects,
        [v1::Subject {
            kind: v1::subject::Kind::ServiceAccount.into(),
            name: "checkout".into(),
            namespace: "shop".into(),
        }]
    );
}

#[test]
fn the_sample_generator_reaches_central_whole() {
    let request = generator_request(&document(SAMPLES, "id-generator.yaml")).unwrap();
    assert_eq!(
        (request.tenant.as_str(), request.name.as_str()),
        ("acme", "order-id")
    );
    let spec = request.spec.unwrap();
    assert_eq!(
        spec.algorithm,
        Some(v1::id_generator_spec::Algorithm::Segment(v1::Segment {
            start: 1,
            max: 9_000_000_000_000_000,
            step: 1000,
        }))
    );
    assert_eq!(
        spec.buffer,
        Some(v1::Buffer {
            capacity: 1_000_000,
            refill_at_percent: 10,
            outage_budget_seconds: 600,
        })
    );
}

#[test]
fn everything_a_role_can_say_is_carried() {
    let spec = role_request(&document(FIXTURES, "role-full.yaml"))
        .unwrap()
        .spec
        .unwrap();
    assert_eq!(spec.rules[0].effect, i32::from(v1::rule::Effect::Deny));
    assert_eq!(spec.rules[0].when, "");
    let subjects: Vec<_> = spec
        .subjects
        .iter()
        .map(|subject| {
            (
                subject.kind(),
                subject.name.as_str(),
                subject.namespace.as_str(),
            )
        })
        .collect();
    use v1::subject::Kind;
    assert_eq!(
        subjects,
        [
            (Kind::ServiceAccount, "billing", "depot"),
            (Kind::User, "ann", ""),
            (Kind::Group, "auditors", ""),
            (Kind::Client, "console", ""),
        ]
    );
}

#[test]
fn a_snowflake_is_passed_on_for_central_to_judge() {
    let request = generator_request(&document(FIXTURES, "snowflake.yaml")).unwrap();
    let expected = v1::Snowflake {
        epoch: "2026-01-01T00:00:00Z".into(),
        bits: "1/42/3/8/10".into(),
    };
    assert_eq!(
        request.spec.unwrap().algorithm,
        Some(v1::id_generator_spec::Algorithm::Snowflake(expected))
    );
}

#[test]
fn what_a_server_without_our_schema_would_let_through_is_refused() {
    for (file, reason, field) in [
        ("tenant-dotted-name.yaml", "InvalidName", "metadata.name"),
        ("tenant-clients.yaml", "NotServed", "spec.clients"),
        ("tenant-quotas.yaml", "NotServed", "spec.quotas"),
        (
            "tenant-empty-selector.yaml",
            "InvalidSelector",
            "spec.namespaces",
        ),
    ] {
        let invalid = tenant_request(&document(FIXTURES, file)).unwrap_err();
        let found = (
            invalid.reason.as_str(),
            invalid.field.as_deref(),
            invalid.may_heal,
        );
        assert_eq!(found, (reason, Some(field), false), "{file}");
    }
    for (file, reason, field) in [
        ("generator-two-algorithms.yaml", "InvalidAlgorithm", "spec"),
        (
            "generator-negative.yaml",
            "InvalidSegment",
            "spec.segment.start",
        ),
        ("generator-fallback.yaml", "NotServed", "spec.fallback"),
        (
            "generator-refill.yaml",
            "InvalidBuffer",
            "spec.buffer.refillAt",
        ),
    ] {
        let invalid = generator_request(&document(FIXTURES, file)).unwrap_err();
        let found = (
            invalid.reason.as_str(),
            invalid.field.as_deref(),
            invalid.may_heal,
        );
        assert_eq!(found, (reason, Some(field), false), "{file}");
    }
}

#[test]
fn a_role_waits_for_its_tenant_and_its_namespace() {
    let role: crds::Role = document(SAMPLES, "role.yaml");
    let nobody = role::Dereferenced::default();
    let stranger = role::Dereferenced {
        tenant: Some(acme()),
        namespace_labels: BTreeMap::new(),
    };
    for (dereferenced, reason) in [
        (nobody, "TenantNotFound"),
        (stranger, "NamespaceNotAdmitted"),
    ] {
        let invalid = role::validate(&role, &dereferenced).unwrap_err();
        assert_eq!((invalid.reason.as_str(), invalid.may_heal), (reason, true));
    }
}
