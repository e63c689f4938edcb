use serde_json::{Value, json};

use super::{Condition, Evaluation, Failure};
use crate::limits::MAX_LOOP_STEPS;
use crate::request::{Request, Subject};
use crate::role::SubjectKind;

pub(super) fn subject() -> Subject {
    Subject {
        kind: SubjectKind::ServiceAccount,
        name: "checkout".to_owned(),
        namespace: Some("shop".to_owned()),
        groups: vec!["staff".to_owned()],
        claims: json!({"department": "sales", "level": 3, "secret": "do not show"}),
    }
}

pub(super) fn evaluate_with(source: &str, request: Value) -> Result<bool, Failure> {
    let condition = Condition::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let subject = subject();
    let environment = json!({"time": "2026-11-21T10:30:00Z", "region": "eu"});
    Evaluation::new(Request {
        subject: &subject,
        resource: "orders/42",
        action: "create",
        request: &request,
        environment: &environment,
    })
    .holds(&condition)
}

fn evaluate(source: &str) -> Result<bool, Failure> {
    evaluate_with(
        source,
        json!({"amount": 999, "items": [{"price": 5}, {"price": 7}]}),
    )
}

pub(super) fn refusal(source: &str) -> String {
    Condition::parse(source).expect_err(source)
}

/// Conditions that hold for the request of [`evaluate`].
pub(super) const SOUND: &[&str] = &[
    "true",
    "resource == 'orders/42'",
    "action == 'create'",
    "resource.startsWith('orders/') && action in ['create', 'read']",
    "subject.kind == 'ServiceAccount'",
    "subject.name == 'checkout' && subject.namespace == 'shop'",
    "'staff' in subject.groups",
    "subject.claims.department == \"sales\"",
    "subject.claims['level'] >= 3",
    "environment.region == 'eu'",
    "timestamp(environment.time).getHours() < 12",
    "timestamp(environment.time).getHours('Europe/Zurich') == 11",
    "duration('90s') > duration('1m')",
    "has(request.amount) && !has(request.discount)",
    "request.items.all(item, item.price < 10)",
    "request.items.exists(item, item.price == 7)",
    "request.items.exists_one(item, item.price == 7)",
    "request.items.map(item, item.price) == [5, 7]",
    "request.items.filter(item, item.price > 6).size() == 1",
    "size(request.items) == 2",
    "subject.name.matches('^check.*t$') && matches(resource, '^orders/[0-9]+$')",
    "request.items.all(item, string(item.price).matches('^[0-9]$'))",
    "request.amount > 10 ? true : false",
    "int('7') + 1 == 8 && double(1) == 1.0 && uint(3) == 3u && bool('true')",
    "{'a': 1}['a'] == 1",
    "r'\\d' == '\\\\d' // a comment with a \" in it",
    "request.missing == 1 || true",
];

#[test]
fn roots_are_known() {
    for source in SOUND {
        assert_eq!(evaluate(source), Ok(true), "{source}");
    }
}

#[test]
fn whole_numbers_and_fractions_compare() {
    let limit = "request.amount < 1000";
    for (amount, expected) in [
        (json!(999), true),
        (json!(999.99), true),
        (json!(1000), false),
        (json!(1000.0), false),
        (json!(1e300), false),
        (json!(-1), true),
        (json!(u64::MAX), false),
        (json!(i64::MIN), true),
    ] {
        let request = json!({ "amount": amount });
        assert_eq!(evaluate_with(limit, request), Ok(expected), "{amount}");
    }
    assert_eq!(
        evaluate_with("request.amount == 5", json!({"amount": 5.0})),
        Ok(true)
    );
    assert_eq!(
        evaluate_with("request.amount < 999.5", json!({"amount": 999})),
        Ok(true)
    );
}

#[test]
fn what_is_missing_or_of_another_type_fails() {
    let limit = "request.amount < 1000";
    for empty in [json!({}), Value::Null] {
        assert_eq!(
            evaluate_with(limit, empty),
            Err(Failure::Missing("amount".to_owned()))
        );
    }
    for odd in [
        json!("5"),
        json!(null),
        json!([1]),
        json!({"a": 1}),
        json!(true),
    ] {
        let outcome = evaluate_with(limit, json!({ "amount": odd }));
        assert!(
            matches!(outcome, Err(Failure::WrongTypes { .. })),
            "{outcome:?}"
        );
    }
    for request in [json!([]), json!("text"), json!(7)] {
        assert!(evaluate_with(limit, request).is_err());
    }
}

#[test]
fn a_result_that_is_no_truth_value_fails() {
    assert_eq!(
        evaluate("request.amount"),
        Err(Failure::NotBoolean("int".to_owned()))
    );
    assert!(evaluate("request.amount && true").is_err());
    for source in [
        "1",
        "'yes'",
        "null",
        "[true]",
        "{'a': true}",
        "1 + 1",
        "resource",
        "request",
        "size(request.items)",
        "request.items.map(item, item.price)",
        "true && 'yes'",
        "!resource",
        "true ? 1 : 2",
    ] {
        assert!(
            refusal(source).contains("where true or false is needed"),
            "{source}: {}",
            refusal(source)
        );
    }
}

