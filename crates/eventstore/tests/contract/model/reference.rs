//! What a store is meant to do, in memory and one append after the other.

use std::collections::BTreeMap;

use eventstore::{Append, AppendError, Appended, Position, StreamKey, StreamVersion};
use serde_json::Value;
use uuid::Uuid;

/// An event of the model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) stream: StreamKey,
    pub(super) stream_version: u64,
    pub(super) event_type: String,
    pub(super) data: Value,
}

/// A store of the model: its events, the first one at position 1, and its snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) log: Vec<Entry>,
    pub(super) snapshots: BTreeMap<(StreamKey, u64), Vec<u8>>,
}

/// What a caller was told; none if it was told nothing that counts.
pub(super) type Answer = Option<Result<Appended, AppendError>>;

impl Model {
    pub(super) fn version(&self, stream: &StreamKey) -> u64 {
        let of_stream = self.log.iter().filter(|entry| entry.stream == *stream);
        of_stream.count() as u64
    }

    /// Index of a stored event.
    fn find(&self, id: Uuid) -> Option<usize> {
        self.log.iter().position(|entry| entry.id == id)
    }

    pub(super) fn append(&mut self, append: &Append) -> Result<Appended, AppendError> {
        for (n, write) in append.writes.iter().enumerate() {
            let before = &append.writes[..n];
            if before.iter().any(|other| other.stream == write.stream) {
                return Err(AppendError::Invalid {
                    field: format!("writes[{n}].stream"),
                    message: "the stream is written twice; put its events into one write".into(),
                });
            }
        }
        let ids = || append.writes.iter().flat_map(|write| &write.events);
        if let Some(known) = ids().find(|event| self.find(event.id).is_some()) {
            let duplicate = AppendError::DuplicateEventId { id: known.id };
            return self.answer_of(append).ok_or(duplicate);
        }
        for write in &append.writes {
            let actual = StreamVersion(self.version(&write.stream));
            if !write.expected.accepts(actual) {
                return Err(AppendError::Conflict {
                    stream: write.stream.clone(),
                    expected: write.expected,
                    actual,
                });
            }
        }
        let first = self.log.len() as u64 + 1;
        let mut versions = Vec::new();
        for write in &append.writes {
            let mut stream_version = self.version(&write.stream);
            for event in &write.events {
                stream_version += 1;
                self.log.push(Entry {
                    id: event.id,
                    stream: write.stream.clone(),
                    stream_version,
                    event_type: event.event_type.clone(),
                    data: event.data.clone(),
                });
            }
            versions.push(stream_version);
        }
        for snapshot in &append.snapshots {
            let key = (snapshot.stream.clone(), snapshot.stream_version);
            self.snapshots.insert(key, snapshot.data.clone());
        }
        Ok(Appended {
            first: Position(first),
            last: Position(self.log.len() as u64),
            versions,
            already_stored: false,
        })
    }

    /// What an append was answered when it was stored: its events stand there one behind the other.
    fn answer_of(&self, append: &Append) -> Option<Appended> {
        let first = self.find(append.writes[0].events[0].id)?;
        let mut stored = self.log[first..].iter();
        let mut versions = Vec::new();
        for write in &append.writes {
            for event in &write.events {
                let entry = stored.next()?;
                let same = entry.id == event.id
                    && entry.stream == write.stream
                    && entry.event_type == event.event_type
                    && entry.data == event.data;
                same.then_some(())?;
                if event.id == write.events.last()?.id {
                    versions.push(entry.stream_version);
                }
            }
        }
        let count: usize = append.writes.iter().map(|write| write.events.len()).sum();
        Some(Appended {
            first: Position(first as u64 + 1),
            last: Position((first + count) as u64),
            versions,
            already_stored: true,
        })
    }

    /// The model after `queues` of appends, each in its order but in any order among them, if one of
    /// these orders explains every answer and ends with `log`.
    pub(super) fn explain(&self, queues: &[&[(Append, Answer)]], log: &[Entry]) -> Option<Self> {
        if self.log.len() > log.len() || self.log != log[..self.log.len()] {
            return None;
        }
        if queues.iter().all(|queue| queue.is_empty()) {
            return (self.log.len() == log.len()).then(|| self.clone());
        }
        for (n, queue) in queues.iter().enumerate() {
            let Some(((append, answer), rest)) = queue.split_first() else {
                continue;
            };
            let mut rests = queues.to_vec();
            rests[n] = rest;
            let mut after = self.clone();
            let told = after.append(append);
            // Whoever was told nothing was served or was not.
            let served = answer.as_ref().is_none_or(|answer| *answer == told);
            let explained = served.then(|| after.explain(&rests, log)).flatten();
            let explained = explained.or_else(|| match answer {
                None => self.explain(&rests, log),
                Some(_) => None,
            });
            if explained.is_some() {
                return explained;
            }
        }
        None
    }
}
