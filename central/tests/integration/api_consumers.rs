//! Subscriptions, dead letters and checkpoints through the API, and whose they are.

use std::{sync::Arc, time::Duration};

use eventstore::{
    Position, RecordedEvent,
    consumer::{ConsumerOptions, Consumers, ConsumersOptions, Delivery},
    integrity::{Checkpoints, Ed25519Signer},
    projection::{Projection, ProjectionOptions, Projections, RunnerOptions},
};
use serde_json::{Value, json};

use crate::support::{
    Answer, Central, Database,
    central::{ADMINISTRATOR, CHECKOUT},
    events::{Refuses, store_of},
    eventually, on_each_store,
};

on_each_store!(
    subscriptions_are_shown_paused_and_resumed,
    dead_letters_are_listed_and_dropped,
    checkpoints_are_listed_the_newest_first,
    projections_are_shown_paused_and_built_anew,
);

const SUBSCRIPTIONS: &str = "/api/v1/subscriptions";
const DEAD_LETTERS: &str = "/api/v1/dead-letters";

/// A central whose ten events are dead letters of subscription `audit`, which another process ran.
async fn with_dead_letters(database: &Database) -> Central {
    let central = Central::on(database).await;
    central.furnish().await;
    let store = store_of(database).await;
    let consumers = Consumers::new(Arc::clone(&store), ConsumersOptions::default());
    let mut options = ConsumerOptions::new("audit");
    options.partitions = 1;
    let started = consumers.start(options, Delivery::at_least_once(Refuses));
    started.await.unwrap();
    eventually("ten dead letters", || async {
        let audit = central.ask(&format!("{SUBSCRIPTIONS}/audit")).await;
        audit.body["dead_letters"] == 10
    })
    .await;
    consumers.shutdown(Duration::from_secs(5)).await;
    store.close().await;
    central
}

async fn post(central: &Central, path: &str) -> Answer {
    central.call(ADMINISTRATOR, "POST", path, None).await
}

async fn delete(central: &Central, path: &str) -> Answer {
    central.call(ADMINISTRATOR, "DELETE", path, None).await
}

