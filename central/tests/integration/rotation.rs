//! Keys are rotated by the clock: published, then used, then gone.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{Duration, OffsetDateTime};

use crate::support::{Central, Database, Secrets, central::CHECKOUT, eventually, on_each_store};

on_each_store!(a_key_is_published_then_signs_then_is_retired);

const DAY: i64 = 86_400;

async fn a_key_is_published_then_signs_then_is_retired(database: Database) {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = Arc::clone(&ahead);
        Arc::new(move || {
            OffsetDateTime::now_utc() + Duration::seconds(ahead.load(Ordering::Relaxed))
        })
    };
    let flags = ["--key-check-interval", "20ms", "--key-propagation", "1h"];
    let (secrets, start) = (Secrets::new(), clock.clone());
    // Two replicas rotate at once, save on a file; it has to look as if there were one.
    let central = Central::start_with_clock(&secrets, &database, &flags, start).await;
    let other = match database.is_sqlite() {
        true => None,
        false => Some(Central::start_with_clock(&secrets, &database, &flags, clock).await),
    };
    central.furnish().await;
    let phases = async || {
        let keys = central.look("/api/v1/tenants/acme/keys").await;
        let keys = keys["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["phase"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(phases().await, ["active"]);
    let kid = async || token_kid(&central).await;
    let first = kid().await;

    ahead.store(30 * DAY, Ordering::Relaxed);
    eventually("a second key is published", async || {
        phases().await == ["active", "published"]
    })
    .await;
    assert_eq!(kid().await, first, "a key signed before it was propagated");

    ahead.fetch_add(2 * 3600, Ordering::Relaxed);
    eventually("it signs", async || {
        phases().await == ["superseded", "active"]
    })
    .await;
    eventually("tokens carry it", async || kid().await != first).await;

    ahead.fetch_add(2 * DAY, Ordering::Relaxed);
    eventually("the first is gone", async || phases().await == ["active"]).await;
    let page = central.public("/t/acme/jwks").await.text().await.unwrap();
    assert!(!page.contains(&first), "{page}");
    for central in [Some(&central), other.as_ref()].into_iter().flatten() {
        assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
    }
    let events = central.look("/api/v1/tenants/acme/events?limit=1000").await;
    let added = events["events"].as_array().unwrap().iter();
    let added = added
        .filter(|event| event["event_type"] == "TenantKeyAdded")
        .count();
    assert_eq!(added, 2, "replicas made keys of their own");
}

async fn token_kid(central: &Central) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let token = central
        .exchange(CHECKOUT, "acme", "")
        .await
        .unwrap()
        .access_token;
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
