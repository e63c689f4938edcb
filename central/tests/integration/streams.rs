//! The events of one aggregate: up to a version or a time, page by page, and to its end.

use serde_json::json;

use crate::support::{Answer, Central, Database, on_each_store};

on_each_store!(
    a_stream_is_shown_up_to_a_version_or_a_time,
    what_a_stream_has_not_is_not_made_up,
);

const STREAM: &str = "/api/v1/tenants/acme/streams/tenant/acme";

async fn a_stream_is_shown_up_to_a_version_or_a_time(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    let whole = central.ask(STREAM).await;
    assert_eq!(whole.all("events", "stream_version"), [1, 2, 3]);
    assert_eq!(
        (&whole.body["version"], &whole.body["end"]),
        (&json!(3), &json!(true))
    );

    let early = central.ask(&format!("{STREAM}?version=2")).await;
    assert_eq!(early.all("events", "stream_version"), [1, 2]);
    assert_eq!(early.body["end"], true);
    let time = whole.body["events"][0]["recorded_at"].as_str().unwrap();
    let then = central.ask(&format!("{STREAM}?time={time}")).await;
    assert_eq!(then.all("events", "stream_version")[0], 1);
    assert!(
        then.all("events", "recorded_at")
            .iter()
            .all(|at| at == time)
    );
    let before = central
        .ask(&format!("{STREAM}?time=2001-01-01T00:00:00Z"))
        .await;
    assert!(before.all("events", "stream_version").is_empty());

    let page = central.ask(&format!("{STREAM}?limit=2")).await;
    assert_eq!(
        (&page.body["next"], &page.body["end"]),
        (&json!(2), &json!(false))
    );
    let rest = central.ask(&format!("{STREAM}?limit=2&after=2")).await;
    assert_eq!(rest.all("events", "stream_version"), [3]);

    // An id may have slashes.
    let role = central
        .ask("/api/v1/tenants/acme/streams/role/shop/reader")
        .await;
    assert_eq!(role.all("events", "event_type"), ["RoleDeclared"]);
    let foreign = central
        .ask("/api/v1/tenants/bank/streams/role/shop/reader")
        .await;
    assert_eq!(
        (foreign.status, foreign.code()),
        (404, "SIGNET-CENTRAL-0030")
    );
}

async fn what_a_stream_has_not_is_not_made_up(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    // Its version is its own, whatever part of it is shown.
    for query in [
        "version=2",
        "limit=1",
        "after=3",
        "version=0",
        "version=99",
        "time=2001-01-01T00:00:00Z",
    ] {
        let part = central.ask(&format!("{STREAM}?{query}")).await;
        assert_eq!(
            (part.status, &part.body["version"]),
            (200, &json!(3)),
            "{query}: {}",
            part.body
        );
        assert_eq!(part.body["end"], query != "limit=1", "{query}");
    }
    let at_end = central.ask(&format!("{STREAM}?after=3")).await;
    assert_eq!(at_end.body["next"], 3);
    let last = central.ask(&format!("{STREAM}?limit=3")).await;
    assert_eq!(last.body["end"], true, "{}", last.body);

    let beyond = central.ask(&format!("{STREAM}?after=4")).await;
    assert_eq!((beyond.status, beyond.code()), (400, "SIGNET-CENTRAL-0006"));
    assert!(
        beyond.message().starts_with("after: ") && beyond.message().contains("version 3"),
        "{}",
        beyond.message()
    );
    assert_eq!(beyond.body["error"]["details"]["parameter"], "after");

    for query in ["", "after=3", "version=0", "time=2001-01-01T00:00:00Z"] {
        for stream in ["role/shop/none", "bulk/one", "role/%00"] {
            let path = format!("/api/v1/tenants/acme/streams/{stream}?{query}");
            let Answer { status, body } = central.ask(&path).await;
            assert_eq!(
                (status, &body["error"]["code"]),
                (404, &json!("SIGNET-CENTRAL-0030")),
                "{path}: {body}"
            );
        }
    }
}
