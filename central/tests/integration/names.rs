//! What no name has is refused where it is given, and is no outage of the database.

use serde_json::json;

use crate::support::{Central, Database, central::ADMINISTRATOR, on_each_store};

on_each_store!(a_nul_character_is_refused_wherever_it_is_given);

async fn a_nul_character_is_refused_wherever_it_is_given(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    for path in [
        "/api/v1/dead-letters?tenant=%00",
        "/api/v1/dead-letters?after=a%00:1",
        "/api/v1/checkpoints?tenant=a%00",
        "/api/v1/allocations?id=%00",
    ] {
        let answer = central.ask(path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SIGNET-CENTRAL-0006"),
            "{path}: {}",
            answer.body
        );
    }
    for (method, path) in [
        ("GET", "/api/v1/subscriptions/a%00"),
        ("POST", "/api/v1/subscriptions/%00/pause"),
        ("GET", "/api/v1/projections/a%00"),
        ("GET", "/api/v1/tenants/acme/streams/role/%00"),
    ] {
        let answer = central.call(ADMINISTRATOR, method, path, None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "SIGNET-CENTRAL-0030"),
            "{path}: {}",
            answer.body
        );
    }
    let types = json!({ "purpose": "count", "event_types": ["\0"] });
    let replay = central
        .call(ADMINISTRATOR, "POST", "/api/v1/replays", Some(types))
        .await;
    assert_eq!(replay.status, 400, "{}", replay.body);
    assert!(replay.message().contains("event_types"));
}
