use serde_json::{Value, json};

use crate::{
    Binding, Decision, DefectKind, Effect, Policy, Request, Role, Rule, Subject, SubjectKind,
};

pub(super) fn rule(effect: Effect, resource: &str, action: &str) -> Rule {
    Rule {
        effect,
        resources: vec![resource.to_owned()],
        actions: vec![action.to_owned()],
        when: None,
    }
}

pub(super) fn allow(resource: &str, action: &str) -> Rule {
    rule(Effect::Allow, resource, action)
}

pub(super) fn deny(resource: &str, action: &str) -> Rule {
    rule(Effect::Deny, resource, action)
}

pub(super) fn when(rule: Rule, condition: &str) -> Rule {
    Rule {
        when: Some(condition.to_owned()),
        ..rule
    }
}

pub(super) fn binding(kind: SubjectKind, name: &str) -> Binding {
    Binding {
        kind,
        name: name.to_owned(),
        namespace: None,
    }
}

pub(super) fn role(name: &str, rules: Vec<Rule>) -> Role {
    Role {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        inherits: vec![],
        rules,
        subjects: vec![],
    }
}

/// A role bound to the service account `checkout` of the role's namespace.
pub(super) fn bound(name: &str, rules: Vec<Rule>) -> Role {
    Role {
        subjects: vec![binding(SubjectKind::ServiceAccount, "checkout")],
        ..role(name, rules)
    }
}

pub(super) fn checkout() -> Subject {
    Subject {
        kind: SubjectKind::ServiceAccount,
        name: "checkout".to_owned(),
        namespace: Some("shop".to_owned()),
        groups: vec![],
        claims: json!({"level": 3}),
    }
}

fn compile(roles: Vec<Role>) -> Policy {
    let (policy, defects) = Policy::compile(roles);
    assert_eq!(defects, []);
    policy
}

fn ask(
    policy: &Policy,
    subject: &Subject,
    resource: &str,
    action: &str,
    request: Value,
) -> Decision {
    policy.decide(&Request {
        subject,
        resource,
        action,
        request: &request,
        environment: &Value::Null,
    })
}

pub(super) fn decide(policy: &Policy, resource: &str, action: &str) -> Decision {
    ask(policy, &checkout(), resource, action, json!({}))
}

#[test]
fn the_samples_decide_as_documented() {
    let reader = role("order-reader", vec![allow("orders/*", "read")]);
    let mut writer = bound(
        "order-writer",
        vec![Rule {
            actions: vec!["create".to_owned(), "read".to_owned()],
            ..when(allow("orders/*", "create"), "request.amount < 1000")
        }],
    );
    writer.inherits = vec!["order-reader".to_owned()];
    let policy = compile(vec![writer, reader]);
    let subject = checkout();

    let small = ask(
        &policy,
        &subject,
        "orders/42",
        "create",
        json!({"amount": 999}),
    );
    assert_eq!(
        small,
        Decision {
            allowed: true,
            reason: "rule 0 of role shop/order-writer allows create on orders/42".to_owned(),
            role: Some("shop/order-writer".to_owned()),
            rule: Some(0),
        }
    );
    assert!(
        ask(
            &policy,
            &subject,
            "orders/42",
            "create",
            json!({"amount": 999.5})
        )
        .allowed
    );

    let large = ask(
        &policy,
        &subject,
        "orders/42",
        "create",
        json!({"amount": 1000}),
    );
    assert_eq!(
        large,
        Decision {
            allowed: false,
            reason: "no rule allows create on orders/42 for ServiceAccount shop/checkout: the condition of rule 0 of role shop/order-writer is not met".to_owned(),
            role: None,
            rule: None,
        }
    );
    let missing = ask(&policy, &subject, "orders/42", "create", json!({}));
    assert!(!missing.allowed);
    assert!(
        missing
            .reason
            .ends_with("could not be evaluated: `amount` is missing"),
        "{}",
        missing.reason
    );
    let read = ask(&policy, &subject, "orders/42", "read", json!({}));
    assert_eq!(
        read.reason,
        "rule 0 of role shop/order-reader, which role shop/order-writer inherits, allows read on orders/42"
    );
    assert!(
        !ask(
            &policy,
            &subject,
            "orders/42",
            "delete",
            json!({"amount": 1})
        )
        .allowed
    );
    assert!(!ask(&policy, &subject, "orders/42/lines", "read", json!({})).allowed);
    assert_eq!(
        policy.roles_of(&subject),
        ["shop/order-reader", "shop/order-writer"]
    );
}