/// The ids of the dead letters that a query finds.
async fn ids(central: &Central, query: &str) -> Vec<Value> {
    let answer = central.ask(&format!("{DEAD_LETTERS}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.all("dead_letters", "id")
}

async fn subscriptions_are_shown_paused_and_resumed(database: Database) {
    let central = with_dead_letters(&database).await;

    let all = central.ask(SUBSCRIPTIONS).await;
    let audit = all.body["subscriptions"].as_array().unwrap();
    let audit = audit.iter().find(|one| one["subscription"] == "audit");
    let audit = audit.unwrap();
    assert_eq!(
        (&audit["paused"], &audit["position"]),
        (&json!(false), &json!(10))
    );
    assert_eq!(
        (&audit["lag_events"], &audit["dead_letters"]),
        (&json!(0), &json!(10))
    );
    assert_eq!(audit["partitions"][0]["position"], 10);
    assert!(audit["this_replica"]["owner"].is_string());

    for (deed, paused) in [("pause", true), ("resume", false)] {
        let answer = post(&central, &format!("{SUBSCRIPTIONS}/audit/{deed}")).await;
        assert_eq!(
            (answer.status, &answer.body["paused"]),
            (200, &json!(paused))
        );
        let audit = central.ask(&format!("{SUBSCRIPTIONS}/audit")).await;
        assert_eq!(audit.body["paused"], paused);
    }
    for path in ["none/pause", "none/resume"] {
        let answer = post(&central, &format!("{SUBSCRIPTIONS}/{path}")).await;
        assert_eq!((answer.status, answer.code()), (404, "SIGNET-CENTRAL-0030"));
    }
    assert_eq!(
        central.ask(&format!("{SUBSCRIPTIONS}/none")).await.status,
        404
    );
}

async fn dead_letters_are_listed_and_dropped(database: Database) {
    let central = with_dead_letters(&database).await;

    let mut seen = Vec::new();
    let mut path = format!("{DEAD_LETTERS}?subscription=audit&limit=4");
    loop {
        let page = central.ask(&path).await;
        seen.extend(page.all("dead_letters", "position"));
        if page.body["end"] == true {
            break;
        }
        let next = page.body["next"].as_str().unwrap();
        path = format!("{DEAD_LETTERS}?subscription=audit&limit=4&after={next}");
    }
    assert_eq!(seen, (1..=10).map(Value::from).collect::<Vec<_>>());
    let first = &central.ask(&format!("{DEAD_LETTERS}?limit=1")).await.body["dead_letters"][0];
    let event = central.ask("/api/v1/events/1").await.body;
    for member in ["tenant", "event_type", "stream_type", "stream_id"] {
        assert_eq!(first[member], event[member], "{member}");
    }
    assert_eq!(first["event_id"], event["id"]);
    assert_eq!(
        (&first["error"], &first["attempts"]),
        (&json!("it makes no sense"), &json!(1))
    );
    let of_bank = central.ask(&format!("{DEAD_LETTERS}?tenant=bank")).await;
    assert_eq!(of_bank.all("dead_letters", "tenant"), ["bank"; 5]);
    assert!(ids(&central, "subscription=none").await.is_empty());

    // Nothing is handled where the subscription does not run.
    for path in ["audit:1/replay", "replay?subscription=audit"] {
        let answer = post(&central, &format!("{DEAD_LETTERS}/{path}")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (409, "SIGNET-CENTRAL-0031"),
            "{path}"
        );
    }
    let all = post(&central, &format!("{DEAD_LETTERS}/replay")).await;
    assert_eq!((all.status, &all.body["end"]), (200, &json!(true)));
    assert_eq!(
        (&all.body["elsewhere"], &all.body["handled"]),
        (&json!(["audit"]), &json!(0))
    );
    assert_eq!(ids(&central, "subscription=audit").await.len(), 10);

    assert_eq!(
        delete(&central, &format!("{DEAD_LETTERS}/audit:1"))
            .await
            .status,
        200
    );
    assert!(!ids(&central, "limit=1").await.contains(&json!("audit:1")));
    for path in ["none:1/replay", "audit/replay", "replay?subscription=none"] {
        assert_eq!(
            post(&central, &format!("{DEAD_LETTERS}/{path}"))
                .await
                .status,
            404,
            "{path}"
        );
    }
    for path in ["/audit:1", "/none:1", "/x", "?subscription=none"] {
        assert_eq!(
            delete(&central, &format!("{DEAD_LETTERS}{path}"))
                .await
                .status,
            404,
            "{path}"
        );
    }

    // Never all of them by an omission.
    let all = delete(&central, DEAD_LETTERS).await;
    assert_eq!((all.status, all.code()), (400, "SIGNET-CENTRAL-0006"));
    let dropped = delete(&central, &format!("{DEAD_LETTERS}?tenant=bank")).await;
    assert_eq!(dropped.body, json!({ "dropped": 5 }));
    assert_eq!(ids(&central, "").await.len(), 4);
    let dropped = delete(&central, &format!("{DEAD_LETTERS}?subscription=audit")).await;
    assert_eq!(dropped.body, json!({ "dropped": 4 }));
    for query in ["after=x", "limit=0", "limit=1001", "subscriptions=audit"] {
        let answer = central.ask(&format!("{DEAD_LETTERS}?{query}")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SIGNET-CENTRAL-0006"),
            "{query}"
        );
    }
}

async fn checkpoints_are_listed_the_newest_first(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let store = store_of(&database).await;
    let signer = Ed25519Signer::from_seed("of-the-test", &[7; 32]).unwrap();
    let sealing = Checkpoints::new(
        Arc::clone(&store),
        Arc::new(signer),
        time::OffsetDateTime::now_utc,
    );
    sealing.sign_all(|_| {}).await.unwrap();
    let kept = sealing.list(None, Position::START, 10).await.unwrap();
    store.close().await;

    let all = central.ask("/api/v1/checkpoints").await;
    assert_eq!(all.body["store"], json!(kept[0].store));
    assert!(all.body["keys"].is_array());
    let listed = all.body["checkpoints"].as_array().unwrap();
    assert!(listed.len() >= 2, "{}", all.body);
    let positions: Vec<_> = listed.iter().map(|one| one["position"].as_u64()).collect();
    assert!(
        positions.windows(2).all(|pair| pair[0] > pair[1]),
        "{positions:?}"
    );
    // What is shown is the line that is kept elsewhere.
    let line: Value = serde_json::from_str(&kept[0].to_line()).unwrap();
    assert!(listed.contains(&line));

    let page = central.ask("/api/v1/checkpoints?limit=1").await;
    assert_eq!(
        (&page.body["checkpoints"][0], &page.body["end"]),
        (&listed[0], &json!(false))
    );
    let next = &page.body["next"];
    let page = central
        .ask(&format!("/api/v1/checkpoints?limit=1&after={next}"))
        .await;
    assert_eq!(page.body["checkpoints"][0], listed[1]);

    let own = central.ask("/api/v1/tenants/bank/checkpoints").await;
    let tenants = own.all("checkpoints", "tenant");
    assert!(!tenants.is_empty() && tenants.iter().all(|tenant| tenant == "bank"));
    let given = central.ask("/api/v1/checkpoints?tenant=bank").await;
    assert_eq!(given.body, own.body);
}

/// Counts the events of each stream.
struct Counts;

impl Projection for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, _: &RecordedEvent) -> bool {
        true
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        vec![event.stream.to_string()]
    }

    fn apply(
        &self,
        document: Option<Value>,
        _: &str,
        _: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let before = document.and_then(|count| count.as_u64()).unwrap_or(0);
        Ok(Some(json!(before + 1)))
    }
}

