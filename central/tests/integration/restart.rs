//! What was committed is there after a restart; what was not given before is given after.

use ::central::StaticAuthenticator;

use crate::support::{
    Central, Database, Secrets, central::CHECKOUT, clients::range, on_each_store,
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
