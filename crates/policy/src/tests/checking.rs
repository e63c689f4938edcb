use std::collections::BTreeMap;

use serde_json::json;

use super::deciding::{allow, binding, role};
use crate::limits::{MAX_ANCESTORS, MAX_RULES};
use crate::{
    Binding, DefectKind, Effect, Policy, Role, Rule, SubjectKind, check, check_inheritance,
};

fn defects(role: &Role) -> Vec<(String, DefectKind)> {
    check(role)
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|defect| (defect.field, defect.kind))
        .collect()
}

fn one(field: &str, kind: DefectKind) -> Vec<(String, DefectKind)> {
    vec![(field.to_owned(), kind)]
}

#[test]
fn a_sound_role_has_no_defects() {
    let mut sound = role("order-writer", vec![allow("orders/*", "create")]);
    sound.inherits = vec!["order-reader".to_owned()];
    sound.rules[0].when = Some("request.amount < 1000".to_owned());
    sound.subjects = vec![
        binding(SubjectKind::ServiceAccount, "checkout"),
        Binding {
            namespace: Some("other".to_owned()),
            ..binding(SubjectKind::ServiceAccount, "checkout")
        },
        binding(SubjectKind::User, "Ada Lovelace"),
        binding(SubjectKind::Group, "staff"),
        binding(SubjectKind::Client, "https://client.example"),
    ];
    assert_eq!(check(&sound), Ok(()));
}

#[test]
fn names_are_checked() {
    let mut wrong = role("Order_Reader", vec![allow("a", "b")]);
    assert_eq!(
        defects(&wrong),
        one("metadata.name", DefectKind::InvalidName)
    );
    wrong.name = "order.reader".to_owned();
    wrong.namespace = "a.b".to_owned();
    assert_eq!(
        defects(&wrong),
        one("metadata.namespace", DefectKind::InvalidName)
    );
}

#[test]
fn a_role_without_effect_is_refused() {
    assert_eq!(
        defects(&role("a", vec![])),
        one("spec.rules", DefectKind::EmptyRole)
    );
    let mut covers_nothing = allow("a", "b");
    covers_nothing.resources.clear();
    assert_eq!(
        defects(&role("a", vec![covers_nothing.clone()])),
        one("spec.rules[0].resources", DefectKind::EmptyRole)
    );
    covers_nothing.resources = vec!["a".to_owned()];
    covers_nothing.actions.clear();
    assert_eq!(
        defects(&role("a", vec![allow("a", "b"), covers_nothing])),
        one("spec.rules[1].actions", DefectKind::EmptyRole)
    );
}

#[test]
fn patterns_are_checked() {
    for wrong in [
        "", "/", "a//b", "a/", "a b", "a\n", "a/**b", "***", "a/./b", "..", "a?", "[ab]", "{a,b}",
        "a\\b",
    ] {
        assert_eq!(
            defects(&role("a", vec![allow(wrong, "read")])),
            one("spec.rules[0].resources[0]", DefectKind::InvalidResource),
            "{wrong:?}"
        );
    }
    for right in ["*", "**", "/", "a"]
        .into_iter()
        .filter(|text| *text != "/")
        .chain([
            "/a",
            "a/*/b",
            "**/b",
            "a/**",
            "a/**/b/**",
            "eu-*",
            "a*b*c",
            "ä:b@c.d",
            "a/.hidden",
        ])
    {
        assert_eq!(
            defects(&role("a", vec![allow(right, "read")])),
            [],
            "{right}"
        );
    }
    for wrong in ["", "a/b", "**", "re ad", "read?"] {
        assert_eq!(
            defects(&role("a", vec![allow("a", wrong)])),
            one("spec.rules[0].actions[0]", DefectKind::InvalidAction),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_bad_condition_names_its_field_and_the_way_out() {
    let mut wrong = role("a", vec![allow("a", "b"), allow("a", "b")]);
    wrong.rules[1].when = Some("amount < 1000".to_owned());
    let found = check(&wrong).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].field, "spec.rules[1].when");
    assert_eq!(found[0].kind.reason(), "InvalidCondition");
    assert!(
        found[0]
            .message
            .contains("refers to `amount`; a condition knows only `subject`"),
        "{}",
        found[0].message
    );
}

#[test]
fn subjects_are_checked() {
    let cases = [
        (SubjectKind::ServiceAccount, "Checkout", None, "name"),
        (SubjectKind::ServiceAccount, "*", None, "name"),
        (SubjectKind::User, "", None, "name"),
        (SubjectKind::User, "*", None, "name"),
        (SubjectKind::Group, "a\nb", None, "name"),
        (
            SubjectKind::ServiceAccount,
            "checkout",
            Some("a/b"),
            "namespace",
        ),
        (SubjectKind::User, "ada", Some("shop"), "namespace"),
    ];
    for (kind, name, namespace, member) in cases {
        let mut wrong = role("a", vec![allow("a", "b")]);
        wrong.subjects = vec![Binding {
            kind,
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        }];
        assert_eq!(
            defects(&wrong),
            one(
                &format!("spec.subjects[0].{member}"),
                DefectKind::InvalidSubject
            ),
            "{kind} {name}"
        );
    }
}

#[test]
fn sizes_are_bounded() {
    let many = role("a", vec![allow("a", "b"); MAX_RULES + 1]);
    assert_eq!(defects(&many), one("spec.rules", DefectKind::TooLarge));
    let mut twice = role("a", vec![allow("a", "b")]);
    twice.inherits = vec!["b".to_owned(), "b".to_owned(), "B".to_owned()];
    assert_eq!(
        defects(&twice),
        [
            (
                "spec.inherits[1]".to_owned(),
                DefectKind::InvalidInheritance
            ),
            (
                "spec.inherits[2]".to_owned(),
                DefectKind::InvalidInheritance
            ),
        ]
    );
}

fn known(roles: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    roles
        .iter()
        .map(|(name, parents)| {
            let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
            ((*name).to_owned(), parents)
        })
        .collect()
}

fn inheritance(
    name: &str,
    inherits: &[&str],
    roles: &[(&str, &[&str])],
) -> Vec<(DefectKind, String)> {
    let inherits: Vec<String> = inherits.iter().map(|parent| (*parent).to_owned()).collect();
    check_inheritance(name, &inherits, &known(roles))
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|defect| (defect.kind, defect.message))
        .collect()
}

