//! The policy against a model of it that is slow, and plain enough to be believed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::deciding::binding;
use crate::pattern::{ActionPattern, Pattern, ResourcePattern, resource_segments};
use crate::{Binding, Effect, Policy, Request, Role, Rule, Subject, SubjectKind};

/// A glob by the definition: a star is nothing, or one more character and a star.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => glob(rest, text),
        (Some(('*', rest)), Some((_, tail))) => glob(rest, text) || glob(pattern, tail),
        (Some((expected, rest)), Some((character, tail))) => {
            expected == character && glob(rest, tail)
        }
        _ => false,
    }
}

fn glob_text(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    glob(&pattern, &text)
}

fn path(pattern: &[&str], resource: &[&str]) -> bool {
    match (pattern.split_first(), resource.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), None) => path(rest, resource),
        (Some((&"**", rest)), Some((_, tail))) => path(rest, resource) || path(pattern, tail),
        (Some((glob, rest)), Some((segment, tail))) => glob_text(glob, segment) && path(rest, tail),
        _ => false,
    }
}

fn path_text(pattern: &str, resource: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let resource: Vec<&str> = resource.split('/').collect();
    path(&pattern, &resource)
}

/// Whether a rule's condition is true, or None when it fails; the few conditions used here by heart.
fn holds(rule: &Rule, subject: &Subject, request: &Value) -> Option<bool> {
    match rule.when.as_deref() {
        None => Some(true),
        Some("subject.name == 'a'") => Some(subject.name == "a"),
        Some("has(request.n)") => Some(request.get("n").is_some()),
        Some("request.n < 2") => Some(request.get("n")?.as_i64()? < 2),
        Some(other) => panic!("{other} is not in the model"),
    }
}

fn is_bound(role: &Role, subject: &Subject) -> bool {
    role.subjects.iter().any(|binding| {
        let itself = binding.kind == subject.kind
            && binding.name == subject.name
            && (binding.kind != SubjectKind::ServiceAccount
                || subject.namespace.as_ref()
                    == Some(binding.namespace.as_ref().unwrap_or(&role.namespace)));
        let through_group =
            binding.kind == SubjectKind::Group && subject.groups.contains(&binding.name);
        itself || through_group
    })
}

fn model(roles: &[Role], subject: &Subject, resource: &str, action: &str, request: &Value) -> bool {
    let mut names: BTreeSet<&str> = roles
        .iter()
        .filter(|role| is_bound(role, subject))
        .map(|role| role.name.as_str())
        .collect();
    loop {
        let inherited: Vec<&str> = roles
            .iter()
            .filter(|role| names.contains(role.name.as_str()))
            .flat_map(|role| role.inherits.iter().map(String::as_str))
            .collect();
        let before = names.len();
        names.extend(inherited);
        if names.len() == before {
            break;
        }
    }
    let rules: Vec<&Rule> = roles
        .iter()
        .filter(|role| names.contains(role.name.as_str()))
        .flat_map(|role| &role.rules)
        .filter(|rule| {
            rule.resources
                .iter()
                .any(|pattern| path_text(pattern, resource))
        })
        .filter(|rule| {
            rule.actions
                .iter()
                .any(|pattern| glob_text(pattern, action))
        })
        .collect();
    let denied = rules
        .iter()
        .any(|rule| rule.effect == Effect::Deny && holds(rule, subject, request) != Some(false));
    let allowed = rules
        .iter()
        .any(|rule| rule.effect == Effect::Allow && holds(rule, subject, request) == Some(true));
    allowed && !denied
}

fn resource_pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "*", "**", "a*", "*b", "a*b"]);
    prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn resource() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "ba", "aab"]);
    prop::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn a_rule() -> impl Strategy<Value = Rule> {
    (
        prop::bool::weighted(0.7),
        prop::collection::vec(resource_pattern(), 1..3),
        prop::collection::vec(prop::sample::select(vec!["r", "w", "*", "r*"]), 1..3),
        prop::sample::select(vec![
            None,
            None,
            Some("request.n < 2"),
            Some("has(request.n)"),
            Some("subject.name == 'a'"),
        ]),
    )
        .prop_map(|(allow, resources, actions, when)| Rule {
            effect: if allow { Effect::Allow } else { Effect::Deny },
            resources,
            actions: actions.into_iter().map(str::to_owned).collect(),
            when: when.map(str::to_owned),
        })
}

fn a_binding() -> impl Strategy<Value = Binding> {
    (
        prop::sample::select(vec![
            SubjectKind::ServiceAccount,
            SubjectKind::User,
            SubjectKind::Group,
            SubjectKind::Client,
        ]),
        prop::sample::select(vec!["a", "b"]),
        prop::bool::ANY,
    )
        .prop_map(|(kind, name, elsewhere)| Binding {
            namespace: (elsewhere && kind == SubjectKind::ServiceAccount)
                .then(|| "other".to_owned()),
            ..binding(kind, name)
        })
}

