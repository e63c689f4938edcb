//! Runs that break off, and writers that do not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use eventstore::migration::{
    MigrationError, MigrationRunner, Report, RunnerOptions, StreamMigrated,
};
use eventstore::{
    Append, AppendError, Appended, Database as StoreDatabase, EventStore, ExpectedVersion, Options,
    Position, ReadError, RecordedEvent, StreamKey, Subscription,
};
use proptest::prelude::*;
use tokio::sync::Notify;
use uuid::Uuid;

use super::samples::{
    Split, assert_caught_up, assert_migrated, counted, fill, hasty, order, read, registry, shapes,
    target,
};
use crate::database::{Database, PATIENCE, contract};
use crate::samples::all;

contract!(
    a_run_that_breaks_off_at_any_append_is_resumed_to_the_same_end,
    what_is_appended_at_the_last_moment_is_copied_first,
    a_writer_that_follows_the_closing_event_loses_nothing,
    a_writer_that_does_not_look_loses_nothing_either,
);

/// A store that stops for ever at one append: before it, or when it is stored and before anybody is told.
pub(super) struct Stopping {
    inner: Arc<dyn EventStore>,
    appends: AtomicUsize,
    at: usize,
    stored: bool,
    pub(super) stopped: Notify,
    pub(super) go_on: Notify,
}

impl Stopping {
    pub(super) fn new(inner: &Arc<dyn EventStore>, at: usize, stored: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            appends: AtomicUsize::new(0),
            at,
            stored,
            stopped: Notify::new(),
            go_on: Notify::new(),
        })
    }
}

#[async_trait]
impl EventStore for Stopping {
    fn id(&self) -> Uuid {
        self.inner.id()
    }

