//! An event that its handler gave up is handled again when the cause is mended, or given up for good:
//! through the API, by central's own handler of retired keys.

use std::{sync::Arc, time::Duration};

use eventstore::consumer::{ConsumerOptions, Consumers, ConsumersOptions, Delivery, EventFilter};
use protocol::v1::{DeleteTenantRequest, DeletionPolicy};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{
    Answer, Central, Database, Secrets,
    central::{ADMINISTRATOR, OPERATOR},
    events::{Refuses, store_of},
    eventually, on_each_store, with_bearer,
};

on_each_store!(
    what_is_mended_is_replayed_and_what_is_not_stays,
    all_that_fit_are_replayed_at_once,
    a_round_of_replays_ends_at_its_limit_and_tells_where_to_go_on,
);

const SUBSCRIPTION: &str = "retired-keys";
const DEAD_LETTERS: &str = "/api/v1/dead-letters";

/// Has the database refuse to delete keys, whoever asks.
async fn break_table(database: &Database) {
    if database.is_sqlite() {
        let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON central_signing_keys \
             BEGIN SELECT RAISE(ABORT, 'keys are kept'); END";
        database.execute(refuse).await;
        return;
    }
    let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql \
         AS $$ BEGIN RAISE EXCEPTION 'keys are kept'; END $$";
    database.execute(function).await;
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON central_signing_keys \
         FOR EACH ROW EXECUTE FUNCTION refuse()";
    database.execute(refuse).await;
}

async fn mend_table(database: &Database) {
    let mend = match database.is_sqlite() {
        true => "DROP TRIGGER refuse",
        false => "DROP TRIGGER refuse ON central_signing_keys",
    };
    database.execute(mend).await;
}

/// A central on a broken table whose closed tenants acme and bank have their keys still, and the events
/// of their closing as dead letters: they were given up by a process that is gone.
async fn with_dead_letters(database: &Database) -> Central {
    let secrets = Secrets::new();
    let before = Central::start(&secrets, database, &[]).await;
    before.furnish().await;
    break_table(database).await;
    let mut provision = before.provision().await;
    for name in ["acme", "bank"] {
        let close = DeleteTenantRequest {
            name: name.into(),
            deletion_policy: DeletionPolicy::Delete.into(),
        };
        let closed = provision.delete_tenant(with_bearer(OPERATOR, close)).await;
        closed.unwrap();
    }
    before.running.stop().await.unwrap();

    let store = store_of(database).await;
    let consumers = Consumers::new(Arc::clone(&store), ConsumersOptions::default());
    let options = ConsumerOptions {
        filter: EventFilter {
            event_types: vec!["TenantKeyRetired".into(), "TenantClosed".into()],
            ..EventFilter::default()
        },
        ..ConsumerOptions::new(SUBSCRIPTION)
    };
    let started = consumers.start(options, Delivery::at_least_once(Refuses));
    started.await.unwrap();
    eventually("both are given up", async || {
        let statistics = consumers.statistics();
        statistics.iter().map(|one| one.dead_lettered).sum::<u64>() == 2
    })
    .await;
    consumers.shutdown(Duration::from_secs(5)).await;
    store.close().await;

    let central = Central::start(&secrets, database, &[]).await;
    eventually("the subscription runs here", async || {
        let path = format!("/api/v1/subscriptions/{SUBSCRIPTION}");
        let here = central.ask(&path).await.body["this_replica"].clone();
        !here["partitions"].is_null()
    })
    .await;
    central
}

/// The id of a tenant's only dead letter.
async fn letter_of(central: &Central, tenant: &str) -> String {
    let path = format!("/api/v1/tenants/{tenant}/dead-letters");
    let ids = central.ask(&path).await.all("dead_letters", "id");
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].as_str().unwrap().to_owned()
}

async fn call(central: &Central, method: &str, path: &str) -> Answer {
    let path = format!("{DEAD_LETTERS}{path}");
    central.call(ADMINISTRATOR, method, &path, None).await
}

/// What a round of replays that came to its end tells.
fn counted(handled: u64, failed: u64) -> Value {
    json!({
        "handled": handled, "failed": failed, "held_back": 0, "skipped": 0,
        "elsewhere": [], "replaying": null, "next": null, "end": true,
    })
}

/// The tenants of all that are left.
async fn left(central: &Central) -> Vec<Value> {
    let all = central.ask(DEAD_LETTERS).await;
    assert_eq!(all.body["end"], true);
    all.all("dead_letters", "tenant")
}

