//! What a source stream becomes, and the checks that need no database. Pure.

use time::OffsetDateTime;

use super::error::StreamError;
use super::marker::{StreamMigrated, copied_id};
use super::report::{EventCounts, EventSample, ShapeSample};
use super::{Migration, Shape};
use crate::chain::Hash;
use crate::event::{Append, ExpectedVersion, Metadata, NewEvent, RecordedEvent, StreamKey};
use crate::registry::Registry;
use crate::request::Request;

/// Bound of one append of copied events, in bytes of their data; far below the store's.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// A stream as it will be in the target.
#[derive(Debug, Clone)]
pub struct TransformedStream {
    /// Where the events come from.
    pub source: StreamKey,
    /// Where they go.
    pub target: StreamKey,
    /// The events of the target, in order.
    pub events: Vec<NewEvent>,
    /// What became of the source events.
    pub counts: EventCounts,
    /// Last version of the source that was looked at, closing events included.
    pub(super) source_version: u64,
    /// The closing event that covers most, if there is one.
    pub(super) closed: Option<StreamMigrated>,
    /// Most events of one append.
    chunk: usize,
    /// How many of the events are known to be in the target.
    pub(super) present: usize,
    /// How many of them this run appended.
    pub(super) appended: u64,
    /// Of each source event its version, and how many events of the target there are after it.
    ends: Vec<(u64, usize)>,
    /// Of each event of the target the size of its data.
    sizes: Vec<usize>,
}

/// What the transformation is made with.
#[derive(Clone, Copy)]
pub(super) struct Rules<'r> {
    pub(super) migration: &'r dyn Migration,
    pub(super) registry: &'r Registry,
    /// Most events of one stream, before and after.
    pub(super) limit: usize,
}

