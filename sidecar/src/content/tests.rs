//! Given what is held, when a message comes, then what is held.

use std::time::Duration;

use ::policy::{Request, Subject, SubjectKind};
use protocol::v1::{
    Current, KeyState, NamedGenerator, NamedRole, RoleSpec, Rule, Subject as Bound, rule::Effect,
    subject,
};
use serde_json::Value;
use token::{Algorithm, Jwks, PrivateKey};

use super::*;

const STORE: &str = "7f0a";

fn content() -> Content {
    Content::new(Duration::from_secs(60))
}

fn message(kind: Kind, version: u64, state: State) -> SubscribeResponse {
    SubscribeResponse {
        content: kind.into(),
        version,
        state: Some(state),
        store: STORE.to_owned(),
    }
}

fn keys(version: u64, jwks: &str) -> SubscribeResponse {
    let state = KeyState {
        issuer: "https://signet.test/t/acme".to_owned(),
        audiences: vec!["acme".to_owned()],
        jwks: jwks.to_owned(),
        closed: false,
    };
    message(Kind::Keys, version, State::Keys(state))
}

fn key_set(kid: &str) -> String {
    let key = PrivateKey::generate(kid, Algorithm::EdDsa).unwrap();
    serde_json::to_string(&Jwks {
        keys: vec![key.public_jwk()],
    })
    .unwrap()
}

fn rule(effect: Effect, resource: &str, when: &str) -> Rule {
    Rule {
        effect: effect.into(),
        resources: vec![resource.to_owned()],
        actions: vec!["read".to_owned()],
        when: when.to_owned(),
    }
}

fn role(name: &str, inherits: &[&str], rules: Vec<Rule>, user: &str) -> NamedRole {
    let subjects = match user {
        "" => Vec::new(),
        user => vec![Bound {
            kind: subject::Kind::User.into(),
            name: user.to_owned(),
            namespace: String::new(),
        }],
    };
    NamedRole {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        spec: Some(RoleSpec {
            inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
            rules,
            subjects,
        }),
    }
}

fn policy(version: u64, roles: Vec<NamedRole>) -> SubscribeResponse {
    message(Kind::Policy, version, State::Policy(PolicyState { roles }))
}

