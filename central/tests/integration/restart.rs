//! What was committed is there after a restart; what was not given before is given after.

use ::central::StaticAuthenticator;
use eventstore::{Append, ExpectedVersion, NewEvent, StreamKey, StreamWrite};
use protocol::v1::{ExchangeTokenRequest, sync_client::SyncClient};
use tonic::Code;

use crate::support::{
    Central, Database, Secrets,
    central::{CHECKOUT, OPERATOR, callers},
    clients::range,
    on_each_store,
    samples::tenant,
    with_bearer,
};

on_each_store!(
    keys_and_allocations_outlive_the_process,
    another_master_key_does_not_start
);

async fn keys_and_allocations_outlive_the_process(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    let before = range(
        first
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    let keys = first.look("/api/v1/tenants/acme/keys").await;
    let roles = first.look("/api/v1/tenants/acme/roles").await;
    first.running.stop().await.unwrap();

    let second = Central::start(&secrets, &database, &[]).await;

    assert_eq!(second.look("/api/v1/tenants/acme/keys").await, keys);
    assert_eq!(second.look("/api/v1/tenants/acme/roles").await, roles);
    assert!(second.exchange(CHECKOUT, "acme", "").await.is_ok());
    let after = range(
        second
            .allocate(CHECKOUT, "acme", 1)
            .await
            .unwrap()
            .into_inner(),
    );
    assert_eq!(after.0, before.1);
}

async fn another_master_key_does_not_start(database: Database) {
    let first = Central::start(&Secrets::new(), &database, &[]).await;
    first.furnish().await;
    first.running.stop().await.unwrap();

    let others = Secrets::new();
    let config = others.config(&database, &[]);
    let nobody = std::sync::Arc::new(StaticAuthenticator::default());
    let error = ::central::start(config, nobody)
        .await
        .err()
        .expect("it started");

    assert_eq!(error.code(), "SIGNET-CENTRAL-0102");
}

/// A replica that still replays must not hand out what the past allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_never_answered_from() {
    let (secrets, database) = (Secrets::new(), Database::sqlite());
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    let mut provision = first.provision().await;
    let request = with_bearer(OPERATOR, tenant("acme", &["other"]));
    // Long after the namespace left the tenant.
    let left = async |events: usize| {
        let store = eventstore::open(&database.url, eventstore::Options::default())
            .await
            .unwrap();
        let mut passed = vec![];
        for _ in 0..events {
            passed.push(NewEvent::new("InvoiceSent", 1, serde_json::json!({})));
        }
        let stream = StreamKey::new("acme", "invoice", "1");
        let write = StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events: passed,
        };
        store.append(Append::new(vec![write])).await.unwrap();
        store.close().await;
    };
    left(3000).await;
    provision.apply_tenant(request).await.unwrap();
    left(10).await;
    first.running.stop().await.unwrap();

    let config = secrets.config(&database, &[]);
    let callers = std::sync::Arc::new(StaticAuthenticator::new(callers()));
    let second = ::central::start(config, callers).await.unwrap();
    let url = format!("http://{}", second.address());
    let mut client = SyncClient::connect(url).await.unwrap();
    let request = ExchangeTokenRequest {
        tenant: "acme".into(),
        audience: String::new(),
    };
    let status = client
        .exchange_token(with_bearer(CHECKOUT, request))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::PermissionDenied);
}
