//! Reading back.

use std::sync::Arc;

use eventstore::{Append, EventQuery, ExpectedVersion, OpenError, Options, Position, ReadError};

use crate::database::{Database, contract};
use crate::samples::{all, assert_in_order, event, one, stream, write};

contract!(
    an_empty_store_has_nothing,
    a_stream_is_read_in_pages,
    everything_is_read_in_pages,
    a_store_outlives_its_process,
    a_corrupt_event_is_named,
    a_time_that_is_none_is_corrupt,
);

async fn an_empty_store_has_nothing(database: Arc<Database>) {
    let store = database.open().await;
    assert_eq!(store.head().await.unwrap(), Position::START);
    assert_eq!(store.read_all(Position::START, 10).await.unwrap(), []);
    assert_eq!(
        store
            .read_all(Position(u64::MAX), usize::MAX)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.read_stream(&stream("a"), 0, 10).await.unwrap(), []);
}

async fn a_stream_is_read_in_pages(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..5 {
        let events = vec![event(n), event(n)];
        let append = Append::new(vec![write(n % 2, ExpectedVersion::Any, events)]);
        store.append(append).await.unwrap();
    }
    let versions = async |after, limit| -> Vec<u64> {
        let read = store.read_stream(&stream(0), after, limit).await.unwrap();
        assert!(read.iter().all(|event| event.stream == stream(0)));
        read.iter().map(|event| event.stream_version).collect()
    };
    assert_eq!(versions(0, 4).await, [1, 2, 3, 4]);
    assert_eq!(versions(4, 4).await, [5, 6]);
    assert_eq!(versions(6, 4).await, [0; 0]);
    assert_eq!(versions(0, 0).await, [0; 0]);
}

async fn everything_is_read_in_pages(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..5 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    let positions = async |after, limit| -> Vec<u64> {
        let read = store.read_all(Position(after), limit).await.unwrap();
        read.iter().map(|event| event.position.0).collect()
    };
    assert_eq!(positions(0, 3).await, [1, 2, 3]);
    assert_eq!(positions(3, 3).await, [4, 5]);
    assert_eq!(positions(5, 3).await, [0; 0]);
    assert_eq!(positions(0, 0).await, [0; 0]);
    assert_eq!(store.head().await.unwrap(), Position(5));
}

async fn a_store_outlives_its_process(database: Arc<Database>) {
    let store = database.open().await;
    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();
    let before = all(&*store).await;
    store.close().await;

    let reopened = database.open().await;

    assert_eq!(all(&*reopened).await, before);
    let appended = reopened
        .append(one("a", ExpectedVersion::Exact(1)))
        .await
        .unwrap();
    assert_eq!(appended.last, Position(2));
    assert_in_order(&all(&*reopened).await, 1);
}

async fn a_corrupt_event_is_named(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let sql = "UPDATE events SET metadata = '{\"actor\":1}' WHERE position = 2";
    database.connect().await.execute(sql).await;

    let error = store.read_all(Position::START, 10).await.unwrap_err();

    assert!(
        matches!(
            error,
            ReadError::Corrupt {
                position: Position(2),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.read_all(Position::START, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_url_that_is_not_understood_is_refused_without_showing_it() {
    for url in [
        "mysql://root:hunter2@host/db",
        "hunter2",
        "",
        "postgres://u:hunter2@host:port/db",
    ] {
        let error = eventstore::open(url, Options::default())
            .await
            .err()
            .unwrap();
        assert!(matches!(error, OpenError::UnsupportedUrl { .. }), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn options_out_of_bounds_are_refused() {
    let options = Options {
        queue_len: 0,
        ..Options::default()
    };
    let error = eventstore::open("sqlite::memory:", options)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            OpenError::InvalidOption {
                option: "queue_len",
                ..
            }
        ),
        "{error}"
    );
}

async fn a_time_that_is_none_is_corrupt(database: Arc<Database>) {
    let store = database.open().await;
    for _ in 0..2 {
        store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    }
    let mut outside = database.connect().await;
    // The last one of PostgreSQL is the first year that is none here.
    let times = match *database {
        Database::Sqlite { .. } => [
            "9223372036854775807",
            "-9223372036854775808",
            "300000000000000000",
        ],
        Database::Postgres { .. } => ["'infinity'", "'-infinity'", "'10000-01-01T00:00:00Z'"],
    };
    for time in times {
        let sql = format!("UPDATE events SET recorded_at = {time} WHERE position = 1");
        outside.execute(&sql).await;

        let errors = [
            store.read_all(Position::START, 10).await.unwrap_err(),
            store.read_stream(&stream("a"), 0, 10).await.unwrap_err(),
            store.query(&EventQuery::default()).await.unwrap_err(),
        ];

        for error in errors {
            assert!(
                matches!(&error, ReadError::Corrupt { position: Position(1), message }
                    if message.contains("no time")),
                "{time}: {error:?}"
            );
        }
        assert_eq!(store.read_all(Position(1), 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_database_in_a_folder_that_does_not_exist_is_unavailable() {
    let error = eventstore::open("sqlite:///nowhere/events.db", Options::default()).await;
    assert!(matches!(
        error.err().unwrap(),
        OpenError::Unavailable { .. }
    ));
}

#[tokio::test]
async fn a_store_in_memory_works_and_is_alone() {
    let store = eventstore::open("sqlite::memory:", Options::default())
        .await
        .unwrap();
    let other = eventstore::open("sqlite::memory:", Options::default())
        .await
        .unwrap();

    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_eq!(all(&*store).await.len(), 1);
    assert_eq!(all(&*other).await, []);
}
