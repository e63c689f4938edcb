//! Pages of large events: cut short by their bytes, with nothing left out behind the cut.

use std::sync::Arc;

use eventstore::command::{Aggregate, Encoded, Repository};
use eventstore::consumer::{ConsumerOptions, Delivery};
use eventstore::integrity::{PublicKeys, Verify};
use eventstore::migration::{
    Migration, MigrationRunner, RunnerOptions as MigrationOptions, Selection, Shape, restore,
};
use eventstore::projection::{DocumentQuery, RunnerOptions, Tenants};
use eventstore::replay::{Replay, Replays, ReplaysOptions};
use eventstore::{
    Append, Direction, EventQuery, EventStore, ExpectedVersion, NewEvent, Position, Projection,
    RecordedEvent, Registry, StreamKey,
};
use serde_json::{Value, json};

use crate::consumer::stage::{Log, consumers, logging, options, until_all_at};
use crate::database::{Database, contract};
use crate::integrity::report;
use crate::projection::samples::{projections, reach};
use crate::replay::seen;
use crate::samples::{next, stream, write};

contract!(
    pages_end_when_they_are_large_and_nothing_is_left_out,
    what_reads_streams_and_the_log_goes_on_behind_a_page_that_ended,
    large_events_are_migrated_and_restored_to_the_last,
);

/// More than a page.
const COUNT: u64 = 10;
const BYTES: usize = 1_000_000;
/// Events on a page: one more than fits.
const MOST: usize = 8 * 1024 * 1024 / BYTES + 1;

async fn filled(database: &Database) -> Arc<dyn EventStore> {
    let store = database.open().await;
    let large = || NewEvent::new("Large", 1, json!("x".repeat(BYTES)));
    for _ in 0..COUNT / 5 {
        let events = (0..5).map(|_| large()).collect();
        let append = Append::new(vec![write("a", ExpectedVersion::Any, events)]);
        store.append(append).await.unwrap();
    }
    store
}

/// How many bytes there are.
struct Sizes;

impl Projection for Sizes {
    fn name(&self) -> &str {
        "sizes"
    }

    fn version(&self) -> u32 {
        1
    }

    fn selects(&self, _event: &RecordedEvent) -> bool {
        true
    }

    fn keys(&self, _event: &RecordedEvent) -> Vec<String> {
        vec!["all".to_owned()]
    }

    fn apply(
        &self,
        document: Option<Value>,
        _key: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let before = document.and_then(|sum| sum.as_u64()).unwrap_or(0);
        let text = event.data.as_str().ok_or("no text")?;
        Ok(Some(json!(before + text.len() as u64)))
    }
}

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

/// All pages of a query.
async fn queried(store: &dyn EventStore, mut query: EventQuery) -> Vec<u64> {
    let mut read = Vec::new();
    loop {
        let page = store.query(&query).await.unwrap();
        assert!(page.events.len() <= MOST);
        assert!(!page.events.is_empty() || page.end, "a page for nothing");
        read.extend(positions(&page.events));
        match page.next {
            Some(next) if !page.end => query = query.continued(next),
            _ => return read,
        }
    }
}

// Large events are slow to write in a build that is not optimised: once for all.
async fn pages_end_when_they_are_large_and_nothing_is_left_out(database: Arc<Database>) {
    let store = filled(&database).await;
    let all: Vec<u64> = (1..=COUNT).collect();
    let of_stream = EventQuery {
        limit: 1000,
        ..EventQuery::of_stream(&stream("a"))
    };
    assert_eq!(queried(&*store, of_stream).await, all);
    let backward = EventQuery {
        limit: 1000,
        direction: Direction::Backward,
        ..EventQuery::default()
    };
    let mut read = queried(&*store, backward).await;
    read.reverse();
    assert_eq!(read, all);

    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let options = ConsumerOptions {
        partitions: 1,
        ..options()
    };
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options, delivery).await.unwrap();
    until_all_at(&store, Position(COUNT)).await;
    let handled: Vec<u64> = log.positions().iter().map(|at| at.0).collect();
    assert_eq!(handled, all);

    let subscribed = next(&mut store.subscribe(Position::START), COUNT as usize).await;
    assert_eq!(positions(&subscribed), all);

    let projections = projections(&store);
    let runner = projections.run(Arc::new(Sizes), &RunnerOptions::default());
    reach(&projections, Sizes.name(), Position(COUNT)).await;
    let query = DocumentQuery::new(Sizes.name(), Tenants::All);
    let answer = projections.list(&query).await.unwrap().value;
    assert_eq!(answer.documents[0].data, json!(COUNT * BYTES as u64));
    runner.unwrap().stop().await;

    let options = ReplaysOptions {
        page_len: 1000,
        ..ReplaysOptions::default()
    };
    let replays = Replays::new(Arc::clone(&store), options);
    let of_type = Replay::everything().event_types(["Large"]);
    for replay in [of_type, Replay::stream(stream("a"))] {
        assert_eq!(positions(&seen(&replays, replay).await), all);
    }
}

