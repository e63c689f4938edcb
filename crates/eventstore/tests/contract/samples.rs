//! Events to test with, and reading them back.

use std::collections::{BTreeMap, BTreeSet};

use eventstore::{
    Append, EventStore, ExpectedVersion, NewEvent, Position, RecordedEvent, StreamKey, StreamWrite,
    Subscription,
};
use futures::StreamExt;
use serde_json::json;
use uuid::Uuid;

use crate::database::PATIENCE;

pub(crate) fn stream(id: impl ToString) -> StreamKey {
    StreamKey::new("acme", "order", id.to_string())
}

pub(crate) fn event(n: usize) -> NewEvent {
    NewEvent::new("Happened", 1, json!({ "n": n }))
}

pub(crate) fn write(
    id: impl ToString,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
) -> StreamWrite {
    StreamWrite {
        stream: stream(id),
        expected,
        events,
    }
}

/// An append of one event.
pub(crate) fn one(id: impl ToString, expected: ExpectedVersion) -> Append {
    Append::new(vec![write(id, expected, vec![event(1)])])
}

pub(crate) fn ids(append: &Append) -> Vec<Uuid> {
    append
        .writes
        .iter()
        .flat_map(|write| &write.events)
        .map(|event| event.id)
        .collect()
}

/// Everything in the store.
pub(crate) async fn all(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, |event| event.position);
        let page = store.read_all(after, 1_000_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The next `count` events of a subscription.
pub(crate) async fn next(subscription: &mut Subscription, count: usize) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let item = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let item = item.unwrap_or_else(|_| panic!("only {} of {count} events came", events.len()));
        events.push(item.expect("the subscription ended").unwrap());
    }
    events
}

/// Positions follow one another from `first` on, versions do in every stream, times never go back,
/// no id comes twice.
pub(crate) fn assert_in_order(events: &[RecordedEvent], first: u64) {
    let mut ids = BTreeSet::new();
    let mut versions: BTreeMap<&StreamKey, u64> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.position, Position(first + index as u64));
        assert!(ids.insert(event.id), "the event {} came twice", event.id);
        match versions.insert(&event.stream, event.stream_version) {
            Some(before) => assert_eq!(event.stream_version, before + 1),
            None if first == 1 => assert_eq!(event.stream_version, 1),
            None => {}
        }
        if index > 0 {
            assert!(events[index - 1].recorded_at <= event.recorded_at);
        }
    }
}