/// Roles of one namespace that inherit only from those before them: no cycle, none missing.
fn sound_roles() -> impl Strategy<Value = Vec<Role>> {
    let one = (
        prop::collection::vec(a_rule(), 1..4),
        prop::collection::vec(a_binding(), 0..3),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    prop::collection::vec(one, 1..7).prop_map(|parts| {
        let mut roles = Vec::new();
        for (number, (rules, subjects, parents)) in parts.into_iter().enumerate() {
            let inherits: BTreeSet<String> = parents
                .iter()
                .filter(|_| number > 0)
                .map(|parent| format!("role-{}", parent.index(number)))
                .collect();
            roles.push(Role {
                namespace: "shop".to_owned(),
                name: format!("role-{number}"),
                inherits: inherits.into_iter().collect(),
                rules,
                subjects,
            });
        }
        roles
    })
}

/// Roles that inherit from anything, themselves and nobody included.
fn any_roles() -> impl Strategy<Value = Vec<Role>> {
    (sound_roles(), prop::collection::vec(0_usize..8, 0..12)).prop_map(|(mut roles, parents)| {
        let count = roles.len();
        for (number, parent) in parents.into_iter().enumerate() {
            let name = format!("role-{parent}");
            let inherits = &mut roles[number % count].inherits;
            if !inherits.contains(&name) {
                inherits.push(name);
            }
        }
        roles
    })
}

fn a_subject() -> impl Strategy<Value = Subject> {
    (
        prop::sample::select(vec![
            SubjectKind::ServiceAccount,
            SubjectKind::User,
            SubjectKind::Client,
        ]),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::sample::select(vec!["shop", "other"]),
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3),
    )
        .prop_map(|(kind, name, namespace, groups)| Subject {
            kind,
            name: name.to_owned(),
            namespace: (kind == SubjectKind::ServiceAccount).then(|| namespace.to_owned()),
            groups: groups.into_iter().map(str::to_owned).collect(),
            claims: Value::Null,
        })
}

fn a_request() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({"n": 1}),
        json!({"n": 2}),
        json!({"n": "x"}),
    ])
}

fn decide(
    policy: &Policy,
    subject: &Subject,
    resource: &str,
    action: &str,
    request: &Value,
) -> crate::Decision {
    policy.decide(&Request {
        subject,
        resource,
        action,
        request,
        environment: &Value::Null,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn patterns_agree_with_the_model(pattern in resource_pattern(), resource in resource()) {
        let ready = ResourcePattern::parse(&pattern).unwrap();
        let segments = resource_segments(&resource).unwrap();
        prop_assert_eq!(ready.matches(&segments), path_text(&pattern, &resource));
    }

    #[test]
    fn actions_agree_with_the_model(pattern in "[ab*é]{1,8}", action in "[abé]{0,8}") {
        prop_assume!(!pattern.contains("**"));
        let ready = ActionPattern::parse(&pattern).unwrap();
        prop_assert_eq!(ready.matches(&action), glob_text(&pattern, &action));
    }

    #[test]
    fn decisions_agree_with_the_model(
        roles in sound_roles(),
        subject in a_subject(),
        resource in resource(),
        action in prop::sample::select(vec!["r", "w", "rw"]),
        request in a_request(),
    ) {
        let (policy, defects) = Policy::compile(roles.clone());
        prop_assert_eq!(defects, vec![]);
        let decision = decide(&policy, &subject, &resource, action, &request);
        prop_assert_eq!(decision.allowed, model(&roles, &subject, &resource, action, &request), "{}", decision.reason);
        // What a decision names is there, and is what it says.
        if let (Some(name), Some(index)) = (&decision.role, decision.rule) {
            let role = roles.iter().find(|role| role.qualified_name() == *name).unwrap();
            let expected = if decision.allowed { Effect::Allow } else { Effect::Deny };
            prop_assert_eq!(role.rules[index].effect, expected);
            prop_assert!(policy.roles_of(&subject).contains(name));
        } else {
            prop_assert!(!decision.allowed);
        }
    }

    /// Whatever else there is, a Deny rule that covers a request of its subject wins.
    #[test]
    fn deny_always_overrides(
        mut roles in any_roles(),
        subject in a_subject(),
        resource in resource(),
        action in prop::sample::select(vec!["r", "w"]),
        at in any::<prop::sample::Index>(),
    ) {
        let count = roles.len();
        let role = &mut roles[at.index(count)];
        role.subjects.push(Binding {
            kind: subject.kind,
            name: subject.name.clone(),
            namespace: subject.namespace.clone(),
        });
        role.rules.push(Rule {
            effect: Effect::Deny,
            resources: vec![resource.clone()],
            actions: vec![action.to_owned()],
            when: None,
        });
        let (policy, _) = Policy::compile(roles);
        let request = json!({"n": 1});
        prop_assert!(!decide(&policy, &subject, &resource, action, &request).allowed);
    }

    /// Broken roles only ever take away: what is allowed beside them is allowed without the defects.
    #[test]
    fn a_broken_role_never_opens(
        roles in any_roles(),
        subject in a_subject(),
        resource in resource(),
        action in prop::sample::select(vec!["r", "w"]),
        request in a_request(),
    ) {
        let (policy, defects) = Policy::compile(roles.clone());
        let decision = decide(&policy, &subject, &resource, action, &request);
        let broken: BTreeSet<&str> = defects.iter().map(|(name, _)| name.as_str()).collect();
        let sound: Vec<Role> = roles
            .iter()
            .filter(|role| !broken.contains(role.qualified_name().as_str()))
            .cloned()
            .collect();
        if decision.allowed {
            prop_assert!(model(&sound, &subject, &resource, action, &request));
            prop_assert!(!broken.contains(decision.role.unwrap().as_str()));
        }
        for name in policy.roles_of(&subject) {
            prop_assert!(!broken.contains(name.as_str()));
        }
    }

    /// The order in which roles come in does not matter.
    #[test]
    fn order_does_not_matter(
        roles in any_roles(),
        subject in a_subject(),
        resource in resource(),
        action in prop::sample::select(vec!["r", "w"]),
        request in a_request(),
    ) {
        let mut reversed = roles.clone();
        reversed.reverse();
        let (one, mut defects) = Policy::compile(roles);
        let (other, mut same) = Policy::compile(reversed);
        defects.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
        same.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
        prop_assert_eq!(defects, same);
        prop_assert_eq!(
            decide(&one, &subject, &resource, action, &request),
            decide(&other, &subject, &resource, action, &request)
        );
    }
}
