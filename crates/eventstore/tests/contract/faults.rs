//! Trouble that only a server has.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Append, AppendError, ExpectedVersion, Options, Position};

use crate::database::{Database, PATIENCE, postgres_only};
use crate::samples::{all, assert_in_order, event, next, one, write};

postgres_only!(
    a_long_transaction_elsewhere_holds_nobody_up,
    lost_connections_are_survived,
    a_lost_notification_is_made_up_for_by_the_poll,
    no_append_reads_a_whole_table,
    the_commit_is_durable_whatever_the_database_prefers,
    appends_work_whatever_isolation_the_database_prefers,
);

async fn a_long_transaction_elsewhere_holds_nobody_up(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    // It has a transaction id and a snapshot, older than everything that follows.
    outside
        .execute(
            "CREATE TABLE elsewhere (n int); BEGIN ISOLATION LEVEL REPEATABLE READ; \
             INSERT INTO elsewhere VALUES (1); SELECT * FROM events",
        )
        .await;
    let mut subscription = store.subscribe(Position::START);

    for n in 0..3 {
        store.append(one(n, ExpectedVersion::NoStream)).await.unwrap();
        assert_in_order(&next(&mut subscription, 1).await, n + 1);
    }
    outside.execute("COMMIT").await;
    assert_in_order(&all(&*store).await, 1);
}

async fn lost_connections_are_survived(database: Arc<Database>) {
    let options = Options { poll_interval: Duration::from_millis(50), ..Options::default() };
    let store = database.open_with(options).await;
    let mut subscription = store.subscribe(Position::START);
    let mut seen = Vec::new();
    for n in 0..5 {
        let append = one(n, ExpectedVersion::NoStream);
        while let Err(error) = store.append(append.clone()).await {
            assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
        }
        seen.extend(next(&mut subscription, 1).await);
        let mut outside = database.connect().await;
        outside
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
    }
    assert_in_order(&seen, 1);
    assert_eq!(all(&*store).await, seen);
}

async fn a_lost_notification_is_made_up_for_by_the_poll(database: Arc<Database>) {
    let options = Options { poll_interval: Duration::from_millis(50), ..Options::default() };
    let store = database.open_with(options).await;
    let mut subscription = store.subscribe(Position::START);
    store.append(one("a", ExpectedVersion::NoStream)).await.unwrap();
    next(&mut subscription, 1).await;

    // As a writer would do it whose notification never arrives.
    let mut outside = database.connect().await;
    outside
        .execute(
            "BEGIN; UPDATE event_lanes SET head = 2; INSERT INTO events \
             SELECT lane, 2, gen_random_uuid(), tenant, stream_type, stream_id, 2, event_type, \
               schema_version, recorded_at, data, metadata FROM events; COMMIT",
        )
        .await;

    assert_in_order(&next(&mut subscription, 1).await, 2);
}

async fn no_append_reads_a_whole_table(database: Arc<Database>) {
    let store = database.open().await;
    let mut subscription = store.subscribe(Position::START);
    for n in 0..20 {
        let events = vec![event(n), event(n)];
        let append = Append(vec![write(n % 5, ExpectedVersion::Any, events)]);
        store.append(append).await.unwrap();
    }
    next(&mut subscription, 40).await;
    drop(subscription);
    store.close().await;

    // A session hands its statistics over when it ends.
    let mut outside = database.connect().await;
    let mut scans = async |kind: &str| {
        let sql = format!("SELECT {kind} FROM pg_stat_user_tables WHERE relname = 'events'");
        outside.number(&sql).await
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while scans("idx_scan").await < 40 {
        assert!(tokio::time::Instant::now() < deadline, "the statistics never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scans("seq_scan").await, 0);
}

async fn the_commit_is_durable_whatever_the_database_prefers(database: Arc<Database>) {
    let mut outside = database.connect().await;
    prefer(&mut outside, "synchronous_commit = off").await;
    let store = database.open().await;
    // The lane tells the setting of its session by what it writes.
    outside
        .execute(
            "CREATE TABLE told (setting text); \
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               INSERT INTO told VALUES (current_setting('synchronous_commit')); \
               RETURN new; END $$; \
             CREATE TRIGGER tell BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION tell()",
        )
        .await;

    store.append(one("a", ExpectedVersion::Any)).await.unwrap();

    let on = outside.number("SELECT count(*) FROM told WHERE setting = 'on'").await;
    assert_eq!(on, 1);
}

async fn appends_work_whatever_isolation_the_database_prefers(database: Arc<Database>) {
    let mut outside = database.connect().await;
    prefer(&mut outside, "default_transaction_isolation = serializable").await;
    let stores = [database.open().await, database.open().await];
    let appends = (0..40).map(|n| stores[n % 2].append(one("a", ExpectedVersion::Any)));
    for answer in futures::future::join_all(appends).await {
        answer.unwrap();
    }
    assert_in_order(&all(&*stores[0]).await, 1);
}

async fn prefer(outside: &mut crate::database::Outside, setting: &str) {
    let sql = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$"
    );
    outside.execute(&sql).await;
}
