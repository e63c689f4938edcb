use idgen::generator;
use policy::{Binding, Effect, Rule, SubjectKind};
use proptest::prelude::{any, proptest};
use protocol::v1;

use eventstore::Position;

use super::wire::{
    Unreadable, generator_spec, generator_spec_out, name, role, role_spec, tenant_spec, wanted,
    wants,
};
use crate::directory::Content;

#[test]
fn a_role_comes_back_as_it_went() {
    let one = policy::Role {
        namespace: "shop".into(),
        name: "writer".into(),
        inherits: vec!["reader".into()],
        rules: vec![
            Rule {
                effect: Effect::Deny,
                resources: vec!["orders/*".into()],
                actions: vec!["delete".into()],
                when: Some("request.amount > 10".into()),
            },
            Rule {
                effect: Effect::Allow,
                resources: vec!["orders/**".into()],
                actions: vec!["*".into()],
                when: None,
            },
        ],
        subjects: vec![
            Binding {
                kind: SubjectKind::ServiceAccount,
                name: "web".into(),
                namespace: None,
            },
            Binding {
                kind: SubjectKind::Group,
                name: "staff".into(),
                namespace: None,
            },
            Binding {
                kind: SubjectKind::ServiceAccount,
                name: "x".into(),
                namespace: Some("other".into()),
            },
        ],
    };

    assert_eq!(role("shop", "writer", Some(role_spec(&one))).unwrap(), one);
}

#[test]
fn a_rule_without_an_effect_is_incomplete() {
    let spec = v1::RoleSpec {
        rules: vec![v1::Rule::default()],
        ..v1::RoleSpec::default()
    };

    assert!(role("shop", "writer", Some(spec)).is_err());
    assert!(role("shop", "writer", None).is_err());
}

#[test]
fn an_algorithm_that_is_not_served_is_refused_and_not_an_error() {
    let spec = v1::TenantSpec {
        tokens: Some(v1::TokenSettings {
            algorithm: "HS256".into(),
            ..Default::default()
        }),
        keys: Some(v1::KeySettings::default()),
        ..v1::TenantSpec::default()
    };

    let Err(Unreadable::Refused(refusal)) = tenant_spec("acme", Some(spec)) else {
        panic!("not refused");
    };
    assert_eq!(refusal.field, "spec.tokens.algorithm");
    assert!(refusal.message.contains("ES256"));
    assert!(matches!(
        tenant_spec("acme", None),
        Err(Unreadable::Incomplete(_))
    ));
}

#[test]
fn names_that_could_leave_their_stream_are_refused() {
    for wrong in ["", "a/b", "a b", "\u{e4}", &"a".repeat(254)] {
        assert!(name("name", wrong.to_owned()).is_err(), "{wrong}");
    }
    assert_eq!(
        name("name", "order-id.v2".to_owned()).unwrap(),
        "order-id.v2"
    );
}

#[test]
fn a_greeting_asks_for_known_contents_only() {
    let hello = |contents: &[i32]| v1::Hello {
        wants: contents
            .iter()
            .map(|content| v1::Held {
                content: *content,
                version: 7,
                store: String::new(),
            })
            .collect(),
        ..v1::Hello::default()
    };

    assert_eq!(
        wants(&hello(&[1, 3]), "ours")
            .unwrap()
            .into_keys()
            .collect::<Vec<_>>(),
        [Content::Keys, Content::Generators]
    );
    assert!(wants(&hello(&[]), "ours").is_err());
    assert!(wants(&hello(&[1, 99]), "ours").is_err());
    assert!(wanted(0).is_err());
}

#[test]
fn a_version_of_another_store_is_none() {
    let hello = |store: &str| v1::Hello {
        wants: vec![v1::Held {
            content: 1,
            version: 7,
            store: store.to_owned(),
        }],
        ..v1::Hello::default()
    };

    let version = |store| wants(&hello(store), "ours").unwrap()[&Content::Keys];
    assert_eq!(version("ours"), Position(7));
    assert_eq!(version("another"), Position::START);
    // A sidecar from before versions named their store.
    assert_eq!(version(""), Position(7));
}

proptest! {
    #[test]
    fn a_generator_comes_back_as_it_went(
        start in any::<u64>(),
        max in any::<u64>(),
        step in any::<u64>(),
        capacity in any::<u64>(),
        refill_at_percent in any::<u8>(),
        outage_budget_seconds in any::<u64>(),
    ) {
        let spec = generator::Spec {
            algorithm: generator::Algorithm::Segment(generator::Segment { start, max, step }),
            buffer: generator::Buffer { capacity, refill_at_percent, outage_budget_seconds },
        };
        assert_eq!(generator_spec(Some(generator_spec_out(&spec))).unwrap(), spec);
    }
}

#[test]
fn a_tenant_is_not_looked_for_by_a_name_that_no_database_takes() {
    let unreadable = tenant_spec("ac\0me", Some(v1::TenantSpec::default())).unwrap_err();

    assert!(
        matches!(&unreadable, Unreadable::Refused(refusal) if refusal.reason == "InvalidName"),
        "{unreadable:?}"
    );
}
