//! A store with events that this release cannot read is refused at start, not when they are met.

use ::central::StaticAuthenticator;
use eventstore::{Append, ExpectedVersion, NewEvent, StreamKey};

use crate::support::{Central, Database, Secrets, on_each_store};

on_each_store!(a_store_of_a_newer_release_is_refused);

async fn a_store_of_a_newer_release_is_refused(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    first.running.stop().await.unwrap();
    let newer = vec![
        NewEvent::new("TenantChanged", 2, serde_json::json!({})),
        NewEvent::new("TenantTransmogrified", 1, serde_json::json!({})),
    ];
    let stream = StreamKey::new("acme", "tenant", "acme");
    let options = eventstore::Options::default();
    let store = eventstore::open(&database.url, options).await.unwrap();
    let append = Append::to(stream, ExpectedVersion::Any, newer);
    store.append(append).await.unwrap();
    store.close().await;

    let nobody = std::sync::Arc::new(StaticAuthenticator::default());
    let error = ::central::start(secrets.config(&database, &[]), nobody)
        .await
        .err()
        .expect("it started");

    assert_eq!(error.code(), "SIGNET-CENTRAL-0111");
    let message = error.to_string();
    for part in [
        "event TenantChanged version 2 at position",
        "event TenantTransmogrified version 1 at position",
        "versions 1 to 1",
        "Run the release that wrote them",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}
