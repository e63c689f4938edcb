//! What SQLite keeps of an event beside its metadata, for queries by correlation id.

use eventstore::{
    Append, EventQuery, EventStore, ExpectedVersion, Metadata, NewEvent, OpenError, StreamKey,
    open_to_read,
};
use serde_json::json;
use uuid::Uuid;

use crate::database::Database;
use crate::integrity::{everything, report};

const ASKED: Uuid = Uuid::from_u128(7);

/// Three events: with the id asked for, with another, with none.
async fn fill(store: &dyn EventStore) {
    for correlation_id in [Some(ASKED), Some(Uuid::from_u128(8)), None] {
        let event = NewEvent {
            metadata: Metadata {
                correlation_id,
                ..Metadata::default()
            },
            ..NewEvent::new("Happened", 1, json!({}))
        };
        let stream = StreamKey::new("acme", "order", "1");
        let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
        store.append(append).await.unwrap();
    }
}

/// Positions of the events with the id asked for.
async fn found(store: &dyn EventStore) -> Vec<u64> {
    let query = EventQuery {
        correlation_id: Some(ASKED),
        ..EventQuery::default()
    };
    let page = store.query(&query).await.unwrap();
    page.events.iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn events_that_an_older_release_stored_are_found_after_the_next_start() {
    let database = Database::sqlite();
    let store = database.open().await;
    fill(&*store).await;
    let mut outside = database.connect().await;
    let unknown = "SELECT count(*) FROM events WHERE correlation_id IS NULL";
    assert_eq!(outside.number(unknown).await, 0);
    store.close().await;
    // As it stores them that does not know the column.
    outside
        .execute("UPDATE events SET correlation_id = NULL")
        .await;

    let store = database.open().await;

    assert_eq!(outside.number(unknown).await, 0);
    assert_eq!(found(&*store).await, [1]);
    let verified = report(&store, everything()).await;
    assert!(verified.is_sound(), "{:?}", verified.faults);
}

#[tokio::test]
async fn an_event_without_an_id_is_found_by_none() {
    let database = Database::sqlite();
    let store = database.open().await;
    fill(&*store).await;
    assert_eq!(found(&*store).await, [1]);
    let mut outside = database.connect().await;
    let without = "SELECT position FROM events WHERE correlation_id = ''";
    assert_eq!(outside.number(without).await, 3);
}

#[tokio::test]
async fn a_file_of_an_older_release_is_not_verified_before_it_is_brought_up_to_date() {
    let database = Database::sqlite();
    let store = database.open().await;
    fill(&*store).await;
    store.close().await;
    let mut outside = database.connect().await;
    outside
        .execute(
            "DROP INDEX events_correlation; DROP INDEX events_correlation_unknown; \
             ALTER TABLE events DROP COLUMN correlation_id; \
             DELETE FROM eventstore_migrations WHERE version = 11",
        )
        .await;
    outside.close().await;

    let refused = open_to_read(&database.url()).await.err().unwrap();

    assert!(matches!(refused, OpenError::NoStore { .. }), "{refused}");
    assert!(refused.to_string().contains("older release"), "{refused}");
}

#[tokio::test]
async fn a_file_of_an_older_release_is_brought_up_to_date() {
    let database = Database::sqlite();
    let store = database.open().await;
    fill(&*store).await;
    store.close().await;
    let mut outside = database.connect().await;
    outside
        .execute(
            "DROP INDEX events_correlation; DROP INDEX events_correlation_unknown; \
             ALTER TABLE events DROP COLUMN correlation_id; \
             CREATE INDEX events_correlation ON events (metadata ->> 'correlation_id', position) \
               WHERE (metadata ->> 'correlation_id') IS NOT NULL; \
             DELETE FROM eventstore_migrations WHERE version = 11",
        )
        .await;
    outside.close().await;

    let store = database.open().await;

    assert_eq!(found(&*store).await, [1]);
}
