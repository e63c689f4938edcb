//! Streams that are not migrated: they stay as they are, and the others go on.

use std::sync::Arc;

use eventstore::migration::{MigrationError, MigrationRunner, Report, RunnerOptions};
use eventstore::{EventStore, Position};

use super::samples::{
    Split, assert_migrated, fill, hasty, order, read, registry, run, runner, target,
};
use crate::database::{Database, contract};
use crate::samples::all;

contract!(
    a_target_with_foreign_events_is_refused_and_the_others_go_on,
    an_event_that_cannot_be_transformed_leaves_its_stream_alone,
    the_callers_check_comes_before_anything_is_written,
    two_sources_cannot_share_a_target,
    another_transformation_under_the_same_name_is_noticed,
    a_stream_beyond_the_bound_is_refused,
    a_migration_needs_a_usable_name,
);

/// The one failure, of a migration of `a` and `b` of which `a` is to fail.
async fn only_b(store: &Arc<dyn EventStore>, migration: &Split) -> (String, String) {
    let before = read(&**store, &order("a")).await;
    let report: Report = run(store, migration).await;
    assert_eq!((report.streams.failed, report.streams.migrated), (1, 1));
    assert_eq!(report.failures[0].stream, order("a"));
    assert_eq!(read(&**store, &order("a")).await, before);
    assert_migrated(&**store, "b").await;
    let failure = &report.failures[0];
    (failure.code.clone(), failure.message.clone())
}

async fn a_target_with_foreign_events_is_refused_and_the_others_go_on(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &target("a"), &[7]).await;
    fill(&*store, &order("a"), &[1]).await;
    fill(&*store, &order("b"), &[1]).await;

    let (code, message) = only_b(&store, &Split::new()).await;

    assert_eq!(code, "SIGNET-EVENTS-0038");
    assert!(message.contains("position 1"), "{message}");
    assert_eq!(read(&*store, &target("a")).await.len(), 1);
    // A stream that it was refused as a target is still a source, if it is selected.
    let mut of_copies = Split::new();
    of_copies.selection.stream_type = "copy".into();
    of_copies.target_type = "third";
    let report = runner(&store).dry_run(&of_copies).await.unwrap();
    assert_eq!(report.streams.selected, 1, "{report:?}");
}

async fn an_event_that_cannot_be_transformed_leaves_its_stream_alone(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 99]).await;
    fill(&*store, &order("b"), &[1]).await;
    let (code, message) = only_b(&store, &Split::new()).await;
    assert_eq!(code, "SIGNET-EVENTS-0038");
    assert!(message.contains("position 2") && message.contains("99 is too much"));
    assert_eq!(read(&*store, &target("a")).await, []);
}

async fn the_callers_check_comes_before_anything_is_written(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 2]).await;
    fill(&*store, &order("b"), &[1]).await;
    let mut strict = Split::new();
    strict.most = 2;
    let (_, message) = only_b(&store, &strict).await;
    assert!(message.contains("more than 2"), "{message}");
    assert_eq!(read(&*store, &target("a")).await, []);
    // What was in the way is mended; the same migration goes on.
    let report = run(&store, &Split::new()).await;
    assert_eq!(
        (report.streams.migrated, report.streams.already_migrated),
        (1, 1)
    );
    assert_migrated(&*store, "a").await;
}

async fn two_sources_cannot_share_a_target(database: Arc<Database>) {
    struct One(Split);
    impl eventstore::migration::Migration for One {
        fn name(&self) -> &str {
            self.0.name()
        }
        fn selection(&self) -> eventstore::migration::Selection {
            self.0.selection()
        }
        fn target(&self, _: &eventstore::StreamKey) -> eventstore::StreamKey {
            target("all")
        }
        fn transform(
            &self,
            event: &eventstore::RecordedEvent,
        ) -> Result<Vec<eventstore::migration::Shape>, String> {
            self.0.transform(event)
        }
    }
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    fill(&*store, &order("b"), &[1]).await;
    for _ in 0..2 {
        let report = run(&store, &One(Split::new())).await;
        assert_eq!(report.streams.failed, 1);
        assert_eq!(report.failures[0].stream, order("b"));
    }
    assert_eq!(read(&*store, &order("b")).await.len(), 1);
    assert_eq!(read(&*store, &target("all")).await.len(), 1);
}

async fn another_transformation_under_the_same_name_is_noticed(database: Arc<Database>) {
    let store = database.open().await;
    // The first run copies a part of `a` and fails then, for its source has grown wrong.
    fill(&*store, &order("a"), &[1]).await;
    let copy = eventstore::Append::to(
        target("a"),
        eventstore::ExpectedVersion::NoStream,
        first_copy(&store).await,
    );
    store.append(copy).await.unwrap();
    fill(&*store, &order("b"), &[1]).await;
    let mut other = Split::new();
    other.mark = Some(5);
    let report = run(&store, &other).await;
    assert_eq!(report.failures.len(), 1);
    let message = &report.failures[0].message;
    assert!(
        message.contains("not what the migration makes now"),
        "{message}"
    );
    assert_eq!(report.failures[0].position, Some(Position(2)));
}

/// What the migration makes of `a`, taken from a store of its own.
async fn first_copy(store: &Arc<dyn EventStore>) -> Vec<eventstore::NewEvent> {
    let elsewhere = Database::sqlite();
    let copy = elsewhere.open().await;
    for event in all(&**store).await {
        let mut same = super::samples::counted(0);
        (same.id, same.data) = (event.id, event.data);
        let append =
            eventstore::Append::to(event.stream, eventstore::ExpectedVersion::Any, vec![same]);
        copy.append(append).await.unwrap();
    }
    run(&copy, &Split::new()).await;
    let copied = read(&*copy, &target("a")).await;
    let copied = copied.into_iter().map(|event| eventstore::NewEvent {
        id: event.id,
        event_type: event.event_type,
        schema_version: event.schema_version,
        data: event.data,
        metadata: event.metadata,
    });
    copied.collect()
}

async fn a_stream_beyond_the_bound_is_refused(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 1, 1]).await;
    let options = RunnerOptions {
        max_stream_events: 2,
        ..hasty()
    };
    let runner = MigrationRunner::new(Arc::clone(&store), registry(), options);
    let report = runner.dry_run(&Split::new()).await.unwrap();
    assert!(report.failures[0].message.contains("more than 2 events"));
}

async fn a_migration_needs_a_usable_name(database: Arc<Database>) {
    let store = database.open().await;
    let folder = tempfile::TempDir::new().unwrap();
    for name in ["", "../up", ".hidden", "a b", "ä"] {
        let mut migration = Split::new();
        migration.name = name;
        let refused = runner(&store).run(&migration, folder.path()).await;
        let error = refused.unwrap_err();
        assert!(
            matches!(error, MigrationError::Definition { .. }),
            "{error}"
        );
        assert_eq!(error.code(), "SIGNET-EVENTS-0036");
    }
}