impl TransformedStream {
    pub(super) fn new(source: StreamKey, target: StreamKey, chunk: usize) -> Self {
        Self {
            chunk,
            source,
            target,
            events: Vec::new(),
            counts: EventCounts::default(),
            source_version: 0,
            closed: None,
            present: 0,
            appended: 0,
            ends: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Takes the next events of the source in.
    pub(super) fn extend(
        &mut self,
        rules: Rules<'_>,
        events: &[RecordedEvent],
    ) -> Result<(), StreamError> {
        for event in events {
            if event.stream_version != self.source_version + 1 {
                return Err(StreamError::Incomplete {
                    stream: self.source.clone(),
                    version: self.source_version,
                });
            }
            match StreamMigrated::of(event) {
                Some(marker) => self.close(marker),
                None => self.take(rules, event)?,
            }
            self.source_version = event.stream_version;
        }
        Ok(())
    }

    /// The marker that covers most counts; another migration's ends the matter.
    fn close(&mut self, marker: StreamMigrated) {
        let covers_more = |closed: &StreamMigrated| {
            closed.migration == marker.migration && closed.source_version < marker.source_version
        };
        if self.closed.as_ref().is_none_or(covers_more) {
            self.closed = Some(marker);
        }
    }

    fn take(&mut self, rules: Rules<'_>, event: &RecordedEvent) -> Result<(), StreamError> {
        let position = event.position;
        let shapes = rules
            .migration
            .transform(event)
            .map_err(|message| StreamError::Transform { position, message })?;
        let written = self.events.len() + shapes.len();
        if written > rules.limit || self.ends.len() >= rules.limit {
            let limit = rules.limit;
            return Err(StreamError::TooLong { limit });
        }
        self.counts.add(EventCounts {
            read: 1,
            written: shapes.len() as u64,
            dropped: u64::from(shapes.is_empty()),
            split: u64::from(shapes.len() > 1),
        });
        for (index, shape) in shapes.into_iter().enumerate() {
            let (new, size) = self.storable(rules, event, index as u64, shape)?;
            self.readable(rules.registry, event, &new)?;
            self.events.push(new);
            self.sizes.push(size);
        }
        self.ends.push((event.stream_version, self.events.len()));
        Ok(())
    }

    /// The event as it will be stored, with the size of its data.
    fn storable(
        &self,
        rules: Rules<'_>,
        event: &RecordedEvent,
        index: u64,
        shape: Shape,
    ) -> Result<(NewEvent, usize), StreamError> {
        let unstorable = |message: String| StreamError::Unstorable {
            position: event.position,
            message,
        };
        let new = NewEvent {
            id: copied_id(rules.migration.name(), event.id, index),
            event_type: shape.event_type,
            schema_version: shape.schema_version,
            data: shape.data,
            metadata: Metadata {
                causation_id: Some(event.id),
                ..event.metadata.clone()
            },
        };
        let append = Append::to(self.target.clone(), ExpectedVersion::Any, vec![new.clone()]);
        let request =
            Request::check(append, usize::MAX).map_err(|error| unstorable(error.to_string()))?;
        let text = request.writes.into_iter().flat_map(|write| write.events);
        let text: String = text.map(|event| event.data).collect();
        // As it comes back from the store, so that it can be compared with what is there.
        let data = serde_json::from_str(&text).map_err(|error| unstorable(error.to_string()))?;
        Ok((NewEvent { data, ..new }, text.len()))
    }

    fn readable(
        &self,
        registry: &Registry,
        source: &RecordedEvent,
        new: &NewEvent,
    ) -> Result<(), StreamError> {
        let as_recorded = RecordedEvent {
            id: new.id,
            position: source.position,
            stream: self.target.clone(),
            stream_version: self.events.len() as u64 + 1,
            event_type: new.event_type.clone(),
            schema_version: new.schema_version,
            data: new.data.clone(),
            metadata: Metadata::default(),
            recorded_at: OffsetDateTime::UNIX_EPOCH,
            tenant_sequence: 0,
            hash: Hash::NONE,
        };
        let position = source.position;
        match registry.upcast(as_recorded) {
            Ok(_) => Ok(()),
            Err(source) => Err(StreamError::Unreadable { position, source }),
        }
    }

    /// Where a piece ends that begins at `start`.
    pub(super) fn chunk_end(&self, start: usize) -> usize {
        let mut bytes = 0;
        let within = |size: &&usize| {
            bytes += **size;
            bytes <= CHUNK_BYTES
        };
        let fitting = self.sizes.iter().skip(start).take(self.chunk);
        let count = fitting.take_while(within).count();
        (start + count.max(1)).min(self.events.len())
    }

    /// Where the events begin that became of source events above a version.
    pub(super) fn start_after(&self, version: u64) -> usize {
        let covered = self.ends.partition_point(|(of, _)| *of <= version);
        covered.checked_sub(1).map_or(0, |last| self.ends[last].1)
    }

    /// The same as [`chunk_end`](Self::chunk_end), but with whole source events above a version, of which
    /// there must be one; with the version of the last.
    pub(super) fn whole_chunk(&self, version: u64) -> Option<(usize, u64)> {
        let end = self.chunk_end(self.start_after(version));
        let mut whole = self.ends.iter().filter(|(of, _)| *of > version);
        let first = whole.next()?;
        let last = whole.take_while(|(_, until)| *until <= end).last();
        let (through, until) = last.unwrap_or(first);
        Some((*until, *through))
    }

    /// Last version of the source that is no closing event; 0 if there is none.
    pub(super) fn last_event(&self) -> u64 {
        self.ends.last().map_or(0, |(version, _)| *version)
    }

    /// Adds events of types and versions that have no sample yet. `events` are those of the source.
    pub(super) fn sample(
        &self,
        events: &[RecordedEvent],
        samples: &mut Vec<EventSample>,
        limit: usize,
    ) {
        for event in events {
            let known = samples.iter().any(|sample| {
                sample.before.event_type == event.event_type
                    && sample.before.schema_version == event.schema_version
            });
            if known || samples.len() >= limit || StreamMigrated::of(event).is_some() {
                continue;
            }
            let version = event.stream_version;
            let until = self.start_after(version);
            let after = &self.events[self.start_after(version - 1)..until];
            samples.push(EventSample {
                stream: event.stream.clone(),
                position: event.position,
                before: ShapeSample {
                    event_type: event.event_type.clone(),
                    schema_version: event.schema_version,
                    data: event.data.clone(),
                },
                after: after.iter().map(ShapeSample::of).collect(),
            });
        }
    }
}

impl ShapeSample {
    fn of(event: &NewEvent) -> Self {
        Self {
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            data: event.data.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
