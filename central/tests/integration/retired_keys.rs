//! The private part of a key that is retired goes for ever.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use protocol::v1::{DeleteTenantRequest, DeletionPolicy};
use time::{Duration, OffsetDateTime};

use crate::support::{
    Central, Database, Secrets,
    central::{CHECKOUT, OPERATOR},
    eventually, on_each_store, with_bearer,
};

on_each_store!(
    the_private_part_of_a_retired_key_is_removed_and_no_other,
    a_closed_tenant_keeps_no_private_part,
);

const SUBSCRIPTION: &str = "/api/v1/subscriptions/retired-keys";
const DAY: i64 = 86_400;

/// The keys of acme that are announced: their ids and phases.
async fn announced(central: &Central) -> Vec<(String, String)> {
    let keys = central.look("/api/v1/tenants/acme/keys").await;
    let text = |key: &serde_json::Value, member: &str| key[member].as_str().unwrap().to_owned();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| (text(key, "kid"), text(key, "phase")))
        .collect()
}

async fn the_private_part_of_a_retired_key_is_removed_and_no_other(database: Database) {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = Arc::clone(&ahead);
        Arc::new(move || {
            OffsetDateTime::now_utc() + Duration::seconds(ahead.load(Ordering::Relaxed))
        })
    };
    let flags = ["--key-check-interval", "20ms", "--key-propagation", "1h"];
    let secrets = Secrets::new();
    // Of two replicas either may be the one that does it; a file has but one.
    let central = Central::start_with_clock(&secrets, &database, &flags, clock.clone()).await;
    let other = match database.is_sqlite() {
        true => None,
        false => Some(Central::start_with_clock(&secrets, &database, &flags, clock).await),
    };
    central.furnish().await;
    let first = announced(&central).await.remove(0).0;
    ahead.store(30 * DAY, Ordering::Relaxed);
    eventually("a second key is published", async || {
        announced(&central).await.len() == 2
    })
    .await;
    ahead.fetch_add(2 * 3600, Ordering::Relaxed);
    eventually("it signs", async || {
        let phases: Vec<_> = announced(&central).await;
        phases[0].1 == "superseded" && phases[1].1 == "active"
    })
    .await;
    let second = announced(&central).await.remove(1).0;
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(database.stored_keys("acme").await, both);

    ahead.fetch_add(2 * DAY, Ordering::Relaxed);

    eventually("only the second is stored", async || {
        database.stored_keys("acme").await == [second.clone()]
    })
    .await;
    for central in [Some(&central), other.as_ref()].into_iter().flatten() {
        assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
    }
    let shown = central.look(SUBSCRIPTION).await;
    assert_eq!(shown["dead_letters"], 0, "{shown}");
    eventually("metrics tell its position", async || {
        let series = r#"signet_central_subscription_position{subscription="retired-keys"}"#;
        central.metric(series).await > 10.0
    })
    .await;
    for name in ["lag_events", "dead_letters"] {
        let series =
            format!(r#"signet_central_subscription_{name}{{subscription="retired-keys"}}"#);
        eventually(&series, async || central.metric(&series).await == 0.0).await;
    }
}

async fn a_closed_tenant_keeps_no_private_part(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    assert_eq!(database.stored_keys("acme").await.len(), 1);

    let close = DeleteTenantRequest {
        name: "acme".into(),
        deletion_policy: DeletionPolicy::Delete.into(),
    };
    let mut provision = central.provision().await;
    let closed = provision.delete_tenant(with_bearer(OPERATOR, close));
    closed.await.unwrap();

    eventually("acme's are gone", async || {
        database.stored_keys("acme").await.is_empty()
    })
    .await;
    assert_eq!(database.stored_keys("bank").await.len(), 1);
}
