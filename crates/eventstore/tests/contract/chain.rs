//! The hash chain of a tenant, the identity of a store, and what is stored together with events.

use std::sync::Arc;

use eventstore::{
    Append, AppendError, EventStore, ExpectedVersion, Hash, Position, SnapshotRecord, StreamKey,
    StreamWrite,
};
use time::OffsetDateTime;

use crate::database::{Database, Outside, contract};
use crate::integrity::{everything, report};
use crate::samples::{all, event, one, stream, write};

contract!(
    every_tenant_has_a_chain_of_its_own,
    the_chain_goes_on_in_another_store,
    a_history_that_was_put_back_and_grew_again_is_noticed,
    events_from_before_the_chain_get_their_hashes,
    a_store_keeps_its_identity,
    a_snapshot_goes_with_its_events_or_not_at_all,
    a_snapshot_must_stand_for_the_version_after_its_write,
);

fn of_tenant(tenant: &str, events: usize) -> StreamWrite {
    StreamWrite {
        stream: StreamKey::new(tenant, "order", "1"),
        expected: ExpectedVersion::Any,
        events: (0..events).map(event).collect(),
    }
}

async fn links(store: &dyn EventStore) -> Vec<(String, u64, Hash)> {
    let events = all(store).await;
    let link =
        |event: eventstore::RecordedEvent| (event.stream.tenant, event.tenant_sequence, event.hash);
    events.into_iter().map(link).collect()
}

async fn every_tenant_has_a_chain_of_its_own(database: Arc<Database>) {
    let store = database.open().await;

    let both = vec![of_tenant("acme", 2), of_tenant("globex", 1)];
    store.append(Append::new(both)).await.unwrap();
    let more = vec![of_tenant("globex", 1), of_tenant("acme", 1)];
    store.append(Append::new(more)).await.unwrap();

    let links = links(&*store).await;
    let sequences: Vec<_> = links
        .iter()
        .map(|(tenant, sequence, _)| (tenant.as_str(), *sequence))
        .collect();
    let expected = [
        ("acme", 1),
        ("acme", 2),
        ("globex", 1),
        ("globex", 2),
        ("acme", 3),
    ];
    assert_eq!(sequences, expected);
}

async fn the_chain_goes_on_in_another_store(database: Arc<Database>) {
    let first = database.open().await;
    first.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let second = database.open().await;
    second.append(one("a", ExpectedVersion::Any)).await.unwrap();
    first.append(one("b", ExpectedVersion::Any)).await.unwrap();

    let sequences: Vec<_> = links(&*second).await.iter().map(|link| link.1).collect();
    assert_eq!(sequences, [1, 2, 3]);
}

/// As after a back-up was put in the place of a database while a process that writes to it slept.
async fn a_history_that_was_put_back_and_grew_again_is_noticed(database: Arc<Database>) {
    let (here, there) = (database.open().await, database.open().await);
    for stream in ["a", "b", "c"] {
        let append = one(stream, ExpectedVersion::NoStream);
        here.append(append).await.unwrap();
    }
    let mut outside = database.connect().await;
    let put_back = "DELETE FROM events WHERE position > 1; UPDATE event_lanes SET head = 1";
    outside.execute(put_back).await;
    outside.close().await;
    let two = vec![write(
        "a",
        ExpectedVersion::Exact(1),
        vec![event(2), event(3)],
    )];
    there.append(Append::new(two)).await.unwrap();

    let late = here.append(one("a", ExpectedVersion::Exact(1))).await;
    let next = here.append(one("a", ExpectedVersion::Exact(3))).await;
    let again = here.append(one("b", ExpectedVersion::NoStream)).await;

    assert!(
        matches!(late, Err(AppendError::Conflict { .. })),
        "{late:?}"
    );
    assert_eq!(next.unwrap().last, Position(4));
    assert_eq!(again.unwrap().versions, [1]);
    let found = report(&here, everything()).await;
    assert!(found.is_sound(), "{:?}", found.faults);
}

async fn events_from_before_the_chain_get_their_hashes(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..5 {
        let writes = vec![of_tenant("acme", n + 1), of_tenant("globex", 400)];
        store.append(Append::new(writes)).await.unwrap();
    }
    let sealed = links(&*store).await;
    store.close().await;
    let mut outside = database.connect().await;
    let nothing = match outside {
        Outside::Sqlite(_) => "x''",
        Outside::Postgres(_) => "''",
    };
    outside
        .execute(&format!(
            "UPDATE events SET hash = {nothing}, tenant_sequence = 0; \
             UPDATE event_store SET chained = false"
        ))
        .await;
    outside.close().await;

    let (one, other) = tokio::join!(database.open(), database.open());

    assert_eq!(links(&*one).await, sealed);
    other
        .append(Append::new(vec![of_tenant("acme", 1)]))
        .await
        .unwrap();
    assert_eq!(links(&*one).await.last().unwrap().1, 16);
}

async fn a_store_keeps_its_identity(database: Arc<Database>) {
    let (one, other) = tokio::join!(database.open(), database.open());
    assert_eq!(one.id(), other.id());
    assert_eq!(one.id().get_version_num(), 4);
    let elsewhere = Database::sqlite().open().await;
    assert_ne!(one.id(), elsewhere.id());
}

fn snapshot(stream_version: u64) -> SnapshotRecord {
    SnapshotRecord {
        stream: stream("a"),
        stream_version,
        schema_version: 1,
        format: "json".into(),
        key_id: None,
        data: b"{}".to_vec(),
        checksum: [7; 32],
        taken_at: OffsetDateTime::UNIX_EPOCH,
        pruning: None,
    }
}

async fn a_snapshot_goes_with_its_events_or_not_at_all(database: Arc<Database>) {
    let store = database.open().await;
    let two = vec![write(
        "a",
        ExpectedVersion::NoStream,
        vec![event(1), event(2)],
    )];
    let append = Append::new(two).with_snapshot(snapshot(2));

    store.append(append.clone()).await.unwrap();
    assert!(store.append(append).await.unwrap().already_stored);
    let late = one("a", ExpectedVersion::Exact(1)).with_snapshot(snapshot(2));
    let refused = store.append(late).await.unwrap_err();

    assert!(matches!(refused, AppendError::Conflict { .. }));
    let mut outside = database.connect().await;
    let count = "SELECT count(*) FROM event_snapshots WHERE stream_version = 2";
    assert_eq!(outside.number(count).await, 1);
    assert_eq!(store.head().await.unwrap(), Position(2));
    outside.close().await;
}

async fn a_snapshot_must_stand_for_the_version_after_its_write(database: Arc<Database>) {
    let store = database.open().await;
    let refused = [
        one("a", ExpectedVersion::NoStream).with_snapshot(snapshot(2)),
        one("a", ExpectedVersion::Any).with_snapshot(snapshot(1)),
        one("b", ExpectedVersion::NoStream).with_snapshot(snapshot(1)),
    ];
    for append in refused {
        let error = store.append(append).await.unwrap_err();
        assert!(matches!(error, AppendError::Invalid { .. }), "{error}");
    }
    assert_eq!(store.head().await.unwrap(), Position::START);
}