#[test]
fn what_no_rule_allows_is_refused() {
    let policy = compile(vec![bound("a", vec![allow("orders/*", "read")])]);
    assert_eq!(
        decide(&policy, "orders/1", "delete").reason,
        "no rule allows delete on orders/1 for ServiceAccount shop/checkout"
    );
    let stranger = Subject {
        name: "stranger".to_owned(),
        ..checkout()
    };
    assert_eq!(
        ask(&policy, &stranger, "orders/1", "read", json!({})).reason,
        "no rule allows read on orders/1 for ServiceAccount shop/stranger, which has no role"
    );
    assert!(!decide(&Policy::default(), "orders/1", "read").allowed);
}

#[test]
fn deny_overrides_wherever_it_stands() {
    for denying in ["a-first", "z-last"] {
        let policy = compile(vec![
            bound("m-allows", vec![allow("**", "*")]),
            bound(denying, vec![deny("orders/secret", "read")]),
        ]);
        let refused = decide(&policy, "orders/secret", "read");
        assert!(!refused.allowed);
        assert_eq!(refused.role, Some(format!("shop/{denying}")));
        assert_eq!(
            refused.reason,
            format!("rule 0 of role shop/{denying} denies read on orders/secret")
        );
        assert!(decide(&policy, "orders/other", "read").allowed);
    }
}

#[test]
fn an_inherited_deny_holds() {
    let mut child = bound("child", vec![allow("**", "*")]);
    child.inherits = vec!["parent".to_owned()];
    let mut parent = role("parent", vec![allow("x", "x")]);
    parent.inherits = vec!["grandparent".to_owned()];
    let grandparent = role(
        "grandparent",
        vec![allow("y", "y"), deny("orders/**", "delete")],
    );
    let policy = compile(vec![child, parent, grandparent]);
    let refused = decide(&policy, "orders", "delete");
    assert_eq!((refused.allowed, refused.rule), (false, Some(1)));
    assert_eq!(refused.role.as_deref(), Some("shop/grandparent"));
    assert!(decide(&policy, "customers", "delete").allowed);
}

#[test]
fn rights_do_not_flow_from_child_to_parent() {
    let mut child = role("child", vec![allow("child", "read")]);
    child.inherits = vec!["parent".to_owned()];
    let policy = compile(vec![child, bound("parent", vec![allow("parent", "read")])]);
    assert!(decide(&policy, "parent", "read").allowed);
    assert!(!decide(&policy, "child", "read").allowed);
}

#[test]
fn inheritance_stays_in_its_namespace() {
    let mut child = bound("child", vec![allow("a", "a")]);
    child.inherits = vec!["parent".to_owned()];
    let parent = Role {
        namespace: "other".to_owned(),
        ..role("parent", vec![allow("**", "*")])
    };
    let (policy, defects) = Policy::compile(vec![child, parent]);
    assert_eq!(defects[0].1.kind, DefectKind::RoleNotFound);
    assert!(!decide(&policy, "b", "b").allowed);
}

#[test]
fn a_condition_that_fails_never_opens() {
    let policy = compile(vec![
        bound(
            "a",
            vec![when(
                allow("doc", "read"),
                "request.level < subject.claims.level",
            )],
        ),
        bound(
            "d",
            vec![
                when(deny("safe", "open"), "request.hour < 6"),
                allow("safe", "open"),
            ],
        ),
    ]);
    let subject = checkout();
    assert!(ask(&policy, &subject, "doc", "read", json!({"level": 2})).allowed);
    assert!(!ask(&policy, &subject, "doc", "read", json!({"level": "2"})).allowed);
    assert!(!ask(&policy, &subject, "doc", "read", Value::Null).allowed);

    assert!(ask(&policy, &subject, "safe", "open", json!({"hour": 9})).allowed);
    assert!(!ask(&policy, &subject, "safe", "open", json!({"hour": 3})).allowed);
    let failed = ask(&policy, &subject, "safe", "open", json!({}));
    assert_eq!(
        failed.reason,
        "rule 0 of role shop/d denies open on safe, since its condition could not be evaluated: `hour` is missing"
    );
    assert_eq!(failed.rule, Some(0));
}

