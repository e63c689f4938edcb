//! Two centrals on one database behave as one; on a file there is only one.

use std::sync::Arc;

use ::central::StaticAuthenticator;

use crate::support::{
    Central, Database, Process, Secrets,
    central::{CHECKOUT, OPERATOR},
    clients::{assert_disjoint, range},
    on_postgres,
    samples::{applied_generator, applied_role, applied_tenant, generator, role, tenant},
    with_bearer,
};

on_postgres!(
    ranges_of_two_replicas_are_disjoint,
    a_tenant_declared_twice_at_once_has_one_key,
    what_one_replica_wrote_the_other_knows_at_once,
);

async fn pair(database: &Database) -> (Central, Central) {
    let secrets = Secrets::new();
    (
        Central::start(&secrets, database, &[]).await,
        Central::start(&secrets, database, &[]).await,
    )
}

async fn ranges_of_two_replicas_are_disjoint(database: Database) {
    let (left, right) = pair(&database).await;
    left.furnish().await;

    let take = |central: &Central, calls: usize| {
        let address = central.url("");
        tokio::spawn(async move {
            let mut client = protocol::v1::sync_client::SyncClient::connect(address)
                .await
                .unwrap();
            let mut ranges = Vec::new();
            for _ in 0..calls {
                let request = protocol::v1::AllocateRangeRequest {
                    tenant: "acme".into(),
                    generator: "order-id".into(),
                    count: 1,
                    instance: String::new(),
                };
                let answer = client
                    .allocate_range(with_bearer(CHECKOUT, request))
                    .await
                    .unwrap();
                ranges.push(range(answer.into_inner()));
            }
            ranges
        })
    };
    let callers = [
        take(&left, 20),
        take(&right, 20),
        take(&left, 20),
        take(&right, 20),
    ];
    let mut ranges = Vec::new();
    for caller in callers {
        ranges.extend(caller.await.unwrap());
    }

    assert_eq!(ranges.len(), 80);
    // Nothing is lost between them either: who lost a race took the next range.
    assert_eq!(ranges.iter().map(|(_, end)| *end).max(), Some(80_001));
    assert_disjoint(ranges);
}

async fn a_tenant_declared_twice_at_once_has_one_key(database: Database) {
    let (left, right) = pair(&database).await;
    let (mut one, mut two) = (left.provision().await, right.provision().await);

    let (one, two) = tokio::join!(
        one.apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"]))),
        two.apply_tenant(with_bearer(OPERATOR, tenant("acme", &["shop"]))),
    );

    let (one, two) = (applied_tenant(one.unwrap()), applied_tenant(two.unwrap()));
    assert!(
        one.changed != two.changed,
        "exactly one of them made the tenant"
    );
    assert_eq!(one.active_key, two.active_key);
    // Both sign with a key that both publish.
    for central in [&left, &right] {
        assert!(central.exchange(CHECKOUT, "acme", "").await.is_ok());
        let path = format!("/api/v1/tenants/acme/keys?min_position={}", one.position);
        let keys = central.look(&path).await;
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    }
}

async fn what_one_replica_wrote_the_other_knows_at_once(database: Database) {
    let (left, right) = pair(&database).await;
    let mut writes = left.provision().await;
    let mut reads = right.provision().await;

    // The context of each command is read on the other replica right after it was written here.
    for number in 0..5 {
        let name = format!("t{number}");
        let request = tenant(&name, &["shop"]);
        applied_tenant(
            writes
                .apply_tenant(with_bearer(OPERATOR, request))
                .await
                .unwrap(),
        );
        let request = role(&name, "shop", "reader", "checkout");
        applied_role(
            reads
                .apply_role(with_bearer(OPERATOR, request))
                .await
                .unwrap(),
        );
        let mut child = role(&name, "shop", "child", "checkout");
        child.spec.as_mut().unwrap().inherits = vec!["reader".into()];
        applied_role(
            writes
                .apply_role(with_bearer(OPERATOR, child))
                .await
                .unwrap(),
        );
        let request = generator(&name, "shop", "order-id", 1, 1_000_000, 10);
        let request = reads
            .apply_id_generator(with_bearer(OPERATOR, request))
            .await
            .unwrap();
        applied_generator(request);
        range(
            left.allocate(CHECKOUT, &name, 1)
                .await
                .unwrap()
                .into_inner(),
        );
        assert!(right.exchange(CHECKOUT, &name, "").await.is_ok());
    }
}

/// Whether a second central starts beside those there are; if not, its code.
async fn another(secrets: &Secrets, database: &Database) -> Result<(), &'static str> {
    let nobody = Arc::new(StaticAuthenticator::default());
    let started = ::central::start(secrets.config(database, &[]), nobody).await;
    started.map(drop).map_err(|error| error.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_for_one_central_as_long_as_that_lives() {
    const IN_USE: Result<(), &str> = Err("SIGNET-CENTRAL-0112");
    let (secrets, database) = (Secrets::new(), Database::sqlite());
    let killed = Process::start(&secrets, &database);
    assert_eq!(another(&secrets, &database).await, IN_USE);
    killed.kill();

    let stopped = Central::start(&secrets, &database, &[]).await;
    assert_eq!(another(&secrets, &database).await, IN_USE);
    stopped.running.stop().await.unwrap();

    assert_eq!(another(&secrets, &database).await, Ok(()));
}