#[test]
fn inheritance_is_followed() {
    assert_eq!(inheritance("a", &["b"], &[("b", &["c"]), ("c", &[])]), []);
    // A diamond is not a cycle.
    assert_eq!(
        inheritance(
            "a",
            &["b", "c"],
            &[("b", &["d"]), ("c", &["d"]), ("d", &[])]
        ),
        []
    );
    let missing = inheritance("a", &["b"], &[]);
    assert_eq!(missing[0].0, DefectKind::RoleNotFound);
    let further = inheritance("a", &["b"], &[("b", &["c"])]);
    assert_eq!(further[0].0, DefectKind::RoleNotFound);
    let own = inheritance("a", &["a"], &[]);
    assert_eq!(own[0].0, DefectKind::InheritanceCycle);
    assert!(own[0].1.contains("a → a"), "{}", own[0].1);
    let round = inheritance("a", &["b"], &[("a", &[]), ("b", &["c"]), ("c", &["a"])]);
    assert_eq!(round.len(), 1);
    assert!(round[0].1.contains("a → b → c → a"), "{}", round[0].1);
}

#[test]
fn a_cycle_elsewhere_ends_the_walk() {
    assert_eq!(
        inheritance("a", &["b"], &[("b", &["c"]), ("c", &["b"])]),
        []
    );
}

#[test]
fn a_long_line_of_ancestors_is_refused() {
    let names: Vec<String> = (0..1000).map(|number| format!("r{number}")).collect();
    let roles: BTreeMap<String, Vec<String>> = names
        .windows(2)
        .map(|pair| (pair[0].clone(), vec![pair[1].clone()]))
        .chain([("r999".to_owned(), vec![])])
        .collect();
    let near = format!("r{}", 1000 - MAX_ANCESTORS);
    let far = format!("r{}", 1000 - MAX_ANCESTORS - 1);
    assert_eq!(check_inheritance("a", &[near], &roles), Ok(()));
    let defects = check_inheritance("a", &[far], &roles).unwrap_err();
    assert_eq!(defects[0].kind, DefectKind::TooLarge);
}

#[test]
fn two_roles_of_one_name_are_a_defect() {
    let (policy, defects) = Policy::compile(vec![
        role("a", vec![allow("a", "b")]),
        role("a", vec![allow("c", "d")]),
    ]);
    assert_eq!(policy.len(), 1);
    assert_eq!(defects.len(), 1);
    assert_eq!(defects[0].0, "shop/a");
    assert_eq!(defects[0].1.kind, DefectKind::DuplicateRole);
}

#[test]
fn roles_read_and_write_as_the_resource_does() {
    let text = json!({
        "namespace": "shop",
        "name": "order-writer",
        "inherits": ["order-reader"],
        "rules": [{
            "effect": "Allow",
            "resources": ["orders/*"],
            "actions": ["create", "read"],
            "when": "request.amount < 1000",
        }],
        "subjects": [{"kind": "ServiceAccount", "name": "checkout"}],
    });
    let expected = Role {
        namespace: "shop".to_owned(),
        name: "order-writer".to_owned(),
        inherits: vec!["order-reader".to_owned()],
        rules: vec![Rule {
            effect: Effect::Allow,
            resources: vec!["orders/*".to_owned()],
            actions: vec!["create".to_owned(), "read".to_owned()],
            when: Some("request.amount < 1000".to_owned()),
        }],
        subjects: vec![binding(SubjectKind::ServiceAccount, "checkout")],
    };
    assert_eq!(
        serde_json::from_value::<Role>(text.clone()).unwrap(),
        expected
    );
    assert_eq!(serde_json::to_value(&expected).unwrap(), text);
}

#[test]
fn a_condition_that_no_database_could_store_is_refused_here() {
    let mut wrong = role("a", vec![allow("a", "b")]);
    wrong.rules[0].when = Some("request.x == \"\0\"".to_owned());
    let found = check(&wrong).unwrap_err();
    assert_eq!(found[0].kind.reason(), "InvalidCondition");

    wrong.rules[0].when = Some(r#"request.x == "\u0000""#.to_owned());
    assert_eq!(check(&wrong), Ok(()));
}