#[test]
fn failures_show_no_value() {
    for source in [
        "subject.claims.secret < 1",
        "subject.claims.secret + 1 == 2",
        "request.items[subject.claims.level].price == 1",
        "request[subject.claims.secret] == 1",
        "int(subject.claims.secret) == 1",
        "timestamp(subject.claims.secret) == timestamp(0)",
        "-subject.claims.secret == 1",
        "subject.claims.secret",
        "subject.claims.secret[0] == 'd'",
        "subject.claims.secret in 1",
        "{subject.claims.secret: 1, subject.claims.secret: 2} == {}",
        "1 / (subject.claims.level - 3) == 1",
        "subject.claims.level + 9223372036854775807 == 1",
    ] {
        let failure = evaluate(source).expect_err(source).to_string();
        assert!(!failure.contains("do not show"), "{source}: {failure}");
        assert!(!failure.is_empty());
    }
}

#[test]
fn unknown_names_are_refused() {
    for (source, expected) in [
        ("req.amount < 1000", "refers to `req`"),
        ("amount < 1000", "refers to `amount`"),
        (".request.amount < 1000", "refers to `.request`"),
        ("role == admin", "refers to `role`"),
        ("subject.name == admin", "text goes in quotes"),
        ("type(request.amount) == int", "calls `type`"),
        (
            "request.items.all(item, other.price < 1)",
            "refers to `other`",
        ),
        (
            "request.items.all(item, true) && item == 1",
            "refers to `item`",
        ),
        (
            "request.items.all(subject, subject.price < 1)",
            "uses `subject` as the variable",
        ),
        ("now() > timestamp(0)", "calls `now`"),
        ("subject.name.lowerAscii() == 'a'", "calls `lowerAscii`"),
        ("optional.of(request).hasValue()", "calls `hasValue`"),
        ("subject.name.string() == 'a'", "write `string(…)`"),
        ("startsWith('a')", "calls `startsWith` on nothing"),
        ("size() == 1", "calls `size` with 0 arguments; it takes 1"),
        (
            "subject.name.contains('a', 'b')",
            "calls `contains` with 2 arguments; it takes 1",
        ),
        ("request.items.all(item.price < 1)", "calls `all` wrongly"),
        ("has(request.a, request.b)", "calls `has` wrongly"),
        (
            "google.protobuf.Duration{seconds: 1} == duration('1s')",
            "makes a message",
        ),
        (
            "subject.name.matches(request.pattern)",
            "write the pattern out",
        ),
        ("subject.name.matches('(')", "cannot be read"),
        ("subject.name.matches('((a{500}){500}){500}')", "too costly"),
        ("request.?amount == 1", "is not CEL"),
        ("request.amount < ", "is not CEL: line 1, column"),
        ("request amount", "is not CEL"),
        ("has(request)", "is not CEL"),
        ("request.items.all(1, true)", "is not CEL"),
        ("request.amount = 1", "is not CEL"),
        ("request.a && @result", "which CEL does not know"),
        ("réquest.amount", "outside of quotes"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("(true", "is missing a `)`"),
        ("true)", "closes no bracket"),
        ("(true]", "closes no bracket"),
        ("'open", "not closed"),
        ("'''open''", "not closed"),
        ("\"open\\\"", "not closed"),
    ] {
        let message = refusal(source);
        assert!(message.contains(expected), "{source}: {message}");
    }
}

#[test]
fn loops_are_bounded() {
    let list = |length: usize| json!({"items": vec![1; length]});
    let loops = "request.items.all(item, item > 0)";
    assert_eq!(evaluate_with(loops, list(MAX_LOOP_STEPS - 1)), Ok(true));
    assert_eq!(
        evaluate_with(loops, list(MAX_LOOP_STEPS)),
        Err(Failure::TooManySteps)
    );
    // Errors inside `exists` and `||` are swallowed by CEL; this one is not.
    for source in [
        "request.items.exists(a, request.items.exists(b, request.items.exists(c, c > 1)))",
        "request.items.exists(a, request.items.all(b, b > 0) && false) || true",
        "request.items.map(a, request.items.map(b, b)) == [] || true",
    ] {
        assert_eq!(
            evaluate_with(source, list(100)),
            Err(Failure::TooManySteps),
            "{source}"
        );
    }
}

#[test]
fn what_is_handed_in_is_bounded() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    for request in [
        json!({ "deep": deep }),
        json!({"wide": vec![1; 20_000]}),
        json!({"long": "x".repeat(300_000)}),
    ] {
        assert_eq!(
            evaluate_with("has(request.amount)", request.clone()),
            Err(Failure::TooLarge)
        );
        // A condition that does not look at the request does not suffer from it.
        assert_eq!(evaluate_with("action == 'create'", request), Ok(true));
    }
}

#[test]
fn one_evaluation_serves_many_conditions() {
    let first = Condition::parse("subject.name.matches('^check') && request.amount < 5").unwrap();
    let second = Condition::parse("subject.name.matches('^other') || request.amount > 1").unwrap();
    let subject = subject();
    let request = json!({"amount": 3});
    let mut evaluation = Evaluation::new(Request {
        subject: &subject,
        resource: "orders/42",
        action: "create",
        request: &request,
        environment: &Value::Null,
    });
    for _ in 0..3 {
        assert_eq!(evaluation.holds(&first), Ok(true));
        assert_eq!(evaluation.holds(&second), Ok(true));
    }
}
