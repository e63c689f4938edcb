//! Putting the events of a back-up into a store again.

use std::path::Path;

use serde::Serialize;

use super::backup::{Line, Lines, at, verify};
use super::error::MigrationError;
use super::marker::restored_id;
use crate::error::ReadError;
use crate::event::{Append, ExpectedVersion, NewEvent, RecordedEvent, StreamKey};
use crate::store::EventStore;

/// Events appended at once, and most bytes of their data.
const CHUNK_EVENTS: usize = 500;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// What was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Streams of the back-up.
    pub streams: u64,
    /// Events appended.
    pub restored: u64,
    /// Events that an earlier attempt had appended.
    pub already_there: u64,
}

/// Appends the events of a back-up to the streams that `target` names, each of which has to be empty, or
/// to have what an earlier attempt put there. A target that is the source itself gets the events with
/// their ids, for a store that does not have them; any other gets ids of its own. Positions, times and
/// hashes are new; the order within a stream is what it was.
///
/// # Errors
/// A back-up that is damaged, a target with other events, and those of the store. Repeating it is safe.
pub async fn restore(
    store: &dyn EventStore,
    manifest: &Path,
    target: impl Fn(&StreamKey) -> StreamKey + Send,
) -> Result<RestoreReport, MigrationError> {
    let back_up = verify(manifest).await?;
    let mut report = RestoreReport::default();
    let mut lines = Lines::open(&back_up, manifest).await?;
    let mut chunk = Chunk::default();
    let mut source: Option<StreamKey> = None;
    while let Some(line) = lines.next().await? {
        if source.as_ref() != Some(&line.stream) {
            chunk.append(store, manifest, &mut report).await?;
            chunk = Chunk::new(target(&line.stream));
            source = Some(line.stream.clone());
            report.streams += 1;
        }
        chunk.push(line);
        if chunk.is_full() {
            chunk.append(store, manifest, &mut report).await?;
        }
    }
    chunk.append(store, manifest, &mut report).await?;
    lines.check(&back_up)?;
    Ok(report)
}

/// The next events of one stream.
#[derive(Default)]
struct Chunk {
    target: Option<StreamKey>,
    /// Events of the stream before these.
    version: u64,
    events: Vec<NewEvent>,
    bytes: usize,
}

impl Chunk {
    fn new(target: StreamKey) -> Self {
        Self {
            target: Some(target),
            ..Self::default()
        }
    }

    fn push(&mut self, line: Line) {
        let id = match &self.target {
            Some(target) if *target != line.stream => restored_id(target, line.id),
            _ => line.id,
        };
        self.bytes += line.data.to_string().len();
        self.events.push(NewEvent {
            id,
            event_type: line.event_type,
            schema_version: line.schema_version,
            data: line.data,
            metadata: line.metadata,
        });
    }

    fn is_full(&self) -> bool {
        self.events.len() >= CHUNK_EVENTS || self.bytes >= CHUNK_BYTES
    }

    async fn append(
        &mut self,
        store: &dyn EventStore,
        manifest: &Path,
        report: &mut RestoreReport,
    ) -> Result<(), MigrationError> {
        let events = std::mem::take(&mut self.events);
        self.bytes = 0;
        let Some(target) = self.target.as_ref().filter(|_| !events.is_empty()) else {
            return Ok(());
        };
        let there = there(store, target, self.version, events.len()).await?;
        let foreign = there
            .iter()
            .zip(&events)
            .find(|(event, wanted)| event.id != wanted.id);
        if let Some((event, _)) = foreign {
            let position = event.position;
            return Err(at(manifest)(format!(
                "{target} has an event of somebody else at position {position}; \
                 restore into an empty stream"
            )));
        }
        let (count, known) = (events.len() as u64, there.len() as u64);
        let missing: Vec<_> = events.into_iter().skip(there.len()).collect();
        if !missing.is_empty() {
            let expected = ExpectedVersion::Exact(self.version + known);
            let append = Append::to(target.clone(), expected, missing);
            store.append(append).await?;
        }
        report.already_there += known;
        report.restored += count - known;
        self.version += count;
        Ok(())
    }
}

/// As many events of a stream above a version, if it has them.
async fn there(
    store: &dyn EventStore,
    stream: &StreamKey,
    version: u64,
    count: usize,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut there = Vec::new();
    loop {
        let (after, missing) = (version + there.len() as u64, count - there.len());
        let page = store.stream_page(stream, after, missing).await?;
        there.extend(page.events);
        if page.end || there.len() >= count {
            return Ok(there);
        }
    }
}