#[test]
fn subjects_are_told_apart() {
    let mut given = role("r", vec![allow("a", "a")]);
    given.subjects = vec![
        binding(SubjectKind::ServiceAccount, "own"),
        Binding {
            namespace: Some("other".to_owned()),
            ..binding(SubjectKind::ServiceAccount, "foreign")
        },
        binding(SubjectKind::User, "ada"),
        binding(SubjectKind::Group, "staff"),
        binding(SubjectKind::Client, "app"),
    ];
    let policy = compile(vec![given]);
    let subject = |kind, name: &str, namespace: Option<&str>, groups: &[&str]| Subject {
        kind,
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        claims: Value::Null,
    };
    use SubjectKind::{Client, Group, ServiceAccount, User};
    for (subject, expected) in [
        (subject(ServiceAccount, "own", Some("shop"), &[]), true),
        (subject(ServiceAccount, "own", Some("other"), &[]), false),
        (subject(ServiceAccount, "own", None, &[]), false),
        (subject(ServiceAccount, "foreign", Some("other"), &[]), true),
        (subject(ServiceAccount, "foreign", Some("shop"), &[]), false),
        (subject(User, "ada", None, &[]), true),
        (subject(User, "Ada", None, &[]), false),
        (subject(Client, "ada", None, &[]), false),
        (subject(Client, "app", None, &[]), true),
        (subject(User, "app", None, &[]), false),
        (subject(User, "eve", None, &["guests", "staff"]), true),
        (subject(ServiceAccount, "x", Some("x"), &["staff"]), true),
        (subject(Group, "staff", None, &[]), true),
        (subject(User, "staff", None, &[]), false),
    ] {
        let decision = ask(&policy, &subject, "a", "a", Value::Null);
        assert_eq!(decision.allowed, expected, "{subject}");
    }
}

#[test]
fn resources_out_of_normal_form_are_refused() {
    let policy = compile(vec![bound(
        "a",
        vec![allow("**", "*"), deny("admin/**", "*")],
    )]);
    for odd in [
        "",
        "/",
        "//",
        "orders//1",
        "orders/",
        "admin/../orders",
        "./admin",
        "a/./b",
        "a\nb",
    ] {
        let decision = decide(&policy, odd, "read");
        assert!(!decision.allowed, "{odd:?}");
        assert!(
            decision
                .reason
                .starts_with("the resource is not in normal form"),
            "{odd:?}"
        );
    }
    assert!(!decide(&policy, &"a/".repeat(70), "read").allowed);
    assert!(!decide(&policy, &"a".repeat(2000), "read").allowed);
    for action in ["", "re\nad"] {
        assert!(!decide(&policy, "orders", action).allowed, "{action:?}");
    }
    assert!(decide(&policy, "/orders/1", "read").allowed);
    assert!(!decide(&policy, "/admin/users", "read").allowed);
    assert!(decide(&policy, "…", "lire").allowed);
}

#[test]
fn a_policy_is_renewed_from_the_one_before() {
    let condition = "request.amount < 10";
    let before = compile(vec![
        bound("a", vec![when(allow("a", "read"), condition)]),
        bound("b", vec![when(allow("b", "read"), "request.amount > 10")]),
    ]);
    let (after, defects) = before.update(vec![bound(
        "a",
        vec![when(deny("a", "read"), condition), allow("a", "read")],
    )]);
    assert_eq!(defects, []);
    let subject = checkout();
    assert!(ask(&before, &subject, "a", "read", json!({"amount": 5})).allowed);
    assert!(!ask(&after, &subject, "a", "read", json!({"amount": 5})).allowed);
    assert!(ask(&after, &subject, "a", "read", json!({"amount": 15})).allowed);
    assert!(!ask(&after, &subject, "b", "read", json!({"amount": 15})).allowed);
}

#[test]
fn reasons_show_no_control_characters_and_are_short() {
    let policy = compile(vec![bound("a", vec![allow("x", "x")])]);
    let subject = Subject {
        name: "che\u{1b}[31mckout\n".to_owned(),
        ..checkout()
    };
    let reason = ask(
        &policy,
        &subject,
        &"r".repeat(1000),
        &"a".repeat(200),
        json!({}),
    )
    .reason;
    assert!(!reason.chars().any(char::is_control), "{reason}");
    assert!(reason.len() < 600, "{reason}");
}

#[test]
fn a_decision_looks_only_at_the_roles_of_its_subject() {
    let others = (0..2000).map(|number| Role {
        subjects: vec![binding(SubjectKind::User, &format!("user-{number}"))],
        ..role(&format!("role-{number}"), vec![allow("**", "*")])
    });
    let policy = compile(
        others
            .chain([bound("mine", vec![allow("a", "read")])])
            .collect(),
    );
    assert_eq!(policy.len(), 2001);
    assert_eq!(policy.numbers_of(&checkout()).len(), 1);
    assert_eq!(
        decide(&policy, "a", "read").role.as_deref(),
        Some("shop/mine")
    );
    assert!(!decide(&policy, "b", "read").allowed);
}

#[test]
fn a_policy_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Policy>();
}