async fn what_is_mended_is_replayed_and_what_is_not_stays(database: Database) {
    let central = with_dead_letters(&database).await;
    assert_eq!(left(&central).await, ["acme", "bank"]);
    let (acme, bank) = (
        letter_of(&central, "acme").await,
        letter_of(&central, "bank").await,
    );

    // What failed fails again, and says why.
    let failed = call(&central, "POST", &format!("/{acme}/replay")).await;
    assert_eq!((failed.status, failed.code()), (409, "SIGNET-CENTRAL-0031"));
    assert!(
        failed.message().contains("keys are kept"),
        "{}",
        failed.message()
    );
    let kept = central.ask(DEAD_LETTERS).await.body["dead_letters"][0].clone();
    assert_eq!(kept["attempts"], 2, "{kept}");
    assert!(kept["error"].as_str().unwrap().contains("keys are kept"));
    assert_eq!(database.stored_keys("acme").await.len(), 1);

    mend_table(&database).await;
    let replayed = call(&central, "POST", &format!("/{acme}/replay")).await;
    assert_eq!(
        (replayed.status, &replayed.body),
        (200, &json!({ "replayed": acme }))
    );

    // Its effect is there when that is answered, and of nothing else.
    assert!(database.stored_keys("acme").await.is_empty());
    assert_eq!(database.stored_keys("bank").await.len(), 1);
    assert_eq!(left(&central).await, ["bank"]);
    let again = call(&central, "POST", &format!("/{acme}/replay")).await;
    assert_eq!(again.status, 404);

    // The other one is given up for good: nobody handles it any more.
    let dropped = call(&central, "DELETE", &format!("/{bank}")).await;
    assert_eq!(
        (dropped.status, &dropped.body),
        (200, &json!({ "dropped": bank }))
    );
    assert!(left(&central).await.is_empty());
    let none = call(&central, "POST", "/replay").await;
    assert_eq!(none.body, counted(0, 0));
    assert_eq!(database.stored_keys("bank").await.len(), 1);
    let subscription = format!("/api/v1/subscriptions/{SUBSCRIPTION}");
    assert_eq!(central.ask(&subscription).await.body["dead_letters"], 0);
}

async fn all_that_fit_are_replayed_at_once(database: Database) {
    let central = with_dead_letters(&database).await;

    let failed = call(&central, "POST", "/replay").await;
    assert_eq!(failed.body, counted(0, 2));
    mend_table(&database).await;
    let of_bank = call(&central, "POST", "/replay?tenant=bank").await;
    assert_eq!(of_bank.body, counted(1, 0));
    assert_eq!(left(&central).await, ["acme"]);
    assert_eq!(database.stored_keys("acme").await.len(), 1);
    let rest = call(
        &central,
        "POST",
        &format!("/replay?subscription={SUBSCRIPTION}"),
    )
    .await;
    assert_eq!(rest.body, counted(1, 0));

    assert!(left(&central).await.is_empty());
    for tenant in ["acme", "bank"] {
        assert!(database.stored_keys(tenant).await.is_empty(), "{tenant}");
    }
}

async fn a_round_of_replays_ends_at_its_limit_and_tells_where_to_go_on(database: Database) {
    let central = with_dead_letters(&database).await;
    let (acme, bank) = (
        letter_of(&central, "acme").await,
        letter_of(&central, "bank").await,
    );
    mend_table(&database).await;

    let first = call(&central, "POST", "/replay?limit=1").await;
    assert_eq!(
        (first.status, &first.body["next"]),
        (200, &json!(acme)),
        "{}",
        first.body
    );
    assert_eq!(
        (&first.body["handled"], &first.body["end"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(left(&central).await, ["bank"]);
    // What lies before is not looked at again.
    let none = call(&central, "POST", &format!("/replay?after={bank}")).await;
    assert_eq!(none.body, counted(0, 0));
    let rest = call(&central, "POST", &format!("/replay?after={acme}")).await;
    assert_eq!(rest.body, counted(1, 0));
    assert!(left(&central).await.is_empty());
}

/// A lock on the table keeps the handler at work while the caller goes away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_when_its_caller_goes_away() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let central = with_dead_letters(&database).await;
    mend_table(&database).await;
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE central_signing_keys IN SHARE MODE")
        .execute(&mut *holding)
        .await
        .unwrap();
    let handling = async || {
        let waiting = "SELECT 1 FROM pg_locks \
             WHERE NOT granted AND relation = 'central_signing_keys'::regclass";
        database.execute(waiting).await > 0
    };

    tokio::select! {
        answer = call(&central, "POST", "/replay?tenant=acme") => panic!("{}", answer.body),
        () = eventually("the handler is at work", handling) => {}
    }
    holding.rollback().await.unwrap();

    eventually("the letter is gone", async || {
        left(&central).await == ["bank"]
    })
    .await;
    drop(central);
    database.drop().await;
}