/// Adds up how many bytes were written.
struct Written;

impl Aggregate for Written {
    type State = u64;
    type Event = u64;
    const STREAM_TYPE: &'static str = "order";

    fn encode(_: &u64) -> Result<Encoded, String> {
        Err("nothing is written here".into())
    }

    fn decode(_: &str, _: u32, data: Value) -> Result<u64, String> {
        Ok(data.as_str().ok_or("no text")?.len() as u64)
    }

    fn evolve(before: u64, bytes: &u64) -> u64 {
        before + bytes
    }
}

async fn what_reads_streams_and_the_log_goes_on_behind_a_page_that_ended(database: Arc<Database>) {
    let store = filled(&database).await;
    let (limit, stream) = (COUNT as usize, stream("a"));

    let first = store.stream_page(&stream, 0, limit).await.unwrap();
    assert!((1..=MOST).contains(&first.events.len()) && !first.end);
    let read = first.events.len() as u64;
    let rest = store.stream_page(&stream, read, limit).await.unwrap();
    assert!(rest.end);
    assert_eq!(read + rest.events.len() as u64, COUNT);
    let view = store.at_least(Position(COUNT));
    assert_eq!(view.stream_page(&stream, 0, limit).await.unwrap(), first);
    let log = store.read_all(Position::START, limit).await.unwrap();
    assert_eq!(log, first.events);
    let rest_of_log = store.read_all(Position(read), limit).await.unwrap();
    assert_eq!(rest_of_log, rest.events);

    let loaded = Repository::<Written>::new(Arc::clone(&store))
        .load(&stream)
        .await
        .unwrap();
    assert_eq!(
        (loaded.version, loaded.state),
        (COUNT, COUNT * BYTES as u64)
    );

    let everything = Verify {
        page_len: 1000,
        ..Verify::everything(PublicKeys::none())
    };
    let verified = report(&store, everything).await;
    assert!(verified.complete && verified.faults.is_empty());
    assert_eq!(verified.events, COUNT);
}

/// Copies events as they are.
struct Copies;

impl Migration for Copies {
    fn name(&self) -> &str {
        "copies"
    }

    fn selection(&self) -> Selection {
        Selection {
            tenant: None,
            stream_type: "order".into(),
            stream_ids: None,
        }
    }

    fn target(&self, source: &StreamKey) -> StreamKey {
        StreamKey::new(source.tenant.as_str(), "copy", source.stream_id.as_str())
    }

    fn transform(&self, event: &RecordedEvent) -> Result<Vec<Shape>, String> {
        Ok(vec![Shape::same(event)])
    }
}

async fn large_events_are_migrated_and_restored_to_the_last(database: Arc<Database>) {
    let store = filled(&database).await;
    let registry = Registry::builder().event("Large", 1).build().unwrap();
    let options = MigrationOptions::default();
    let runner = MigrationRunner::new(Arc::clone(&store), registry, options);
    let folder = tempfile::TempDir::new().unwrap();

    let migrated = runner.run(&Copies, folder.path()).await.unwrap();

    assert_eq!(
        (migrated.streams.migrated, migrated.events.written),
        (1, COUNT)
    );
    let back_up = migrated.back_up.unwrap();
    assert_eq!(back_up.events, COUNT);
    let last = Copies.target(&stream("a"));
    let last = store.read_stream(&last, COUNT - 1, 2).await.unwrap();
    assert_eq!(last.len(), 1);

    // The second time everything is there.
    let beside = |_: &StreamKey| stream("restored");
    for expected in [(COUNT, 0), (0, COUNT)] {
        let report = restore(&*store, &back_up.manifest, beside).await.unwrap();
        assert_eq!((report.restored, report.already_there), expected);
    }
}
