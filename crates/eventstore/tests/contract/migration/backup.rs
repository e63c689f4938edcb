//! Back-ups of runs: whole, verified, and restorable.

use std::path::Path;
use std::sync::Arc;

use eventstore::migration::{
    BackUp, MigrationRunner, RestoreReport, RunnerOptions, restore, verify,
};
use eventstore::{Append, EventStore, ExpectedVersion, NewEvent, RecordedEvent, StreamKey};
use time::macros::datetime;

use super::samples::{Split, assert_migrated, fill, order, read, registry, runner};
use crate::database::{Database, contract};
use crate::samples::all;

contract!(
    a_back_up_brings_the_streams_back_into_an_empty_store,
    back_ups_of_two_stores_in_one_second_have_their_own_files,
    a_back_up_can_be_restored_beside_the_streams,
    a_restore_goes_on_where_it_broke_off_and_refuses_foreign_events,
    a_damaged_back_up_is_refused,
    nothing_is_migrated_without_a_back_up,
);

async fn migrated(store: &Arc<dyn EventStore>, folder: &Path) -> BackUp {
    fill(&**store, &order("a"), &[1; 1200]).await;
    fill(&**store, &order("b"), &[2, 0]).await;
    let report = runner(store).run(&Split::new(), folder).await.unwrap();
    report.back_up.unwrap()
}

/// What the writer said of the events, without what the store adds.
fn said(events: &[RecordedEvent]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let said = |event: &RecordedEvent| {
        let event = event.clone();
        (
            event.id,
            event.stream,
            event.event_type,
            event.data,
            event.metadata,
        )
    };
    events.iter().map(said).collect()
}

async fn a_back_up_brings_the_streams_back_into_an_empty_store(database: Arc<Database>) {
    let store = database.open().await;
    let folder = tempfile::TempDir::new().unwrap();
    let back_up = migrated(&store, folder.path()).await;
    assert_eq!((back_up.streams, back_up.events), (2, 1202));
    assert_eq!(back_up.store, store.id());
    assert_eq!(verify(&back_up.manifest).await.unwrap(), back_up);

    let other = Database::sqlite();
    let empty = other.open().await;
    let report = restore(&*empty, &back_up.manifest, StreamKey::clone).await;

    let expected = RestoreReport {
        streams: 2,
        restored: 1202,
        already_there: 0,
    };
    assert_eq!(report.unwrap(), expected);
    for id in ["a", "b"] {
        let mut before = read(&*store, &order(id)).await;
        before.pop();
        assert_eq!(said(&read(&*empty, &order(id)).await), said(&before));
    }
    // And from there everything can begin again.
    runner(&empty)
        .run(&Split::new(), folder.path())
        .await
        .unwrap();
    assert_migrated(&*empty, "a").await;
}

async fn back_ups_of_two_stores_in_one_second_have_their_own_files(database: Arc<Database>) {
    let other = Database::sqlite();
    let folder = tempfile::TempDir::new().unwrap();
    for store in [database.open().await, other.open().await] {
        fill(&*store, &order("a"), &[1; 3]).await;
        let options = RunnerOptions {
            clock: || datetime!(2026-11-21 12:00 UTC),
            ..RunnerOptions::default()
        };
        let runner = MigrationRunner::new(store.clone(), registry(), options);

        let report = runner.run(&Split::new(), folder.path()).await.unwrap();

        let back_up = report.back_up.unwrap();
        assert_eq!(back_up.store, store.id());
        assert_eq!(verify(&back_up.manifest).await.unwrap(), back_up);
    }
}

async fn a_back_up_can_be_restored_beside_the_streams(database: Arc<Database>) {
    let store = database.open().await;
    let folder = tempfile::TempDir::new().unwrap();
    let back_up = migrated(&store, folder.path()).await;
    let beside = |source: &StreamKey| StreamKey::new("acme", "restored", source.stream_id.clone());

    restore(&*store, &back_up.manifest, beside).await.unwrap();

    let restored = read(&*store, &beside(&order("a"))).await;
    let before = read(&*store, &order("a")).await;
    assert_eq!(restored.len(), 1200);
    for (event, source) in restored.iter().zip(&before) {
        assert_ne!(event.id, source.id);
        assert_eq!(
            (&event.data, &event.metadata),
            (&source.data, &source.metadata)
        );
    }
}

async fn a_restore_goes_on_where_it_broke_off_and_refuses_foreign_events(database: Arc<Database>) {
    let store = database.open().await;
    let folder = tempfile::TempDir::new().unwrap();
    let back_up = migrated(&store, folder.path()).await;
    let other = Database::sqlite();
    let empty = other.open().await;
    // As one leaves it that broke off in the middle of the first stream.
    let first: Vec<_> = read(&*store, &order("a")).await[..600].to_vec();
    let again = first.into_iter().map(|event| NewEvent {
        id: event.id,
        data: event.data,
        ..super::samples::counted(0)
    });
    let append = Append::to(order("a"), ExpectedVersion::NoStream, again.collect());
    empty.append(append).await.unwrap();
    let report = restore(&*empty, &back_up.manifest, StreamKey::clone).await;
    let report = report.unwrap();
    assert_eq!((report.already_there, report.restored), (600, 602));
    let again = restore(&*empty, &back_up.manifest, StreamKey::clone).await;
    assert_eq!(again.unwrap().restored, 0);

    let occupied = Database::sqlite();
    let occupied = occupied.open().await;
    fill(&*occupied, &order("b"), &[1]).await;
    let refused = restore(&*occupied, &back_up.manifest, StreamKey::clone).await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "SIGNET-EVENTS-0039");
    assert!(error.to_string().contains("position 1;"), "{error}");
}

async fn a_damaged_back_up_is_refused(database: Arc<Database>) {
    let store = database.open().await;
    let folder = tempfile::TempDir::new().unwrap();
    let back_up = migrated(&store, folder.path()).await;
    let file = back_up.manifest.with_file_name(&back_up.file);
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let place = changed.len() - 3;
    changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
    let shorter = whole[..whole.iter().rposition(|byte| *byte == b'{').unwrap()].to_vec();
    let lines = whole.split_inclusive(|byte| *byte == b'\n');
    let fewer: Vec<u8> = lines.take(1201).flatten().copied().collect();
    let other = Database::sqlite();
    let empty = other.open().await;
    for damaged in [changed, shorter, fewer, Vec::new()] {
        std::fs::write(&file, damaged).unwrap();
        let refused = restore(&*empty, &back_up.manifest, StreamKey::clone).await;
        assert_eq!(refused.unwrap_err().code(), "SIGNET-EVENTS-0039");
    }
    assert_eq!(all(&*empty).await, []);
    std::fs::write(&file, whole).unwrap();
    verify(&back_up.manifest).await.unwrap();
}

async fn nothing_is_migrated_without_a_back_up(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    let before = all(&*store).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    // A file where the folder should be.
    let refused = runner(&store).run(&Split::new(), file.path()).await;
    assert_eq!(refused.unwrap_err().code(), "SIGNET-EVENTS-0039");
    assert_eq!(all(&*store).await, before);
    // The lease was given back.
    let folder = tempfile::TempDir::new().unwrap();
    runner(&store)
        .run(&Split::new(), folder.path())
        .await
        .unwrap();
}