fn may_read(content: &Content, user: &str, resource: &str) -> bool {
    let subject = Subject {
        kind: SubjectKind::User,
        name: user.to_owned(),
        namespace: None,
        groups: Vec::new(),
        claims: Value::Null,
    };
    let request = Request {
        subject: &subject,
        resource,
        action: "read",
        request: &Value::Null,
        environment: &Value::Null,
    };
    content.policy().unwrap().policy().decide(&request).allowed
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(reason) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

const BROKEN: &str = "request.amount <";

#[test]
fn a_state_is_held_under_its_version() {
    let content = content();
    assert_eq!(content.missing(), ["keys", "policy", "generators"]);
    assert_eq!(content.apply(keys(7, &key_set("a"))), Outcome::Taken);
    assert_eq!(content.apply(policy(0, Vec::new())), Outcome::Taken);
    let generators = GeneratorState {
        generators: vec![NamedGenerator {
            name: "order-id".to_owned(),
            spec: None,
        }],
    };
    let generators = message(Kind::Generators, 9, State::Generators(generators));
    assert_eq!(content.apply(generators), Outcome::Taken);
    assert!(content.missing().is_empty());
    assert_eq!(KINDS.map(|kind| content.version(kind)), [7, 0, 9]);
    assert_eq!(content.keys().unwrap().kids(), ["a"]);
    assert_eq!(
        content.generators().unwrap().names().collect::<Vec<_>>(),
        ["order-id"]
    );
    assert_eq!(
        content
            .generators()
            .unwrap()
            .get("order-id")
            .unwrap()
            .capacity,
        1_000_000
    );
}

#[test]
fn what_cannot_be_used_changes_nothing_and_makes_the_kind_age() {
    let content = content();
    content.apply(keys(7, &key_set("a")));
    for bad in [
        "",
        "{}",
        "[]",
        "not json",
        r#"{"keys":[{"kty":"oct","kid":"b"}]}"#,
    ] {
        let reason = refusal(content.apply(keys(8, bad)));
        assert!(reason.contains("key set"), "{bad}: {reason}");
    }
    assert_eq!(content.version(Kind::Keys), 7);
    assert_eq!(content.keys().unwrap().kids(), ["a"]);
    // A sign of life at the refused version does not make the held one current.
    let current = |version| message(Kind::Keys, version, State::Current(Current {}));
    assert_eq!(content.apply(current(8)), Outcome::Current);
    assert_eq!(content.apply(keys(9, &key_set("c"))), Outcome::Taken);
    assert_eq!(content.keys().unwrap().kids(), ["c"]);
}

#[test]
fn an_older_state_is_refused() {
    let content = content();
    content.apply(keys(7, &key_set("a")));
    let reason = refusal(content.apply(keys(6, &key_set("b"))));
    assert!(reason.contains("older than 7"), "{reason}");
    assert_eq!(
        content.apply(keys(7, &key_set("c"))),
        Outcome::Taken,
        "the same again is taken"
    );
}

#[test]
fn a_sign_of_life_is_content_only_where_there_is_none() {
    let content = content();
    for kind in KINDS {
        let message = |version| message(kind, version, State::Current(Current {}));
        assert_eq!(
            content.apply(message(5)),
            Outcome::Current,
            "of something not held"
        );
        assert!(!content.holds(kind));
        let expected = if kind == Kind::Keys {
            Outcome::Current
        } else {
            Outcome::Taken
        };
        assert_eq!(content.apply(message(0)), expected, "{kind:?}");
    }
    assert_eq!(content.missing(), ["keys"]);
    assert_eq!(content.policy().unwrap().roles(), 0);
}

#[test]
fn a_state_of_another_kind_is_refused() {
    let content = content();
    let crossed = message(Kind::Keys, 1, State::Policy(PolicyState::default()));
    assert!(refusal(content.apply(crossed)).contains("kind"));
    let empty = SubscribeResponse {
        content: Kind::Keys.into(),
        version: 1,
        state: None,
        store: STORE.to_owned(),
    };
    assert!(refusal(content.apply(empty)).contains("no state"));
    assert_eq!(content.missing().len(), 3);
}

#[test]
fn a_closed_tenant_needs_no_keys() {
    let content = content();
    let closed = KeyState {
        closed: true,
        ..KeyState::default()
    };
    assert_eq!(
        content.apply(message(Kind::Keys, 3, State::Keys(closed))),
        Outcome::Taken
    );
    assert!(content.keys().unwrap().is_closed());
    assert!(content.keys().unwrap().verify("x", None, 0).is_none());
}

#[test]
fn a_broken_role_that_only_allows_is_left_out() {
    let content = content();
    let roles = vec![
        role(
            "good",
            &[],
            vec![rule(Effect::Allow, "orders/*", "")],
            "ada",
        ),
        role(
            "broken",
            &[],
            vec![rule(Effect::Allow, "bills/*", BROKEN)],
            "ada",
        ),
    ];
    assert_eq!(content.apply(policy(1, roles)), Outcome::Taken);
    assert!(may_read(&content, "ada", "orders/1"));
    assert!(!may_read(&content, "ada", "bills/1"));
    assert_eq!(content.policy().unwrap().defective(), ["shop/broken"]);
}

#[test]
fn a_broken_role_that_refuses_something_refuses_its_subjects_everything() {
    let content = content();
    let everything = || role("all", &[], vec![rule(Effect::Allow, "**", "")], "ada");
    let everything_for_bob = || role("all-bob", &[], vec![rule(Effect::Allow, "**", "")], "bob");
    let roles = vec![
        everything(),
        everything_for_bob(),
        role(
            "no-bills",
            &[],
            vec![rule(Effect::Deny, "bills/*", BROKEN)],
            "ada",
        ),
    ];
    assert_eq!(content.apply(policy(1, roles)), Outcome::Taken);
    assert!(!may_read(&content, "ada", "bills/1"));
    assert!(!may_read(&content, "ada", "orders/1"));
    assert!(
        may_read(&content, "bob", "bills/1"),
        "others are not concerned"
    );

    // The same when the refusal is inherited, and the heir is what is broken.
    let roles = vec![
        everything(),
        role("no-bills", &[], vec![rule(Effect::Deny, "bills/*", "")], ""),
        role(
            "clerk",
            &["no-bills", "missing"],
            vec![rule(Effect::Allow, "x", "")],
            "ada",
        ),
    ];
    assert_eq!(content.apply(policy(2, roles)), Outcome::Taken);
    assert!(!may_read(&content, "ada", "bills/1"));

    // Mended, it refuses what it says and no more.
    let roles = vec![
        everything(),
        role(
            "no-bills",
            &[],
            vec![rule(Effect::Deny, "bills/*", "")],
            "ada",
        ),
    ];
    assert_eq!(content.apply(policy(3, roles)), Outcome::Taken);
    assert!(!may_read(&content, "ada", "bills/1"));
    assert!(may_read(&content, "ada", "orders/1"));
}

#[test]
fn a_policy_of_which_nothing_compiles_is_refused() {
    let content = content();
    let good = role(
        "good",
        &[],
        vec![rule(Effect::Allow, "orders/*", "")],
        "ada",
    );
    content.apply(policy(1, vec![good]));
    let broken = role(
        "good",
        &[],
        vec![rule(Effect::Allow, "orders/*", BROKEN)],
        "ada",
    );
    let reason = refusal(content.apply(policy(2, vec![broken])));
    assert!(reason.contains("shop/good"), "{reason}");
    assert!(
        may_read(&content, "ada", "orders/1"),
        "what was held still decides"
    );
    assert_eq!(content.version(Kind::Policy), 1);
}

#[test]
fn a_part_of_a_role_that_is_not_known_makes_the_policy_unusable() {
    let content = content();
    let unknown = role(
        "new",
        &[],
        vec![rule(Effect::Unspecified, "orders/*", "")],
        "ada",
    );
    assert!(refusal(content.apply(policy(1, vec![unknown]))).contains("shop/new"));
}

#[test]
fn another_store_counts_from_its_own_beginning() {
    let content = content();
    content.apply(keys(9, &key_set("old")));
    let mut from_elsewhere = keys(9, &key_set("new"));
    from_elsewhere.store = "another".to_owned();

    assert_eq!(content.apply(from_elsewhere), Outcome::Taken);
    assert_eq!(content.store(Kind::Keys), "another");

    let mut lower = keys(2, &key_set("newer"));
    lower.store = "a third".to_owned();
    assert_eq!(content.apply(lower.clone()), Outcome::Taken);
    lower.version = 1;
    assert!(refusal(content.apply(lower)).contains("older"));
}
