//! What is asked of central, and what is made of its answers.

use clap::Parser as _;
use serde_json::json;

use super::{Filter, Map, Method, Round, Value, add, call, known, replay_all, told};
use crate::{
    Cli, Command,
    admin::{client::Client, scripted, table::Format},
};

fn asked(line: &str) -> Result<(Method, String), clap::Error> {
    match Cli::try_parse_from(line.split(' '))?.command {
        Command::DeadLetters(options) => Ok(call(&options.what)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_or_all_that_fit_are_replayed_or_dropped() {
    for (line, method, path) in [
        ("list", Method::Get, "?limit=100"),
        (
            "list --subscription audit --after audit:7 --limit 3",
            Method::Get,
            "?subscription=audit&after=audit%3A7&limit=3",
        ),
        ("replay audit:7", Method::Post, "/audit%3A7/replay"),
        ("replay --tenant acme", Method::Post, "/replay?tenant=acme"),
        ("drop audit:7", Method::Delete, "/audit%3A7"),
        (
            "drop --subscription audit",
            Method::Delete,
            "?subscription=audit",
        ),
    ] {
        let line = format!("signet dead-letters {line}");
        let expected = (method, format!("/api/v1/dead-letters{path}"));
        assert_eq!(asked(&line).unwrap(), expected, "{line}");
    }
}

#[test]
fn the_list_of_a_tenant_is_one_that_its_own_token_opens() {
    let (method, path) = asked("signet dead-letters list --tenant acme --limit 3").unwrap();
    assert_eq!(method, Method::Get);
    assert_eq!(path, "/api/v1/tenants/acme/dead-letters?limit=3");
}

#[test]
fn nothing_is_dropped_without_saying_what() {
    for line in ["drop", "replay", "drop audit:7 --tenant acme"] {
        assert!(
            asked(&format!("signet dead-letters {line}")).is_err(),
            "{line}"
        );
    }
    let error = asked("signet dead-letters drop").unwrap_err().to_string();
    assert!(error.contains("signet dead-letters drop ID"), "{error}");
    assert!(error.contains("at least one of them"), "{error}");
}

#[test]
fn rounds_of_replays_are_added_up() {
    let mut all = Map::new();
    let first = json!({
        "handled": 2, "failed": 1, "held_back": 0, "skipped": 0,
        "elsewhere": [], "next": "audit:7", "end": false,
    });
    assert_eq!(add(&mut all, &first), Round::Next(Some("audit:7".into())));
    let last = json!({
        "handled": 3, "failed": 0, "held_back": 1, "skipped": 0,
        "elsewhere": ["mail"], "next": null, "end": true,
    });
    assert_eq!(add(&mut all, &last), Round::Last);
    let together = json!({
        "handled": 5, "failed": 1, "held_back": 1, "skipped": 0, "elsewhere": ["mail"],
    });
    assert_eq!(Value::Object(all), together);
}

/// A central that answers the rounds of a replay one after the other, by what they go on behind; the
/// file of its administrators' secret goes with it.
async fn answering(rounds: Value) -> (Client, tempfile::NamedTempFile) {
    let answer = async move |uri: axum::http::Uri| {
        let after = uri.query().and_then(|query| query.split_once("after="));
        axum::Json(rounds[after.map_or("first", |(_, after)| after)].clone())
    };
    let router = axum::Router::new().fallback(answer);
    scripted::central(router).await
}

const ALL: Filter = Filter {
    subscription: None,
    tenant: None,
};

#[tokio::test]
async fn a_letter_that_takes_long_is_not_the_end() {
    let (client, _secret) = answering(json!({
        "first": { "handled": 0, "replaying": "audit:7", "next": "audit:7", "end": false },
        "audit%3A7": { "handled": 3, "replaying": null, "next": null, "end": true },
    }))
    .await;

    let all = replay_all(&client, &ALL).await.unwrap();

    assert_eq!(
        (&all["handled"], &all["replaying"]),
        (&json!(3), &json!(["audit:7"]))
    );
    // It may fail yet, and nobody would be told.
    let error = known(&all).unwrap_err();
    assert_eq!(error.code(), "SIGNET-CLI-0010");
    assert!(error.to_string().contains("audit:7"), "{error}");
    assert!(known(&json!({ "handled": 3 })).is_ok());
    assert!(known(&json!({ "replaying": "audit:7" })).is_err());
}

#[tokio::test]
async fn a_round_that_does_not_get_on_is_neither_the_end_nor_repeated_for_ever() {
    for next in [Value::Null, json!("audit:7")] {
        let stuck = json!({ "handled": 0, "next": next, "end": false });
        let (client, _secret) = answering(json!({ "first": stuck, "audit%3A7": stuck })).await;

        let error = replay_all(&client, &ALL).await.unwrap_err();

        assert_eq!(error.code(), "SIGNET-CLI-0010", "{error}");
    }
}

#[test]
fn what_came_of_it_is_one_line() {
    let answer = json!({ "dropped": 3 });
    assert_eq!(told(&answer, Format::Table), "dropped: 3");
    let one = json!({ "replayed": "audit:7" });
    assert_eq!(told(&one, Format::Table), "replayed: audit:7");
}
