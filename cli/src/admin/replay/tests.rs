//! How a replay is asked for, told of, and judged.

use clap::Parser as _;
use serde_json::{Value, json};

use super::{Options, Replay, What, follow_until, pace, shown, start, verdict};
use crate::{
    Cli, Command,
    admin::{client::Client, scripted, table::Format},
};

fn parsed(line: &str) -> Result<Options, clap::Error> {
    match Cli::try_parse_from(line.split(' '))?.command {
        Command::Replay(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_given_is_asked_for() {
    let line = "signet replay start count --tenant acme --stream role/shop/reader \
                --event-type A --event-type B --after 3 --until 9 --until-version 2 --detach";
    let What::Start(start) = parsed(line).unwrap().what else {
        panic!("not a start")
    };
    assert!(start.detach);
    assert_eq!(
        start.body(),
        json!({
            "purpose": "count", "stream": "role/shop/reader",
            "event_types": ["A", "B"], "after": 3, "until": 9, "until_version": 2,
            "until_time": null,
        })
    );
}

#[test]
fn what_does_not_go_together_is_refused() {
    for wrong in [
        "signet replay start",
        "signet replay start delete",
        "signet replay start count --stream role/x",
        "signet replay start count --tenant acme --until-version 2",
        "signet replay cancel",
    ] {
        assert!(parsed(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_replay_is_told_in_a_few_lines() {
    let replay = json!({
        "id": "7", "purpose": "count", "state": "done", "read": 3, "total": 3, "position": 9,
        "result": { "events": 3, "by_type": { "A": 1, "B": 2 } },
    });
    let expected = "count 7: done, 3 of 3 events read, at position 9\n\
        \x20          1 A\n           2 B";
    assert_eq!(shown(&replay, Format::Table), expected);
    assert!(verdict(&replay).is_ok());
    let running = json!({ "events_per_second": 1234.5, "seconds_left": 6.4 });
    assert_eq!(pace(&running), "1234 events/s, 6 s left");
}

#[test]
fn a_fault_is_named_and_fails_the_command() {
    let fault = json!({
        "kind": "changed", "position": 4, "tenant": "acme", "message": "it was changed",
    });
    let replay = json!({
        "id": "7", "purpose": "verify", "state": "done", "read": 3, "total": 3, "position": 9,
        "result": { "sound": false, "first_fault": fault, "report": { "faults": [fault] } },
    });
    let text = shown(&replay, Format::Table);
    assert!(
        text.ends_with("changed at position 4, tenant acme: it was changed"),
        "{text}"
    );
    let error = verdict(&replay).unwrap_err();
    assert_eq!(error.code(), "SIGNET-CLI-0009");
    let failed = json!({ "failure": { "message": "the database is away" } });
    assert!(verdict(&failed).unwrap_err().to_string().contains("away"));
}

#[test]
fn what_was_not_verified_to_its_end_is_not_sound() {
    let ended = |purpose: &str, state: &str, result: Value| {
        verdict(&json!({ "purpose": purpose, "state": state, "result": result }))
    };
    let sound = json!({ "sound": true, "first_fault": null });
    assert!(ended("verify", "done", sound.clone()).is_ok());
    assert!(ended("count", "done", json!({ "events": 3 })).is_ok());

    let unsound = json!({ "sound": false, "first_fault": null });
    for (purpose, state, result) in [
        ("verify", "cancelled", unsound.clone()),
        ("verify", "cancelled", sound.clone()),
        ("verify", "done", unsound),
        ("verify", "done", Value::Null),
        ("verify", "failed", Value::Null),
        ("count", "cancelled", json!({ "events": 3 })),
        ("forget", "done", sound),
    ] {
        let error = ended(purpose, state, result).unwrap_err();
        assert_eq!(error.code(), "SIGNET-CLI-0010", "{purpose} {state}");
    }
    // What was found before it was cancelled stays found.
    let fault = json!({ "sound": false, "first_fault": { "position": 4 } });
    let error = ended("verify", "cancelled", fault).unwrap_err();
    assert_eq!(error.code(), "SIGNET-CLI-0009");
}

/// A central whose only replay never ends; the file of its administrators' secret goes with it.
async fn endless() -> (Client, tempfile::NamedTempFile) {
    let running = json!({ "id": "7", "purpose": "verify", "state": "running", "read": 3 });
    let router = axum::Router::new().fallback(async move || axum::Json(running));
    scripted::central(router).await
}

#[tokio::test]
async fn who_does_not_wait_for_the_outcome_is_not_told_that_all_is_well() {
    let (client, _secret) = endless().await;
    let replay = Replay {
        id: "7".into(),
        tenant: None,
    };

    let outcome = follow_until(&client, &replay, Format::Table, async {}).await;

    assert_eq!(outcome.unwrap_err().code(), "SIGNET-CLI-0010");
}

/// A token of a tenant opens nothing but what lies below it.
#[tokio::test]
async fn of_a_tenant_only_its_own_paths_are_asked() {
    let answer = async move |method: axum::http::Method, uri: axum::http::Uri| {
        let (status, state) = match (method.as_str(), uri.path()) {
            ("POST", "/api/v1/tenants/acme/replays") => (202, "running"),
            ("GET", "/api/v1/tenants/acme/replays/7") => (200, "done"),
            _ => (401, ""),
        };
        let body = json!({ "id": "7", "purpose": "count", "state": state });
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        (status, axum::Json(body))
    };
    let (client, _secret) = scripted::central(axum::Router::new().fallback(answer)).await;
    let body = json!({ "purpose": "count" });

    let own = start(&client, Some("acme"), body.clone(), true, Format::Table).await;
    assert!(own.is_ok(), "{own:?}");
    let all = start(&client, None, body, true, Format::Table).await;
    let refused = all.unwrap_err().to_string();
    assert!(refused.contains("--tenant"), "{refused}");

    let line = "signet replay show 7 --tenant acme";
    let What::Show { replay, .. } = parsed(line).unwrap().what else {
        panic!("nothing to show")
    };
    assert_eq!(replay.path(), "/api/v1/tenants/acme/replays/7");
    let hint = replay.how_to_go_on();
    assert!(hint.contains("cancel 7 --tenant acme"), "{hint}");
}
