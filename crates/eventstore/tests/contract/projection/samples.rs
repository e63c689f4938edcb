//! A projection to test with, and what its documents have to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventstore::projection::{
    Answer, Document, DocumentQuery, ProjectionOptions, ProjectionStatus, RunnerOptions, Tenants,
};
use eventstore::{
    EventStore, NewEvent, Position, Projection, ProjectionError, Projections, RecordedEvent,
    StreamKey, StreamWrite,
};
use serde_json::{Value, json};

use crate::database::PATIENCE;

/// Sums `n` per stream and over all streams of a tenant; 0 deletes the document of the stream, and
/// `refused` cannot be applied.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    /// Sums are multiplied by this, so that versions can be told apart.
    pub(crate) factor: i64,
    pub(crate) refused: Option<i64>,
}

impl Sums {
    pub(crate) fn new() -> Self {
        Self {
            name: "sums",
            version: 1,
            factor: 1,
            refused: None,
        }
    }

    pub(crate) fn version(version: u32) -> Self {
        Self {
            version,
            factor: i64::from(version),
            ..Self::new()
        }
    }

    pub(crate) fn refusing(n: i64) -> Self {
        Self {
            refused: Some(n),
            ..Self::new()
        }
    }
}

impl Projection for Sums {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn selects(&self, event: &RecordedEvent) -> bool {
        event.event_type == "Happened"
    }

    fn keys(&self, event: &RecordedEvent) -> Vec<String> {
        vec![event.stream.stream_id.clone(), "all".to_owned()]
    }

    fn apply(
        &self,
        document: Option<Value>,
        key: &str,
        event: &RecordedEvent,
    ) -> Result<Option<Value>, String> {
        let n = event.data["n"].as_i64().ok_or("there is no n")?;
        if self.refused == Some(n) {
            return Err(format!("{n} is refused"));
        }
        if n == 0 && key != "all" {
            return Ok(None);
        }
        let before = |part: &str| document.as_ref().and_then(|before| before[part].as_i64());
        Ok(Some(json!({
            "count": before("count").unwrap_or(0) + 1,
            "sum": before("sum").unwrap_or(0) + n * self.factor,
            "version": self.version,
        })))
    }
}

/// Documents by tenant and key, with the position of each.
pub(crate) type Documents = BTreeMap<(String, String), (u64, Value)>;

/// The documents as they have to be after some events.
pub(crate) fn model(projection: &dyn Projection, events: &[RecordedEvent]) -> Documents {
    let mut documents = Documents::new();
    for event in events.iter().filter(|event| projection.selects(event)) {
        for key in projection.keys(event) {
            let name = (event.stream.tenant.clone(), key.clone());
            let before = documents.remove(&name).map(|(_, document)| document);
            if let Some(after) = projection.apply(before, &key, event).unwrap() {
                documents.insert(name, (event.position.0, after));
            }
        }
    }
    documents
}

pub(crate) fn projections(store: &Arc<dyn EventStore>) -> Projections {
    Projections::new(Arc::clone(store), ProjectionOptions::default())
}

/// Small pages and batches, so that few events make many of them.
pub(crate) fn small() -> RunnerOptions {
    RunnerOptions {
        lease: Duration::from_millis(600),
        poll_interval: Duration::from_millis(50),
        page_events: 7,
        batch_events: 10,
        batch_documents: 5,
        cached_documents: 4,
        ..RunnerOptions::default()
    }
}

/// `n` for a stream of a tenant.
pub(crate) fn happened(tenant: &str, stream: &str, numbers: &[i64]) -> StreamWrite {
    let events = numbers.iter();
    StreamWrite {
        stream: StreamKey::new(tenant, "order", stream),
        expected: eventstore::ExpectedVersion::Any,
        events: events
            .map(|n| NewEvent::new("Happened", 1, json!({ "n": n })))
            .collect(),
    }
}

pub(crate) async fn append(store: &Arc<dyn EventStore>, writes: Vec<StreamWrite>) -> Position {
    let append = eventstore::Append::new(writes);
    store.append(append).await.unwrap().last
}

/// Some events of two tenants, in several appends.
pub(crate) async fn fill(store: &Arc<dyn EventStore>, appends: i64) -> Position {
    let mut last = Position::START;
    for n in 0..appends {
        let stream = (n % 9).to_string();
        let writes = vec![
            happened("acme", &stream, &[n, n + 1, n % 4]),
            happened("globex", &stream, &[n % 3]),
        ];
        last = append(store, writes).await;
    }
    last
}

/// All documents, page by page, with the answer that they came from; they have to be of one build.
pub(crate) async fn documents(projections: &Projections, name: &str) -> Answer<Documents> {
    let mut found = Documents::new();
    let mut query = DocumentQuery::new(name, Tenants::All);
    query.limit = 1000;
    let answer = projections.list(&query).await.unwrap();
    assert_eq!(answer.value.next, None, "a sample has less than one page");
    for Document {
        tenant,
        key,
        position,
        data,
    } in answer.value.documents
    {
        found.insert((tenant, key), (position.0, data));
    }
    Answer {
        as_of: answer.as_of,
        generation: answer.generation,
        version: answer.version,
        value: found,
    }
}

/// The documents are what the events up to their position make of them.
pub(crate) async fn assert_sound(
    store: &Arc<dyn EventStore>,
    projections: &Projections,
    projection: &Sums,
) -> Answer<Documents> {
    let answer = documents(projections, projection.name).await;
    let mut events = store.read_all(Position::START, 1_000_000).await.unwrap();
    events.retain(|event| event.position <= answer.as_of);
    assert_eq!(
        answer.value,
        model(projection, &events),
        "as of {}",
        answer.as_of
    );
    let status = projections.status(projection.name).await.unwrap();
    if status.active.generation == answer.generation && status.active.position == answer.as_of {
        assert_eq!(status.active.documents, answer.value.len() as u64);
    }
    answer
}

/// Waits until a status is as it should be.
pub(crate) async fn until(
    projections: &Projections,
    name: &str,
    is_so: impl Fn(&ProjectionStatus) -> bool,
) -> ProjectionStatus {
    let mut last = None;
    let wait = async {
        loop {
            match projections.status(name).await {
                Ok(status) if is_so(&status) => return status,
                Ok(status) => last = Some(status),
                Err(ProjectionError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(status) => status,
        Err(_) => panic!("it stayed {last:#?}"),
    }
}

/// Waits until a projection is known, and as far as a position.
pub(crate) async fn reach(projections: &Projections, name: &str, position: Position) {
    until(projections, name, |_| true).await;
    projections.wait(name, position, PATIENCE).await.unwrap();
}