    fn database(&self) -> &StoreDatabase {
        self.inner.database()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if self.appends.fetch_add(1, Ordering::SeqCst) + 1 != self.at {
            return self.inner.append(append).await;
        }
        let stored = if self.stored {
            Some(self.inner.append(append.clone()).await)
        } else {
            None
        };
        self.stopped.notify_one();
        self.go_on.notified().await;
        match stored {
            Some(answer) => answer,
            None => self.inner.append(append).await,
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.inner.read_stream(stream, after_version, limit).await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.inner.read_all(after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }

    crate::delegate::rest!(inner);

    fn subscribe(&self, after: Position) -> Subscription {
        self.inner.subscribe(after)
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A run that is dropped at an append; its report, if it never came so far.
async fn run_until(store: &Arc<dyn EventStore>, at: usize, stored: bool) -> Option<Report> {
    run_of_tenant("acme", store, at, stored).await
}

pub(super) async fn run_of_tenant(
    tenant: &str,
    store: &Arc<dyn EventStore>,
    at: usize,
    stored: bool,
) -> Option<Report> {
    let mut migration = Split::new();
    migration.selection.tenant = Some(tenant.into());
    let folder = tempfile::TempDir::new().unwrap();
    let stopping = Stopping::new(store, at, stored);
    let inner: Arc<dyn EventStore> = Arc::clone(&stopping) as _;
    let runner = MigrationRunner::new(inner, registry(), hasty());
    let begun = async {
        // A run that broke off has its lease for a microsecond more.
        loop {
            match runner.run(&migration, folder.path()).await {
                Err(MigrationError::Leased { .. }) => tokio::task::yield_now().await,
                ended => return ended.unwrap(),
            }
        }
    };
    let ended = async {
        tokio::select! {
            report = begun => Some(report),
            () = stopping.stopped.notified() => None,
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap()
}

/// The events of the target, by what the migration decides about them, wherever in the source they were.
async fn copied(store: &dyn EventStore, id: &str) -> Vec<(Uuid, serde_json::Value)> {
    let events = read(store, &target(id)).await;
    let said = |event: RecordedEvent| (event.id, event.data[1].clone());
    events.into_iter().map(said).collect()
}

async fn a_run_that_breaks_off_at_any_append_is_resumed_to_the_same_end(database: Arc<Database>) {
    // Three appends for `a`, one for `b`, two for `c`.
    let numbers: [(&str, &[u64]); 3] = [("a", &[1, 2, 0, 3, 1]), ("b", &[0]), ("c", &[4])];
    let store = database.open().await;
    let mut longest = 0;
    for stored in [false, true] {
        for at in 1.. {
            let tenant = format!("tenant-{stored}-{at}");
            let of = |id: &str| StreamKey::new(tenant.as_str(), "order", id);
            for (id, numbers) in numbers {
                fill(&*store, &of(id), numbers).await;
            }
            let first = run_of_tenant(&tenant, &store, at, stored).await;
            // Not the same pieces as before, therefore.
            if first.is_none() {
                for (id, _) in numbers {
                    fill(&*store, &of(id), &[1, 1]).await;
                }
            }
            let rest = run_of_tenant(&tenant, &store, usize::MAX, false).await;
            assert_eq!(rest.unwrap().streams.failed, 0);
            for (id, numbers) in numbers {
                let source = read(&*store, &of(id)).await;
                let copy = StreamKey::new(tenant.as_str(), "copy", format!("{id}-2"));
                let copy = shapes(&read(&*store, &copy).await);
                let counted = source.iter().filter(|event| event.event_type == "Counted");
                let expected: Vec<_> = counted
                    .flat_map(|event| {
                        let times = event.data.as_u64().unwrap();
                        (0..times).map(|index| serde_json::json!([event.stream_version, index]))
                    })
                    .collect();
                assert_eq!(copy, expected, "{id} of {tenant}");
                assert!(StreamMigrated::of(source.last().unwrap()).is_some());
                let grown = if first.is_none() { 2 } else { 0 };
                let plain = source.len() - source.iter().filter_map(StreamMigrated::of).count();
                assert_eq!(plain, numbers.len() + grown);
            }
            longest = longest.max(at);
            if first.is_some() {
                break;
            }
        }
    }
    assert!(longest > 6, "there were only {longest} appends");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_run_that_breaks_off_again_and_again_comes_to_the_same_end(
        numbers in prop::collection::vec(0u64..5, 1..25),
        later in prop::collection::vec(0u64..5, 1..12),
        stops in prop::collection::vec((1usize..6, any::<bool>(), any::<bool>()), 0..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let open = || eventstore::open("sqlite::memory:", Options::default());
            let (store, straight) = (open().await.unwrap(), open().await.unwrap());
            let mut whole = numbers.clone();
            fill(&*store, &order("a"), &numbers).await;
            for (at, stored, grows) in stops {
                // It may come to its end, and what grows behind that has to be caught up.
                run_until(&store, at, stored).await;
                if grows {
                    fill(&*store, &order("a"), &later).await;
                    whole.extend(&later);
                }
            }
            run_until(&store, usize::MAX, false).await.unwrap();
            assert_caught_up(&*store, &order("a")).await;

            // Without any stop, and with the same ids of source events.
            let mut source = read(&*store, &order("a")).await;
            source.retain(|event| StreamMigrated::of(event).is_none());
            assert_eq!(source.len(), whole.len());
            for event in source {
                let mut same = counted(0);
                (same.id, same.data) = (event.id, event.data);
                let append = Append::to(order("a"), ExpectedVersion::Any, vec![same]);
                straight.append(append).await.unwrap();
            }
            run_until(&straight, usize::MAX, false).await.unwrap();
            assert_migrated(&*straight, "a").await;
            assert_eq!(copied(&*store, "a").await, copied(&*straight, "a").await);
        });
    }
}

async fn what_is_appended_at_the_last_moment_is_copied_first(database: Arc<Database>) {
    let store = database.open().await;
    // Two full pieces and the last one, before each of which the source grows.
    for at in 1..=3 {
        let id = at.to_string();
        fill(&*store, &order(&id), &[1, 2, 3, 1]).await;
        let stopping = Stopping::new(&store, at, false);
        let inner: Arc<dyn EventStore> = Arc::clone(&stopping) as _;
        let mut migration = Split::new();
        migration.selection.stream_ids = Some(vec![id.clone()]);
        let running = tokio::spawn(async move {
            let folder = tempfile::TempDir::new().unwrap();
            let options = RunnerOptions {
                lease: PATIENCE,
                ..hasty()
            };
            let runner = MigrationRunner::new(inner, registry(), options);
            runner.run(&migration, folder.path()).await
        });
        tokio::time::timeout(PATIENCE, stopping.stopped.notified())
            .await
            .unwrap();
        fill(&*store, &order(&id), &[2]).await;
        stopping.go_on.notify_one();

        let report = running.await.unwrap().unwrap();

        assert_eq!(report.streams.migrated, 1, "{report:?}");
        assert_eq!((report.events.read, report.events.written), (5, 9));
        assert_migrated(&*store, &id).await;
    }
}

/// Events that a writer appends while the source is migrated.
const WRITTEN: usize = 150;

async fn a_writer_that_follows_the_closing_event_loses_nothing(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1; 40]).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut stream = order("a");
            let mut ids = Vec::new();
            while ids.len() < WRITTEN {
                let events = read(&*store, &stream).await;
                if let Some(marker) = events.last().and_then(StreamMigrated::of) {
                    stream = marker.target;
                    continue;
                }
                let event = counted(1);
                let id = event.id;
                let expected = ExpectedVersion::Exact(events.len() as u64);
                let append = Append::to(stream.clone(), expected, vec![event]);
                match store.append(append).await {
                    Ok(_) => ids.push((id, stream.clone())),
                    Err(AppendError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            ids
        }
    });

    let report = run_until(&store, usize::MAX, false).await.unwrap();

    assert_eq!(report.streams.migrated, 1, "{report:?}");
    let written = writer.await.unwrap();
    let in_target = read(&*store, &target("a")).await;
    let place = |id: Uuid, of: &StreamKey| {
        in_target.iter().position(|event| {
            if *of == target("a") {
                event.id == id
            } else {
                event.metadata.causation_id == Some(id)
            }
        })
    };
    let places: Vec<_> = written.iter().map(|(id, of)| place(*id, of)).collect();
    assert!(places.iter().all(Option::is_some));
    assert!(places.is_sorted(), "in the order they were written");
    assert_eq!(in_target.len(), 40 + WRITTEN);
}

async fn a_writer_that_does_not_look_loses_nothing_either(database: Arc<Database>) {
    let store = database.open().await;
    fill(&*store, &order("a"), &[1; 40]).await;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for _ in 0..WRITTEN {
                fill(&*store, &order("a"), &[1]).await;
            }
        }
    });
    run_until(&store, usize::MAX, false).await.unwrap();
    writer.await.unwrap();

    run_until(&store, usize::MAX, false).await.unwrap();

    let source = read(&*store, &order("a")).await;
    let copied = read(&*store, &target("a")).await;
    let counted = source.iter().filter(|event| event.event_type == "Counted");
    let expected: Vec<_> = counted.map(|event| Some(event.id)).collect();
    let sources: Vec<_> = copied
        .iter()
        .map(|event| event.metadata.causation_id)
        .collect();
    assert_eq!(sources, expected);
    assert_eq!(copied.len(), 40 + WRITTEN);
    assert!(StreamMigrated::of(source.last().unwrap()).is_some());
    assert_eq!(
        all(&*store).await.last().unwrap().position,
        source.last().unwrap().position
    );
}
