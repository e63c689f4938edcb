//! Conditions written to do harm: too deep, nearly right, or nothing at all.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{SOUND, evaluate_with, refusal, subject};
use super::{Condition, Evaluation, Failure, shape};
use crate::limits::MAX_CONDITION_BYTES;
use crate::request::Request;

#[test]
fn depth_is_measured_from_above() {
    for (source, deep) in [
        ("!".repeat(200) + "true", true),
        ("(".repeat(60) + "true" + &")".repeat(60), true),
        ("(".repeat(2000) + "true" + &")".repeat(2000), true),
        ("[".repeat(2000), true),
        ("request".to_owned() + &".a".repeat(100), true),
        ("request".to_owned() + &"[0]".repeat(100) + " == 1", true),
        ("1".to_owned() + &"+1".repeat(100) + " == 1", true),
        ("true ? true : ".repeat(100) + "true", true),
        ("true".to_owned() + &" == true".repeat(100), true),
        ("1".to_owned() + &" in [1]".repeat(100), true),
        ("-".repeat(100) + "1 == 1", true),
        // Terms side by side are not deep.
        ("true".to_owned() + &" && true".repeat(400), false),
        ("true".to_owned() + &" || false".repeat(400), false),
        (format!("1 in [{}]", vec!["1"; 1000].join(",")), false),
        ("'".to_owned() + &"(".repeat(1000) + "' == 'a'", false),
        ("true //".to_owned() + &"(".repeat(1000), false),
    ] {
        let refused = Condition::parse(&source);
        match refused {
            Ok(_) => assert!(!deep, "{source}"),
            Err(message) => assert!(
                deep && (message.contains("nested") || message.contains("at most")),
                "{source}: {message}"
            ),
        }
    }
    assert!(
        refusal(&format!("'{}' == ''", "x".repeat(MAX_CONDITION_BYTES))).contains("bytes long")
    );
}

/// The deepest texts of each shape that are let through.
fn deepest() -> Vec<String> {
    let shapes: [fn(usize) -> String; 7] = [
        |depth| "(".repeat(depth) + "true" + &")".repeat(depth),
        |depth| "request".to_owned() + &".a".repeat(depth) + " == 1",
        |depth| "request".to_owned() + &"[0]".repeat(depth) + " == 1",
        |depth| "1".to_owned() + &"+1".repeat(depth) + " == 1",
        |depth| "true ? true : ".repeat(depth) + "true",
        |depth| "[".repeat(depth) + "1" + &"]".repeat(depth) + " == 1",
        |depth| {
            "request.a.all(a, ".to_owned()
                + &"a.all(a, ".repeat(depth)
                + "a"
                + &")".repeat(depth + 1)
        },
    ];
    shapes
        .into_iter()
        .map(|shape| {
            (0..)
                .map(shape)
                .take_while(|source| shape::check(source).is_ok())
                .last()
                .unwrap()
        })
        .collect()
}

/// Everything that recurses on the caller's thread fits what a thread of tokio has, even when it is
/// not optimised.
#[test]
fn the_deepest_condition_fits_the_stack() {
    let worker = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(|| {
            let mut list = json!([1]);
            for _ in 0..8 {
                list = json!([list]);
            }
            for source in deepest() {
                let condition = Condition::parse(&source);
                assert!(condition.is_ok(), "{source}: {condition:?}");
                let _ = evaluate_with(&source, json!({ "a": list }));
            }
        });
    worker.unwrap().join().unwrap();
}

/// Pieces of CEL, so that random texts come near to being CEL.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "request", "subject", "resource", "action", "environment", "request.items",
            "request.amount", "subject.claims", "x", "y", "true", "false", "null", "1", "2.5",
            "3u", "0x1F", "9223372036854775807", "-1", "1e308", "'a'", "\"b\"", "r'c'", "b'd'",
            "'''e'''", "'\\u00e9'", "'\\x'", "'\\777'", "'\\UFFFFFFFF'", "b'\\u00e9'",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            ".", ",", "(", ")", "[", "]", "{", "}", "?", ":", "+", "-", "*", "/", "%", "!", "<",
            "<=", ">", ">=", "==", "!=", "&&", "||", " in ", " ", "\n", "//", "=", "`", "@", "_",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            ".all(x, ", ".exists(x, ", ".map(x, ", ".filter(y, ", ".exists_one(x, ", "has(",
            "size(", ".size()", "int(", "string(", "timestamp(", "duration(", ".getDayOfYear()",
            ".getHours('Europe/Zurich')", ".getHours('-23:59')", ".matches('a+')", ".startsWith(",
            "double(", "uint(", "Name{a: 1}", "{1: 2}", "[1, 2]",
            "timestamp('9999-12-31T23:59:59Z')", "timestamp('0001-01-01T00:00:00Z')",
            "duration('2562047h')", "duration('-2562047h')",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:TZ+-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(
                prop::sample::select(vec!["amount", "items", "x", "y"]).prop_map(str::to_owned),
                inner,
                0..4
            )
            .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A panic is caught where conditions are read and evaluated, and becomes a message of its own: that
/// one must not come.
fn ends_well(source: &str, request: &Value) -> Result<(), TestCaseError> {
    match Condition::parse(source) {
        Ok(condition) => {
            let subject = subject();
            let environment = json!({});
            let outcome = Evaluation::new(Request {
                subject: &subject,
                resource: "a",
                action: "b",
                request,
                environment: &environment,
            })
            .holds(&condition);
            prop_assert_ne!(
                outcome,
                Err(Failure::Other("it cannot be evaluated")),
                "{}",
                source
            );
        }
        Err(message) => prop_assert!(!message.contains("more simply"), "{}", source),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever is written, reading and evaluating it ends with an answer.
    #[test]
    fn no_text_makes_it_panic(
        pieces in prop::collection::vec(piece(), 0..24),
        request in json_value(),
    ) {
        ends_well(&pieces.concat(), &request)?;
    }

    /// Texts that are nearly conditions get further than random ones.
    #[test]
    fn no_slip_of_the_pen_makes_it_panic(
        source in prop::sample::select(SOUND),
        other in prop::sample::select(SOUND),
        slip in piece(),
        from in any::<prop::sample::Index>(),
        cut in 0_usize..6,
        request in json_value(),
    ) {
        let mut characters: Vec<char> = source.chars().collect();
        let at = from.index(characters.len());
        let end = (at + cut).min(characters.len());
        characters.splice(at..end, slip.chars());
        let slipped = String::from_iter(characters);
        ends_well(&slipped, &request)?;
        ends_well(&format!("{slipped} && {other}"), &request)?;
    }

    #[test]
    fn no_characters_make_it_panic(source in "\\PC{0,64}") {
        ends_well(&source, &Value::Null)?;
    }

    /// CEL and Rust agree on numbers of every kind.
    #[test]
    fn comparisons_agree_with_rust(amount in -2_000_000_i64..2_000_000, fraction in any::<bool>()) {
        let value = if fraction { json!(amount as f64 / 1000.0) } else { json!(amount / 1000) };
        let expected = value.as_f64().unwrap() < 1000.0;
        prop_assert_eq!(evaluate_with("request.amount < 1000", json!({"amount": value})), Ok(expected));
    }
}
