//! Stored data that somebody changed behind central's back: what it hides, what it does not, and what is
//! said about it. It is no outage, and nobody is told to try again.

use std::sync::Arc;

use ::central::StaticAuthenticator;
use eventstore::integrity::{Checkpoints, Ed25519Signer};
use protocol::v1::{DeleteTenantRequest, DeletionPolicy};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Central, Database, Secrets,
    central::{ADMINISTRATOR, BILLING, CHECKOUT, OPERATOR},
    events::store_of,
    eventually, on_each_store, with_bearer,
};

on_each_store!(
    what_ends_it_at_start_is_said_once,
    a_damaged_event_is_named_and_the_others_are_still_shown,
    an_event_of_another_release_is_named,
    a_damaged_checkpoint_hides_no_others,
    a_partition_that_stopped_at_a_damaged_event_is_counted,
);

/// Fails unless a path is answered with an error of this code about this position, and nobody is told to
/// ask again.
async fn assert_damaged(central: &Central, path: &str, code: &str, position: u64) -> Value {
    let call = central
        .http
        .get(central.url(path))
        .bearer_auth(ADMINISTRATOR);
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 500, "{path}");
    assert!(!answer.headers().contains_key("retry-after"), "{path}");
    let body: Value = answer.json().await.unwrap();
    let error = &body["error"];
    assert_eq!(error["code"], code, "{path}: {body}");
    let message = error["message"].as_str().unwrap();
    let named = format!("position {position}");
    assert!(message.contains(&named), "{path}: {message}");
    error.clone()
}

async fn a_damaged_event_is_named_and_the_others_are_still_shown(database: Database) {
    const CORRUPT: &str = "SIGNET-CENTRAL-0020";
    let central = Central::on(&database).await;
    central.furnish().await;
    let damage =
        "UPDATE events SET metadata = '{\"actor\":1}' WHERE tenant = 'acme' AND position IN (2, 4)";
    assert_eq!(database.execute(damage).await, 2);

    for (path, position) in [
        ("/api/v1/events", 2),
        ("/api/v1/events/4", 4),
        ("/api/v1/tenants/acme/events?after=2", 4),
        ("/api/v1/tenants/acme/streams/tenant/acme", 2),
        ("/api/v1/tenants/acme/streams/role/shop/reader", 4),
        ("/api/v1/tenants/acme/states/role/shop/reader", 4),
    ] {
        let error = assert_damaged(&central, path, CORRUPT, position).await;
        assert_eq!(error["details"]["position"], position, "{path}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("signet events verify"), "{message}");
    }
    let state = "/api/v1/tenants/acme/states/tenant/acme";
    assert_damaged(&central, state, CORRUPT, 2).await;

    // Around it everything is there.
    let behind = central.ask("/api/v1/events?after=4").await;
    assert_eq!(behind.all("events", "position").len(), 6, "{}", behind.body);
    let before = central.ask("/api/v1/events?before=2").await;
    assert_eq!(before.all("events", "position"), [1]);
    let of_bank = central.ask("/api/v1/tenants/bank/events").await;
    assert_eq!(of_bank.status, 200);
}

async fn what_ends_it_at_start_is_said_once(database: Database) {
    let secrets = Secrets::new();
    let before = Central::start(&secrets, &database, &[]).await;
    before.furnish().await;
    before.running.stop().await.unwrap();
    let damage = "UPDATE events SET metadata = '{\"actor\":1}' WHERE position = 4";
    assert_eq!(database.execute(damage).await, 1);

    let nobody = Arc::new(StaticAuthenticator::default());
    let started = ::central::start(secrets.config(&database, &[]), nobody).await;
    let ended = started.unwrap().run_until(CancellationToken::new()).await;

    let error = ended.unwrap_err();
    assert_eq!(error.code(), "SIGNET-CENTRAL-0110");
    let text = error.to_string();
    assert_eq!(text.matches("ended by itself").count(), 1, "{text}");
    assert!(text.contains("position 4"), "{text}");
    assert!(text.contains("signet events verify"), "{text}");
}

async fn an_event_of_another_release_is_named(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let newer = "UPDATE events SET schema_version = 99 WHERE position = 4";
    assert_eq!(database.execute(newer).await, 1);

    let state = "/api/v1/tenants/acme/states/role/shop/reader";
    let error = assert_damaged(&central, state, "SIGNET-CENTRAL-0021", 4).await;

    assert_eq!(error["details"]["position"], 4);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("RoleDeclared") && message.contains("release"),
        "{message}"
    );
    // As it is stored it can be looked at.
    let event = central.ask("/api/v1/events/4").await;
    assert_eq!(event.body["schema_version"], 99, "{}", event.body);
}

