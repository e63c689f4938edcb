//! Replays: which events they give, how far they say they are, how they stop.

mod fold;
mod run;
mod select;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::replay::{Progress, Replay, Replays, ReplaysOptions, State, VisitError, Visitor};
use eventstore::{
    Append, EventStore, ExpectedVersion, NewEvent, Options, Position, RecordedEvent, StreamKey,
    StreamWrite,
};
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::database::{Database, PATIENCE};
use crate::samples::all;

static SECONDS: AtomicU64 = AtomicU64::new(0);

/// Every append comes at a later second than the one before; also across tests that run at once.
fn ticking() -> OffsetDateTime {
    let seconds = SECONDS.fetch_add(1, Ordering::Relaxed);
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) async fn ticking_store(database: &Database) -> Arc<dyn EventStore> {
    let clock = ticking;
    database
        .open_with(Options {
            clock,
            ..Options::default()
        })
        .await
}

/// `rounds` appends, each with one event for three streams of two tenants and two types.
pub(crate) async fn fill(store: &dyn EventStore, rounds: u64) -> Vec<RecordedEvent> {
    for n in 0..rounds {
        let event_type = if n % 3 == 0 { "Rare" } else { "Common" };
        let streams = [
            StreamKey::new("acme", "order", "1"),
            StreamKey::new("acme", "cart", "1"),
            StreamKey::new("globex", "order", "1"),
        ];
        let write = |stream| StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events: vec![NewEvent::new(event_type, 1, json!({ "n": n }))],
        };
        let writes = streams.map(write).to_vec();
        store.append(Append::new(writes)).await.unwrap();
    }
    all(store).await
}

pub(crate) fn set(store: &Arc<dyn EventStore>) -> Replays {
    let options = ReplaysOptions {
        page_len: 4,
        ..ReplaysOptions::default()
    };
    Replays::new(Arc::clone(store), options)
}

/// Runs a replay to its end.
pub(crate) async fn played(replays: &Replays, replay: Replay) -> (Vec<RecordedEvent>, Progress) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let collect = move |events: &[RecordedEvent]| {
        assert!(!events.is_empty());
        sink.lock().unwrap().extend_from_slice(events);
        Ok(())
    };
    let handle = replays.start(replay, collect).unwrap();
    let end = tokio::time::timeout(PATIENCE, handle.finished()).await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, end.unwrap())
}

pub(crate) async fn seen(replays: &Replays, replay: Replay) -> Vec<RecordedEvent> {
    let (events, end) = played(replays, replay).await;
    assert_eq!(end.state, State::Done, "{end:?}");
    assert_eq!(end.matched, events.len() as u64);
    assert_eq!(end.total, Some(end.read));
    events
}

pub(crate) fn only(
    events: &[RecordedEvent],
    which: impl Fn(&RecordedEvent) -> bool,
) -> Vec<RecordedEvent> {
    events
        .iter()
        .filter(|event| which(event))
        .cloned()
        .collect()
}

pub(crate) fn order() -> StreamKey {
    StreamKey::new("acme", "order", "1")
}

/// A visitor that tells when it has a page, and waits for leave to go on.
#[derive(Clone)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    pub(crate) open: Arc<Semaphore>,
    pub(crate) seen: Arc<Mutex<Vec<Position>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
            seen: Arc::default(),
        }
    }
}

impl Gate {
    pub(crate) fn visitor(&self) -> Self {
        self.clone()
    }

    pub(crate) async fn reached(&self) {
        let reached = tokio::time::timeout(PATIENCE, self.reached.acquire()).await;
        reached.unwrap().unwrap().forget();
    }
}

#[async_trait]
impl Visitor for Gate {
    async fn visit(&mut self, events: &[RecordedEvent]) -> Result<(), VisitError> {
        self.reached.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        let positions = events.iter().map(|event| event.position);
        self.seen.lock().unwrap().extend(positions);
        Ok(())
    }
}
