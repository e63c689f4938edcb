//! An event that this release does not understand, met while it runs: its tenant is frozen, all others are
//! served as before.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use eventstore::{Append, ExpectedVersion, NewEvent, StreamKey};
use protocol::v1::Content;
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tonic::Code;

use crate::{
    support::{
        Central, Database, Secrets,
        central::{BILLING, CHECKOUT, OPERATOR},
        events::store_of,
        eventually, on_each_store,
        samples::{applied_role, role, tenant},
        with_bearer,
    },
    sync::Sidecar,
};

const FROZEN: &str = "SIGNET-CENTRAL-0023";

on_each_store!(
    an_event_of_a_newer_release_freezes_its_tenant,
    nobody_else_is_touched_by_a_frozen_tenant,
    keys_of_others_are_rotated_beside_a_frozen_tenant,
    a_frozen_tenant_goes_on_behind_a_restart_when_it_was_mended,
    strangers_are_not_told_what_froze_a_tenant,
);

/// Takes a role of acme away as a newer release might, and gives the position of that.
async fn freeze(central: &Central, database: &Database) -> u64 {
    let stream = StreamKey::new("acme", "role", "shop/reader");
    freeze_by(central, database, stream, "RoleRemoved").await
}

/// Has an event of a newer release freeze its tenant, and gives its position.
async fn freeze_by(
    central: &Central,
    database: &Database,
    stream: StreamKey,
    event_type: &str,
) -> u64 {
    let newer = NewEvent::new(event_type, 99, json!({ "type": "Removed" }));
    let store = store_of(database).await;
    let append = Append::to(stream, ExpectedVersion::Any, vec![newer]);
    let at = store.append(append).await.unwrap().last;
    store.close().await;
    eventually("the tenant froze", async || {
        central.metric("signet_central_tenants_frozen").await == 1.0
    })
    .await;
    at.0
}

async fn an_event_of_a_newer_release_freezes_its_tenant(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;
    let auditor = ("acme", "shop", "checkout", CHECKOUT);
    let token = central.token_for(auditor, "signet/events", &["read"]).await;
    let keys = async || central.public("/t/acme/jwks").await.text().await.unwrap();
    let published = keys().await;
    let mut sidecar = Sidecar::connect(&central, &[(Content::Policy, 0)])
        .await
        .unwrap();

    let at = freeze(&central, &database).await;

    for path in ["", "/roles", "/generators", "/keys"] {
        let answer = central.ask(&format!("/api/v1/tenants/acme{path}")).await;
        assert_eq!((answer.status, answer.code()), (503, FROZEN), "{path}");
        let details = &answer.body["error"]["details"];
        assert_eq!(details["position"], at, "{path}");
    }
    // Whether its roles still allow this, nobody here knows.
    let own = central
        .call(&token, "GET", "/api/v1/tenants/acme/events", None)
        .await;
    assert_eq!((own.status, own.code()), (503, FROZEN));
    let mut provision = central.provision().await;
    let declared = provision.apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"])));
    for refused in [
        central.exchange(CHECKOUT, "acme", "").await.unwrap_err(),
        central.allocate(CHECKOUT, "acme", 1).await.unwrap_err(),
        declared.await.unwrap_err(),
        Sidecar::connect(&central, &[(Content::Keys, 0)])
            .await
            .err()
            .unwrap(),
    ] {
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        let text = refused.message();
        assert!(text.contains(&format!("position {at}")), "{text}");
    }
    // The sidecar keeps what it has, and is not told that it is current.
    let ended = loop {
        match sidecar.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);
    // What was issued can be verified, and what happened can be looked at.
    assert_eq!(keys().await, published);
    let newer = central
        .ask(&format!("/api/v1/tenants/acme/events/{at}"))
        .await;
    assert_eq!(newer.body["schema_version"], 99, "{}", newer.body);
}

async fn nobody_else_is_touched_by_a_frozen_tenant(database: Database) {
    let central = Central::on(&database).await;
    central.furnish().await;

    let at = freeze(&central, &database).await;

    let mut provision = central.provision().await;
    let more = with_bearer(OPERATOR, role("bank", "bank", "more", "billing"));
    let position = applied_role(provision.apply_role(more).await.unwrap()).position;
    assert!(position > at);
    let roles = format!("/api/v1/tenants/bank/roles?min_position={position}");
    assert_eq!(central.ask(&roles).await.all("roles", "name").len(), 2);
    assert!(central.exchange(BILLING, "bank", "").await.is_ok());
    assert!(central.allocate(BILLING, "bank", 1).await.is_ok());

    assert_eq!(central.public("/ready").await.status(), 200);
    let health = central.public("/health").await;
    assert_eq!(health.status(), 503);
    let health: serde_json::Value = health.json().await.unwrap();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["components"]["tenants"]["frozen"], 1);
    assert!(!health.to_string().contains("acme"), "{health}");
    let tenants = central.look("/api/v1/tenants").await;
    assert_eq!(tenants["tenants"][0]["frozen"]["position"], at);
    assert_eq!(tenants["tenants"][1]["frozen"], json!(null));
}

async fn keys_of_others_are_rotated_beside_a_frozen_tenant(database: Database) {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = Arc::clone(&ahead);
        Arc::new(move || OffsetDateTime::now_utc() + Duration::days(ahead.load(Ordering::Relaxed)))
    };
    let flags = ["--key-check-interval", "20ms"];
    let central = Central::start_with_clock(&Secrets::new(), &database, &flags, clock).await;
    central.furnish().await;
    freeze(&central, &database).await;
    let keys = async |tenant: &str| {
        let page = central.public(&format!("/t/{tenant}/jwks")).await;
        let page: serde_json::Value = page.json().await.unwrap();
        page["keys"].as_array().unwrap().len()
    };

    ahead.store(30, Ordering::Relaxed);

    // The frozen one comes first by its name.
    eventually("bank gets its next key", async || keys("bank").await == 2).await;
    assert_eq!(keys("acme").await, 1);
}

async fn a_frozen_tenant_goes_on_behind_a_restart_when_it_was_mended(database: Database) {
    let secrets = Secrets::new();
    let central = Central::start(&secrets, &database, &[]).await;
    central.furnish().await;
    freeze(&central, &database).await;
    central.running.stop().await.unwrap();
    let mend = "UPDATE events SET schema_version = 1 WHERE schema_version = 99";
    assert_eq!(database.execute(mend).await, 1);

    let central = Central::start(&secrets, &database, &[]).await;

    let roles = central.look("/api/v1/tenants/acme/roles").await;
    assert_eq!(roles["roles"], json!([]));
    assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
    assert_eq!(central.metric("signet_central_tenants_frozen").await, 0.0);
}

async fn strangers_are_not_told_what_froze_a_tenant(database: Database) {
    let central = Central::on(&database).await;
    let first = StreamKey::new("newer", "tenant", "newer");
    freeze_by(&central, &database, first, "TenantDeclared").await;

    for path in ["jwks", ".well-known/openid-configuration"] {
        let answer = central.public(&format!("/t/newer/{path}")).await;

        assert_eq!(answer.status(), 503, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("SIGNET-CENTRAL-0017"), "{path}: {text}");
        assert!(!text.contains("position"), "{path}: {text}");
    }
}
