//! A store that is only looked at.

use std::sync::Arc;

use eventstore::{Append, ExpectedVersion, NewEvent, OpenError, Options, StreamKey, open_to_read};
use tempfile::TempDir;

use crate::database::{Database, contract};
use crate::integrity::{everything, fill, named, report, sign_all};
use crate::samples::all;

contract!(
    what_is_stored_is_read_and_verified_and_nothing_can_be_appended,
    what_is_there_is_left_as_it_is,
    a_database_without_a_store_stays_one,
);

async fn what_is_stored_is_read_and_verified_and_nothing_can_be_appended(database: Arc<Database>) {
    let store = database.open().await;
    let events = fill(&*store, 4).await;
    sign_all(&store).await;

    // Beside the one that writes, whose log is not in the file yet.
    let read = open_to_read(&database.url()).await.unwrap();

    assert_eq!(read.id(), store.id());
    assert_eq!(all(&*read).await, events);
    let found = report(&read, everything()).await;
    assert!(found.is_sound(), "{:?}", found.faults);
    assert_eq!((found.events, found.checkpoints), (8, 2));
    let event = NewEvent::new("Happened", 1, serde_json::json!({}));
    let stream = StreamKey::new("acme", "order", "9");
    let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
    let refused = read.append(append).await.unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{refused}");
    let begun = read.database().begin().await;
    assert!(begun.is_err(), "a transaction was begun to write in");
    read.close().await;
    assert_eq!(all(&*store).await, events);
}

async fn what_is_there_is_left_as_it_is(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, 2).await;
    store.close().await;
    let mut outside = database.connect().await;
    // Both would be mended by a store that is opened to be written to.
    outside.execute("DELETE FROM eventstore_migrations").await;
    outside
        .execute("UPDATE events SET stream_version = 7 WHERE position = 3")
        .await;
    outside.close().await;

    let read = open_to_read(&database.url()).await.unwrap();
    let found = report(&read, everything()).await;
    assert_eq!(named(&found)[0].2, 3, "{:?}", found.faults);
    read.close().await;

    let mut outside = database.connect().await;
    let migrations = outside
        .number("SELECT count(*) FROM eventstore_migrations")
        .await;
    assert_eq!(migrations, 0);
    outside.close().await;
}

async fn a_database_without_a_store_stays_one(database: Arc<Database>) {
    let refused = open_to_read(&database.url()).await.err().unwrap();
    let expected = match &*database {
        Database::Sqlite { folder } => {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            "SIGNET-EVENTS-0022"
        }
        Database::Postgres { .. } => "SIGNET-EVENTS-0024",
    };
    assert_eq!(refused.code(), expected, "{refused}");
    for url in ["mysql://host/database", "sqlite::memory:"] {
        let refused = open_to_read(url).await.err().unwrap();
        assert!(
            matches!(refused, OpenError::UnsupportedUrl { .. }),
            "{refused}"
        );
    }
}

/// As a process that was killed leaves it: much of it is in the log beside the file only.
#[tokio::test]
async fn what_a_killed_process_left_behind_is_read_and_left_so() {
    let (lived, left) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = |folder: &TempDir, name: &str| folder.path().join(name);
    let url = |folder| format!("sqlite://{}", file(folder, "events.db").display());
    let store = eventstore::open(&url(&lived), Options::default())
        .await
        .unwrap();
    let events = fill(&*store, 4).await;
    let names = ["events.db", "events.db-wal"];
    for name in names {
        std::fs::copy(file(&lived, name), file(&left, name)).unwrap();
    }
    let contents = || names.map(|name| std::fs::read(file(&left, name)).unwrap());
    let before = contents();

    let read = open_to_read(&url(&left)).await.unwrap();
    assert_eq!(all(&*read).await, events);
    assert!(report(&read, everything()).await.is_sound());
    read.close().await;

    assert!(contents() == before, "something was written");
}