async fn a_damaged_checkpoint_hides_no_others(database: Database) {
    const CHECKPOINTS: &str = "/api/v1/checkpoints";
    let central = Central::on(&database).await;
    central.furnish().await;
    let store = store_of(&database).await;
    let signer = Ed25519Signer::from_seed("of-the-test", &[7; 32]).unwrap();
    let signing = Checkpoints::new(
        Arc::clone(&store),
        Arc::new(signer),
        time::OffsetDateTime::now_utc,
    );
    for _ in 0..3 {
        central.allocate(CHECKOUT, "acme", 1).await.unwrap();
        central.allocate(BILLING, "bank", 1).await.unwrap();
        signing.sign_all(|_| {}).await.unwrap();
    }
    store.close().await;
    let whole = central.ask(CHECKPOINTS).await;
    assert_eq!(whole.body["damaged"], json!([]), "{}", whole.body);
    let mut left = whole.all("checkpoints", "position");
    assert!(left.len() >= 6, "{}", whole.body);

    let damage = "UPDATE event_checkpoints SET store_id = 'another' WHERE position = \
         (SELECT max(position) FROM event_checkpoints WHERE position < \
           (SELECT max(position) FROM event_checkpoints))";
    assert_eq!(database.execute(damage).await, 1);
    let damaged = left.remove(1);

    let page = central.ask(CHECKPOINTS).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.all("checkpoints", "position"), left);
    assert_eq!(page.body["damaged"], json!([damaged]));
    assert_eq!(page.body["end"], true);
    // Page by page nothing is left out, and nothing is there twice.
    let (mut seen, mut unreadable, mut path) = (vec![], vec![], format!("{CHECKPOINTS}?limit=2"));
    loop {
        let page = central.ask(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        seen.extend(page.all("checkpoints", "position"));
        unreadable.extend(page.body["damaged"].as_array().unwrap().clone());
        if page.body["end"] == true {
            break;
        }
        path = format!("{CHECKPOINTS}?limit=2&after={}", page.body["next"]);
    }
    assert_eq!((seen, unreadable), (left, vec![damaged]));
}

async fn a_partition_that_stopped_at_a_damaged_event_is_counted(database: Database) {
    const SUBSCRIPTION: &str = "/api/v1/subscriptions/retired-keys";
    let central = Central::on(&database).await;
    central.furnish().await;
    let tell = async |deed: &str| {
        let path = format!("{SUBSCRIPTION}/{deed}");
        let answer = central.call(ADMINISTRATOR, "POST", &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let partitions = async || {
        let body = central.ask(SUBSCRIPTION).await.body;
        body["this_replica"]["partitions"].as_array().cloned()
    };
    eventually("the subscription runs here", async || {
        partitions().await.is_some_and(|all| !all.is_empty())
    })
    .await;
    tell("pause").await;
    eventually("it is paused here", async || {
        let all = partitions().await.unwrap();
        all.iter().all(|one| one["state"] == "paused")
    })
    .await;
    let close = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    let mut provision = central.provision().await;
    let closed = provision.delete_tenant(with_bearer(OPERATOR, close)).await;
    closed.unwrap();
    let damage = "UPDATE events SET metadata = '{\"actor\":1}' WHERE event_type = 'TenantClosed'";
    assert_eq!(database.execute(damage).await, 1);

    tell("resume").await;

    let failed =
        r#"signet_central_subscription_partitions{state="failed",subscription="retired-keys"}"#;
    eventually("it is counted", async || {
        central.metric(failed).await >= 1.0
    })
    .await;
    let partitions = partitions().await.unwrap();
    let stopped = partitions.iter().filter(|one| one["state"] == "failed");
    assert_eq!(stopped.count(), 1, "{partitions:?}");
}
