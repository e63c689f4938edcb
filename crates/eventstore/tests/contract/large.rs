//! Pages of large events: cut short by their bytes, with nothing left out behind the cut.

use std::sync::Arc;

use eventstore::consumer::{ConsumerOptions, Delivery};
use eventstore::projection::{DocumentQuery, RunnerOptions, Tenants};
use eventstore::replay::{Replay, Replays, ReplaysOptions};
use eventstore::{
    Append, Direction, EventQuery, EventStore, ExpectedVersion, NewEvent, Position, Projection,
    RecordedEvent,
};
use serde_json::{Value, json};

use crate::consumer::stage::{Log, consumers, logging, options, until_all_at};
use crate::database::{Database, contract};
use crate::projection::samples::{projections, reach};
use crate::replay::seen;
use crate::samples::{next, stream, write};

contract!(pages_end_when_they_are_large_and_nothing_is_left_out);

/// More than a page.
const COUNT: u64 = 10;
const BYTES: usize = 1_000_000;

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
        // One more than fits, at most.
        assert!(page.events.len() <= 8 * 1024 * 1024 / BYTES + 1);
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
