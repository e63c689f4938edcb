//! Trouble that only a server has, or only a file.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Append, AppendError, ExpectedVersion, Options, Position};

use crate::database::{Database, Outside, PATIENCE, postgres_only};
use crate::samples::{all, assert_in_order, event, next, one, write};

postgres_only!(
    a_long_transaction_elsewhere_holds_nobody_up,
    lost_connections_are_survived,
    a_lost_notification_is_made_up_for_by_the_poll,
    no_append_reads_a_whole_table,
    the_commit_is_durable_whatever_the_database_prefers,
    appends_work_whatever_isolation_the_database_prefers,
    a_commit_that_breaks_off_is_unknown_and_can_be_repeated,
    a_serialization_failure_is_tried_again,
    each_store_of_a_database_listens_to_itself_alone,
);

// As it does when the disk is full, which is harder to come by.
#[tokio::test]
async fn appends_go_on_after_sqlite_ended_a_transaction_by_itself() {
    let database = Database::sqlite();
    let store = database.open().await;
    let mut outside = database.connect().await;
    outside
        .execute(
            "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
        )
        .await;
    for _ in 0..2 {
        let append = one("a", ExpectedVersion::NoStream);
        store.append(append).await.unwrap_err();
    }
    outside.execute("DROP TRIGGER full").await;

    let appended = store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_eq!(appended.last, Position(1));
    assert_eq!(all(&*store).await.len(), 1);
}

async fn a_long_transaction_elsewhere_holds_nobody_up(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    // It has a transaction id and a snapshot, older than everything that follows.
    outside.execute("CREATE TABLE elsewhere (n int)").await;
    outside
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await;
    outside
        .execute("INSERT INTO elsewhere VALUES (1); SELECT * FROM events")
        .await;
    let mut subscription = store.subscribe(Position::START);

    for n in 0..3 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
        assert_in_order(&next(&mut subscription, 1).await, n + 1);
    }
    outside.execute("COMMIT").await;
    assert_in_order(&all(&*store).await, 1);
}

async fn lost_connections_are_survived(database: Arc<Database>) {
    let options = Options {
        poll_interval: Duration::from_millis(50),
        ..Options::default()
    };
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
    let options = Options {
        poll_interval: Duration::from_millis(50),
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let mut subscription = store.subscribe(Position::START);
    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();
    next(&mut subscription, 1).await;

    // As a writer would do it whose notification never arrives.
    let mut outside = database.connect().await;
    outside
        .execute(
            "BEGIN; UPDATE event_lanes SET head = 2; INSERT INTO events \
             SELECT lane, 2, gen_random_uuid(), tenant, stream_type, stream_id, 2, event_type, \
               schema_version, recorded_at, data, metadata, 2, hash FROM events; COMMIT",
        )
        .await;

    assert_in_order(&next(&mut subscription, 1).await, 2);
}

async fn no_append_reads_a_whole_table(database: Arc<Database>) {
    let mut outside = database.connect().await;
    // Making the indexes reads the (empty) table; that is not what is meant here.
    database.open().await.close().await;
    alone(&mut outside).await;
    outside
        .execute("SELECT pg_stat_reset_single_table_counters('events'::regclass)")
        .await;

    let store = database.open().await;
    let mut subscription = store.subscribe(Position::START);
    for n in 0..20 {
        let events = vec![event(n), event(n)];
        let append = Append::new(vec![write(n % 5, ExpectedVersion::Any, events)]);
        store.append(append).await.unwrap();
        if n == 3 {
            // From here on the planner knows that the table is tiny, where before it guessed.
            outside.execute("ANALYZE events").await;
        }
    }
    next(&mut subscription, 40).await;
    drop(subscription);
    store.close().await;

    alone(&mut outside).await;
    let mut scans = async |kind: &str| {
        let sql = format!("SELECT {kind} FROM pg_stat_user_tables WHERE relname = 'events'");
        outside.number(&sql).await
    };
    assert_eq!(scans("seq_scan").await, 0);
    assert!(
        scans("idx_scan").await >= 40,
        "the statistics are of something else"
    );
}

/// Waits until all other sessions have ended: a session hands its statistics over when it does.
pub(crate) async fn alone(outside: &mut Outside) {
    let others = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while outside.number(others).await > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the store did not close its sessions"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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

    let on = outside
        .number("SELECT count(*) FROM told WHERE setting = 'on'")
        .await;
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

// Stores may lie in several schemas of a database, where notifications know nothing of schemas. A
// position of another store would be taken for one of our own that cannot be read.
async fn each_store_of_a_database_listens_to_itself_alone(database: Arc<Database>) {
    let mut outside = database.connect().await;
    outside.execute("CREATE SCHEMA other").await;
    let url = database.url();
    let more = if url.contains('?') { '&' } else { '?' };
    let other = format!("{url}{more}options=-csearch_path%3Dother");
    let other = eventstore::open(&other, Options::default()).await.unwrap();
    let stores = [database.open().await, database.open().await];
    for n in 0..3 {
        other
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    assert_ne!(other.id(), stores[0].id());
    assert_eq!(stores[0].head().await.unwrap(), Position::START);
    let listening = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while outside.number(listening).await < 3 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the stores do not listen"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let channels = listening.replace("count(*)", "count(DISTINCT query)");
    assert_eq!(outside.number(&channels).await, 2);
}

async fn prefer(outside: &mut Outside, setting: &str) {
    let sql = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$"
    );
    outside.execute(&sql).await;
}

async fn a_commit_that_breaks_off_is_unknown_and_can_be_repeated(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    on_commit(
        &mut outside,
        "PERFORM pg_terminate_backend(pg_backend_pid())",
    )
    .await;
    let append = one("a", ExpectedVersion::NoStream);

    let error = store.append(append.clone()).await.unwrap_err();

    let AppendError::Unavailable { message } = &error else {
        panic!("{error}")
    };
    assert!(message.contains("outcome unknown"), "{message}");
    outside.execute("DROP TRIGGER on_commit ON events").await;
    let appended = store.append(append).await.unwrap();
    assert_eq!(
        (appended.last, appended.already_stored),
        (Position(1), false)
    );
    assert_eq!(all(&*store).await.len(), 1);
}

async fn a_serialization_failure_is_tried_again(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    // A sequence does not go back with its transaction: only the first commit fails.
    outside.execute("CREATE SEQUENCE commits").await;
    let action = "IF nextval('commits') = 1 THEN \
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END IF";
    on_commit(&mut outside, action).await;

    let appended = store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_eq!(
        (appended.last, appended.already_stored),
        (Position(1), false)
    );
    assert_eq!(outside.number("SELECT nextval('commits')").await, 3);
}

/// Has the server do something in the middle of each commit of the lane.
async fn on_commit(outside: &mut Outside, action: &str) {
    let sql = format!(
        "CREATE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN {action}; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER on_commit AFTER INSERT ON events \
           DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_commit()"
    );
    outside.execute(&sql).await;
}
