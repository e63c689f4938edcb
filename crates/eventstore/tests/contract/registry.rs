//! A registry against a store: whether all that is stored can be read.

use std::sync::Arc;

use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, Position, Registry, StreamKey};
use serde_json::json;

use crate::database::{Database, contract};

contract!(
    what_a_registry_cannot_read_is_told_with_its_first_place,
    a_check_goes_on_where_the_last_one_ended,
    two_checks_at_once_come_to_the_same,
    a_check_may_stop_early_and_says_so,
    what_was_mended_is_no_obstacle_and_the_next_of_its_kind_is_named,
);

async fn append(store: &dyn EventStore, stream_type: &str, event_type: &str, version: u32) {
    let event = NewEvent::new(event_type, version, json!({}));
    let stream = StreamKey::new("acme", stream_type, "1");
    let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
    store.append(append).await.unwrap();
}

fn registry() -> Registry {
    Registry::builder()
        .event("Placed", 2)
        .upcaster("Placed", 1, Ok)
        .event(("order", "Closed"), 1)
        .retired("Gone", 4)
        .build()
        .unwrap()
}

async fn what_a_registry_cannot_read_is_told_with_its_first_place(database: Arc<Database>) {
    let store = database.open().await;
    assert!(registry().check(&*store).await.unwrap().is_readable());
    for (stream_type, event_type, version) in [
        ("order", "Placed", 1),
        ("order", "Gone", 4),
        ("order", "Placed", 2),
        ("order", "Closed", 1),
    ] {
        append(&*store, stream_type, event_type, version).await;
    }
    assert!(registry().check(&*store).await.unwrap().is_readable());

    append(&*store, "order", "Placed", 3).await;
    append(&*store, "account", "Closed", 1).await;
    append(&*store, "order", "Placed", 3).await;
    let report = registry().check(&*store).await.unwrap();

    assert!(!report.is_readable());
    assert_eq!((report.through, report.head), (Position(7), Position(7)));
    let told: Vec<_> = report
        .unreadable
        .iter()
        .map(|kind| (kind.event_type.as_str(), kind.first_position, kind.code))
        .collect();
    assert_eq!(
        told,
        [
            ("Closed", Position(6), "SIGNET-EVENTS-0031"),
            ("Placed", Position(5), "SIGNET-EVENTS-0032"),
        ]
    );
    assert!(
        report.unreadable[1].message.contains("acme/order/1"),
        "{report:?}"
    );
}

async fn a_check_goes_on_where_the_last_one_ended(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, "order", "Unknown", 1).await;
    assert_eq!(registry().check(&*store).await.unwrap().unreadable.len(), 1);
    append(&*store, "order", "Placed", 9).await;
    store.close().await;

    let store = database.open().await;
    let report = registry().check_at_most(&*store, 1).await.unwrap();

    assert_eq!(report.unreadable.len(), 2);
    assert_eq!(report.through, Position(2));
}

async fn two_checks_at_once_come_to_the_same(database: Arc<Database>) {
    let (one, other) = (database.open().await, database.open().await);
    for version in 1..6 {
        append(&*one, "order", "Unknown", version).await;
    }
    let registry = registry();
    let (first, second) = tokio::join!(registry.check(&*one), registry.check(&*other));
    let first = first.unwrap();
    assert_eq!(first.unreadable.len(), 5);
    assert_eq!(first, second.unwrap());
}

async fn a_check_may_stop_early_and_says_so(database: Arc<Database>) {
    let store = database.open().await;
    for _ in 0..5 {
        append(&*store, "order", "Placed", 1).await;
    }
    let report = registry().check_at_most(&*store, 3).await.unwrap();
    assert_eq!((report.through, report.head), (Position(3), Position(5)));
    assert!(report.unreadable.is_empty() && !report.is_readable());
}

async fn what_was_mended_is_no_obstacle_and_the_next_of_its_kind_is_named(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    let positions = async || -> Vec<u64> {
        let report = registry().check(&*store).await.unwrap();
        let unreadable = report.unreadable.iter();
        unreadable.map(|kind| kind.first_position.0).collect()
    };
    for version in [1, 9, 1, 9] {
        append(&*store, "order", "Placed", version).await;
    }
    assert_eq!(positions().await, [2]);

    let mend =
        |position| format!("UPDATE events SET schema_version = 1 WHERE position = {position}");
    outside.execute(&mend(2)).await;
    assert_eq!(positions().await, [4]);
    // It is noted.
    assert_eq!(positions().await, [4]);
    outside.execute(&mend(4)).await;
    assert_eq!(positions().await, [0; 0]);
    append(&*store, "order", "Placed", 9).await;
    assert_eq!(positions().await, [5]);
}