async fn projections_are_shown_paused_and_built_anew(database: Database) {
    const COUNTS: &str = "/api/v1/projections/counts";
    let central = Central::on(&database).await;
    central.furnish().await;
    let store = store_of(&database).await;
    let projections = Projections::new(Arc::clone(&store), ProjectionOptions::default());
    let runner = projections.run(Arc::new(Counts), &RunnerOptions::default());
    let runner = runner.unwrap();
    eventually("ten events applied", || async {
        central.ask(COUNTS).await.body["active"]["position"] == 10
    })
    .await;

    let listed = central.ask("/api/v1/projections").await;
    assert!(
        listed
            .all("projections", "projection")
            .contains(&json!("counts"))
    );
    for (deed, state) in [("pause", "paused"), ("resume", "running")] {
        let answer = post(&central, &format!("{COUNTS}/{deed}")).await;
        assert_eq!((answer.status, &answer.body["state"]), (200, &json!(state)));
    }
    let mut generation = central.ask(COUNTS).await.body["active"]["generation"].clone();
    for deed in ["rebuild", "clear"] {
        assert_eq!(
            post(&central, &format!("{COUNTS}/{deed}")).await.status,
            200
        );
        let former = generation.clone();
        eventually("another generation", || async {
            let now = central.ask(COUNTS).await.body["active"].clone();
            now["generation"] != former && now["position"] == 10
        })
        .await;
        generation = central.ask(COUNTS).await.body["active"]["generation"].clone();
    }
    for deed in ["pause", "resume", "rebuild", "clear"] {
        let answer = post(&central, &format!("/api/v1/projections/none/{deed}")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "SIGNET-CENTRAL-0030"),
            "{deed}"
        );
    }

    let own = "/api/v1/tenants/acme/projections";
    for path in [own.to_owned(), format!("{own}/counts")] {
        central
            .assert_scoped("signet/projections", "read", ("GET", &path), None)
            .await;
        let text = central.ask(&path).await.body.to_string();
        assert!(
            text.contains("counts") && !text.contains("partitions"),
            "{text}"
        );
    }
    drop(runner);
    store.close().await;
}

#[tokio::test]
async fn a_tenant_sees_what_is_its_own_and_changes_nothing() {
    let central = with_dead_letters(&Database::sqlite()).await;
    for (resource, path) in [
        ("signet/subscriptions", "/api/v1/tenants/acme/subscriptions"),
        (
            "signet/subscriptions",
            "/api/v1/tenants/acme/subscriptions/audit",
        ),
        ("signet/dead-letters", "/api/v1/tenants/acme/dead-letters"),
        ("signet/checkpoints", "/api/v1/tenants/acme/checkpoints"),
    ] {
        central
            .assert_scoped(resource, "read", ("GET", path), None)
            .await;
        let who = ("acme", "shop", "checkout", CHECKOUT);
        let token = central.token_for(who, resource, &["read", "write"]).await;
        let answer = central.call(&token, "GET", path, None).await;
        let text = answer.body.to_string();
        assert!(
            !text.contains("bank") && !text.contains("owner"),
            "{path}: {text}"
        );
        for (method, path) in [
            ("GET", SUBSCRIPTIONS),
            ("GET", "/api/v1/subscriptions/audit"),
            ("POST", "/api/v1/subscriptions/audit/pause"),
            ("POST", "/api/v1/subscriptions/audit/resume"),
            ("GET", DEAD_LETTERS),
            ("DELETE", DEAD_LETTERS),
            ("POST", "/api/v1/dead-letters/replay"),
            ("POST", "/api/v1/dead-letters/audit:1/replay"),
            ("DELETE", "/api/v1/dead-letters/audit:1"),
            ("GET", "/api/v1/checkpoints"),
        ] {
            let refused = central.call(&token, method, path, None).await;
            assert_eq!(refused.status, 401, "{method} {path}");
        }
    }
    let own = central
        .ask("/api/v1/tenants/acme/subscriptions/audit")
        .await;
    let expected = json!({ "subscription": "audit", "paused": false, "dead_letters": 5 });
    assert_eq!(own.body, expected);
    let letters = central.ask("/api/v1/tenants/acme/dead-letters").await;
    assert_eq!(letters.all("dead_letters", "tenant"), ["acme"; 5]);
    let foreign = central
        .ask("/api/v1/tenants/acme/dead-letters?tenant=bank")
        .await;
    assert_eq!(foreign.status, 400);
}
