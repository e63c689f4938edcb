//! One run of a migration at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use eventstore::EventStore;
use eventstore::migration::{MigrationError, MigrationRunner, RunnerOptions};
use time::{Duration, OffsetDateTime};

use super::faults::Stopping;
use super::samples::{Split, assert_migrated, fill, hasty, order, registry, run, runner};
use crate::database::{Database, PATIENCE, contract};
use crate::samples::all;

contract!(
    two_runs_of_a_migration_exclude_each_other,
    a_run_that_was_overtaken_writes_nothing_twice_and_says_so,
    another_migration_of_other_streams_is_not_kept_waiting,
    a_lease_from_before_the_clock_was_set_back_keeps_nobody_waiting,
);

/// A run that is held at an append.
async fn held(
    store: &Arc<dyn EventStore>,
    options: RunnerOptions,
) -> (
    Arc<Stopping>,
    tokio::task::JoinHandle<Result<eventstore::migration::Report, MigrationError>>,
) {
    let stopping = Stopping::new(store, 2, false);
    let inner: Arc<dyn EventStore> = Arc::clone(&stopping) as _;
    let runner = MigrationRunner::new(inner, registry(), options);
    let running = tokio::spawn(async move {
        let folder = tempfile::TempDir::new().unwrap();
        runner.run(&Split::new(), folder.path()).await
    });
    tokio::time::timeout(PATIENCE, stopping.stopped.notified())
        .await
        .unwrap();
    (stopping, running)
}

async fn two_runs_of_a_migration_exclude_each_other(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    fill(&*store, &order("b"), &[1]).await;
    let (first, running) = held(&store, RunnerOptions::default()).await;
    let folder = tempfile::TempDir::new().unwrap();

    let refused = runner(&store).run(&Split::new(), folder.path()).await;

    let error = refused.unwrap_err();
    assert!(matches!(error, MigrationError::Leased { .. }), "{error}");
    assert_eq!(error.code(), "SIGNET-EVENTS-0037");
    first.go_on.notify_one();
    assert_eq!(running.await.unwrap().unwrap().streams.migrated, 2);
    // And then it is free again, at once.
    assert_eq!(run(&store, &Split::new()).await.streams.already_migrated, 2);
}

/// Microseconds that the clock is ahead, so that SQLite's leases end when the test says so.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::microseconds(AHEAD.fetch_add(1000, Ordering::SeqCst))
}

async fn a_run_that_was_overtaken_writes_nothing_twice_and_says_so(database: Arc<Database>) {
    let store = database.open().await;
    for id in ["a", "b", "c"] {
        fill(&*store, &order(id), &[1, 2, 3, 1]).await;
    }
    let hasty = RunnerOptions { clock, ..hasty() };
    let (first, running) = held(&store, hasty.clone()).await;
    let folder = tempfile::TempDir::new().unwrap();
    let second = MigrationRunner::new(Arc::clone(&store), registry(), hasty);
    let report = tokio::time::timeout(PATIENCE, async {
        loop {
            match second.run(&Split::new(), folder.path()).await {
                Err(MigrationError::Leased { .. }) => tokio::task::yield_now().await,
                ended => return ended.unwrap(),
            }
        }
    });
    let report = report.await.unwrap();
    assert_eq!(report.streams.migrated, 3, "{report:?}");
    let before = all(&*store).await;

    first.go_on.notify_one();
    let overtaken = running.await.unwrap();

    let error = overtaken.unwrap_err();
    assert!(matches!(error, MigrationError::LeaseLost { .. }), "{error}");
    assert_eq!(all(&*store).await, before);
    for id in ["a", "b", "c"] {
        assert_migrated(&*store, id).await;
    }
}

async fn another_migration_of_other_streams_is_not_kept_waiting(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1, 1]).await;
    fill(&*store, &order("b"), &[1]).await;
    let (first, running) = held(&store, RunnerOptions::default()).await;
    let mut other = Split::new();
    other.name = "other";
    other.selection.stream_ids = Some(vec!["b".into()]);
    other.target_type = "elsewhere";

    assert_eq!(run(&store, &other).await.streams.migrated, 1);

    first.go_on.notify_one();
    let report = running.await.unwrap().unwrap();
    // The other one closed a stream that this one had in hand, and it says so.
    assert_eq!(report.streams.migrated, 1, "{report:?}");
    let (elsewhere, failed) = (report.streams.closed_elsewhere, report.streams.failed);
    assert_eq!(elsewhere + failed, 1, "{report:?}");
}

async fn a_lease_from_before_the_clock_was_set_back_keeps_nobody_waiting(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1]).await;
    fill(&*store, &order("b"), &[1]).await;
    let (_first, running) = held(&store, RunnerOptions::default()).await;
    // Without a word, as in a crash.
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let folder = tempfile::TempDir::new().unwrap();
    let refused = runner(&store).run(&Split::new(), folder.path()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, MigrationError::Leased { .. }), "{error}");

    // As it is when the clock was an hour ahead. No test can set that of a server.
    let mut outside = database.connect().await;
    let ahead = "UPDATE event_migrations SET lease_until = lease_until + 3600000000";
    outside.execute(ahead).await;
    let report = run(&store, &Split::new()).await;

    let done = (report.streams.already_migrated, report.streams.migrated);
    assert_eq!(done, (1, 1), "{report:?}");
}
