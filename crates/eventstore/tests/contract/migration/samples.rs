//! A migration to test with, and streams for it.

use std::sync::Arc;

use eventstore::migration::{
    Migration, MigrationRunner, Report, RunnerOptions, Selection, Shape, StreamMigrated,
    TransformedStream,
};
use eventstore::{
    Append, EventStore, ExpectedVersion, Metadata, NewEvent, RecordedEvent, Registry, StreamKey,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Makes as many events of one as its number says; 99 cannot be transformed.
pub(super) struct Split {
    pub(super) name: &'static str,
    pub(super) selection: Selection,
    pub(super) target_type: &'static str,
    /// Part of the content of every event.
    pub(super) mark: Option<u32>,
    /// Id of streams that are not meant.
    pub(super) except: Option<&'static str>,
    /// Most events that the caller takes for valid.
    pub(super) most: usize,
}

impl Split {
    pub(super) fn new() -> Self {
        Self {
            name: "split",
            selection: Selection {
                tenant: None,
                stream_type: "order".into(),
                stream_ids: None,
            },
            target_type: "copy",
            mark: None,
            except: None,
            most: usize::MAX,
        }
    }
}

impl Migration for Split {
    fn name(&self) -> &str {
        self.name
    }

    fn selection(&self) -> Selection {
        self.selection.clone()
    }

    fn selects(&self, source: &StreamKey) -> bool {
        self.except != Some(source.stream_id.as_str())
    }

    fn target(&self, source: &StreamKey) -> StreamKey {
        let id = format!("{}-2", source.stream_id);
        StreamKey::new(source.tenant.as_str(), self.target_type, id)
    }

    fn transform(&self, event: &RecordedEvent) -> Result<Vec<Shape>, String> {
        let times = event.data.as_u64().ok_or("no number")?;
        if times == 99 {
            return Err("99 is too much".into());
        }
        let shape = |index| Shape {
            event_type: "Part".into(),
            schema_version: 1,
            data: match self.mark {
                Some(mark) => json!([event.stream_version, index, mark]),
                None => json!([event.stream_version, index]),
            },
        };
        Ok((0..times).map(shape).collect())
    }

    fn validate(&self, stream: &TransformedStream) -> Result<(), String> {
        if stream.events.len() > self.most {
            return Err(format!("more than {}", self.most));
        }
        Ok(())
    }
}

pub(super) fn registry() -> Registry {
    Registry::builder()
        .event("Counted", 1)
        .event("Part", 1)
        .build()
        .unwrap()
}

pub(super) fn order(id: &str) -> StreamKey {
    StreamKey::new("acme", "order", id)
}

pub(super) fn target(id: &str) -> StreamKey {
    StreamKey::new("acme", "copy", format!("{id}-2"))
}

/// Small pieces, so that there are many appends; a lease that is over at once.
pub(super) fn hasty() -> RunnerOptions {
    RunnerOptions {
        append_events: 3,
        lease: std::time::Duration::from_micros(1),
        ..RunnerOptions::default()
    }
}

pub(super) fn runner(store: &Arc<dyn EventStore>) -> MigrationRunner {
    MigrationRunner::new(Arc::clone(store), registry(), RunnerOptions::default())
}

pub(super) async fn run(store: &Arc<dyn EventStore>, migration: &dyn Migration) -> Report {
    let folder = tempfile::TempDir::new().unwrap();
    let report = runner(store).run(migration, folder.path()).await;
    report.unwrap()
}

pub(super) fn counted(number: u64) -> NewEvent {
    NewEvent {
        metadata: Metadata {
            correlation_id: Some(Uuid::new_v4()),
            ..Metadata::default()
        },
        ..NewEvent::new("Counted", 1, json!(number))
    }
}

pub(super) async fn append(
    store: &dyn EventStore,
    stream: &StreamKey,
    expected: ExpectedVersion,
    number: u64,
) {
    let append = Append::to(stream.clone(), expected, vec![counted(number)]);
    store.append(append).await.unwrap();
}

/// Appends one event for each number.
pub(super) async fn fill(store: &dyn EventStore, stream: &StreamKey, numbers: &[u64]) {
    let events = numbers.iter().map(|number| counted(*number)).collect();
    let append = Append::to(stream.clone(), ExpectedVersion::Any, events);
    store.append(append).await.unwrap();
}

pub(super) async fn read(store: &dyn EventStore, stream: &StreamKey) -> Vec<RecordedEvent> {
    store.read_stream(stream, 0, 1_000_000).await.unwrap()
}

pub(super) fn shapes(events: &[RecordedEvent]) -> Vec<Value> {
    events.iter().map(|event| event.data.clone()).collect()
}

/// The target has all that the source has, in order, and the source is closed behind its last event.
pub(super) async fn assert_migrated(store: &dyn EventStore, id: &str) {
    let mut source = read(store, &order(id)).await;
    let marker = source.pop().as_ref().and_then(StreamMigrated::of);
    let marker = marker.expect("the source is not closed");
    assert_eq!(marker.source_version, source.len() as u64);
    let expected: Vec<Value> = source
        .iter()
        .flat_map(|event| {
            assert_eq!(event.event_type, "Counted");
            let times = event.data.as_u64().unwrap();
            (0..times).map(|index| json!([event.stream_version, index]))
        })
        .collect();
    let copied = read(store, &target(id)).await;
    assert_eq!(shapes(&copied), expected);
    assert_eq!(marker.target_version, copied.len() as u64);
}

/// As [`assert_migrated`], of a source that was perhaps closed more than once: the target has its events
/// once and in order, and its last event closes it behind all others.
pub(super) async fn assert_caught_up(store: &dyn EventStore, source: &StreamKey) {
    let events = read(store, source).await;
    let marker = events.last().and_then(StreamMigrated::of);
    let marker = marker.expect("the source is not closed");
    let (mut expected, mut last) = (Vec::new(), 0);
    for event in events.iter().filter(|event| event.event_type == "Counted") {
        let times = event.data.as_u64().unwrap();
        expected.extend((0..times).map(|index| json!([event.stream_version, index])));
        last = event.stream_version;
    }
    let copied = read(store, &Split::new().target(source)).await;
    assert_eq!(shapes(&copied), expected, "of {source}");
    assert_eq!(marker.source_version, last);
    assert_eq!(marker.target_version, copied.len() as u64);
}
