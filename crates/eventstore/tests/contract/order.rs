//! Sixteen writers, two replicas, and whatever else goes on in the database: readers miss nothing and
//! see nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventstore::{EventStore, Options, Position, RecordedEvent};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::database::{Database, contract};
use crate::load::Load;
use crate::proof::times;
use crate::samples::{all, assert_in_order};

contract!(readers_follow_sixteen_writers_whatever_else_goes_on);

async fn readers_follow_sixteen_writers_whatever_else_goes_on(database: Arc<Database>) {
    let on_postgres = matches!(*database, Database::Postgres { .. });
    if on_postgres {
        let mut outside = database.connect().await;
        let prefer = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I \
            SET default_transaction_isolation = serializable', current_database()); END $$";
        outside.execute(prefer).await;
        outside.close().await;
    }
    let options = Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let stores = [
        database.open_with(options.clone()).await,
        database.open_with(options).await,
    ];
    let mut outside = database.connect().await;
    outside.execute("CREATE TABLE elsewhere (n bigint)").await;
    if on_postgres {
        // Commits take this long or that.
        outside
            .execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$; \
                 CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON events \
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
                   WHEN (new.stream_id = 'shared') EXECUTE FUNCTION dawdle()",
            )
            .await;
    }
    let load = Load::start(&stores, 16);
    let end = Arc::new(AtomicBool::new(false));
    let pollers = stores.clone().map(|store| poll(store, Arc::clone(&end)));
    let disturbance = on_postgres.then(|| disturb(Arc::clone(&database), Arc::clone(&end)));
    for _ in 0..times(4, 60) {
        // Open for a while: it has written elsewhere, and its view of the events is an old one.
        let mut long = database.connect().await;
        long.execute("BEGIN").await;
        if on_postgres {
            long.execute("INSERT INTO elsewhere VALUES (1)").await;
        }
        long.number("SELECT count(*) FROM events").await;
        load.acknowledged(60).await;
        long.execute("COMMIT").await;
        long.close().await;
    }
    end.store(true, Ordering::Relaxed);
    if let Some(disturbance) = disturbance {
        disturbance.await.unwrap();
    }
    let polled = futures::future::join_all(pollers).await;
    load.stop_and_check(&database).await;
    let log = all(&*stores[0]).await;
    for seen in polled {
        let seen = seen.unwrap();
        assert!(seen.len() > 200, "{}", seen.len());
        assert_eq!(seen, log[..seen.len()]);
    }
}

/// Follows the positions as a program without a subscription does, page by page.
fn poll(store: Arc<dyn EventStore>, end: Arc<AtomicBool>) -> JoinHandle<Vec<RecordedEvent>> {
    tokio::spawn(async move {
        let mut seen: Vec<RecordedEvent> = Vec::new();
        while !end.load(Ordering::Relaxed) {
            let after = seen.last().map_or(Position::START, |event| event.position);
            let limit = usize::from(Uuid::new_v4().as_bytes()[0]) % 40 + 1;
            let page = store.read_all(after, limit).await.unwrap();
            assert_in_order(&page, after.0 + 1);
            let head = store.head().await.unwrap();
            assert!(page.last().is_none_or(|event| event.position <= head));
            seen.extend(page);
        }
        seen
    })
}

/// What an administrator and other programs do meanwhile.
fn disturb(database: Arc<Database>, end: Arc<AtomicBool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut outside = database.connect().await;
        while !end.load(Ordering::Relaxed) {
            for work in [
                "VACUUM events",
                "ANALYZE events",
                "BEGIN; SELECT * FROM events LIMIT 5 FOR KEY SHARE; INSERT INTO elsewhere \
                 VALUES (2); SELECT pg_sleep(0.02); ROLLBACK",
                "CREATE INDEX CONCURRENTLY passing ON events (schema_version)",
                "DROP INDEX CONCURRENTLY passing",
                "CHECKPOINT",
            ] {
                outside.execute(work).await;
            }
        }
        outside.close().await;
    })
}
