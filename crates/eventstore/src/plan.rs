//! Decides a group of requests, each alone, in the order they came. Pure: what the database knows
//! comes in, what to write comes out.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use uuid::Uuid;

use crate::chain::ChainEnd;
use crate::error::AppendError;
use crate::event::{Appended, Position, StreamKey, StreamVersion};
use crate::request::{Event, Request, Write};
use crate::snapshot::SnapshotRecord;

/// An event that is stored already, found by its id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) position: u64,
    pub(crate) stream: StreamKey,
    pub(crate) stream_version: u64,
    pub(crate) event_type: String,
    pub(crate) schema_version: u32,
    pub(crate) data: String,
}

/// What the database knows of the streams, ids and tenants of a group.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Streams that have events, and their versions.
    pub(crate) versions: HashMap<StreamKey, u64>,
    /// Events of the group whose ids are in use.
    pub(crate) events: HashMap<Uuid, Stored>,
    /// Tenants that have events, and the ends of their chains.
    pub(crate) chain_ends: HashMap<String, ChainEnd>,
}

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Its events are to be written.
    Store(Appended),
    /// It is a retry, stored before or earlier in this group.
    AlreadyStored(Appended),
    /// It fails; the others do not notice.
    Refuse(AppendError),
}

/// One event to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) position: u64,
    pub(crate) stream: &'a StreamKey,
    pub(crate) stream_version: u64,
    pub(crate) event: &'a Event,
}

/// What is to be done about a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan<'a> {
    /// One decision per request, in their order.
    pub(crate) decisions: Vec<Decision>,
    /// Events to be written, by position, without gaps from the head on.
    pub(crate) rows: Vec<Row<'a>>,
}

impl Plan<'_> {
    /// Whether somebody is told that an append is stored already.
    pub(crate) fn repeats(&self) -> bool {
        let mut decisions = self.decisions.iter();
        decisions.any(|decision| matches!(decision, Decision::AlreadyStored(_)))
    }

    /// What is to be answered to those whose events are to be written.
    pub(crate) fn planned(&self) -> Vec<Option<Appended>> {
        let planned = self.decisions.iter().map(|decision| match decision {
            Decision::Store(appended) => Some(appended.clone()),
            Decision::AlreadyStored(_) | Decision::Refuse(_) => None,
        });
        planned.collect()
    }

    /// Snapshots that go with what is to be written.
    pub(crate) fn snapshots<'r>(
        &self,
        requests: &'r [Request],
    ) -> impl Iterator<Item = &'r SnapshotRecord> {
        let decided = requests.iter().zip(&self.decisions);
        decided
            .filter(|(_, decision)| matches!(decision, Decision::Store(_)))
            .flat_map(|(request, _)| &request.snapshots)
    }
}

/// Decides each request of a group as if they had come one after the other.
///
/// `head` is the position of the last stored event; `versions` has every stream of the requests
/// that has events; `known` has every event id of the requests that is in use.
pub(crate) fn plan<'a>(
    head: u64,
    versions: &HashMap<StreamKey, u64>,
    known: &HashMap<Uuid, Stored>,
    requests: &'a [Request],
) -> Plan<'a> {
    let mut state = State {
        head,
        versions,
        known,
        moved: HashMap::new(),
        ids: HashMap::new(),
    };
    let mut rows = Vec::with_capacity(requests.iter().map(|request| request.events).sum());
    let decisions = requests
        .iter()
        .map(|request| state.decide(request, &mut rows))
        .collect();
    Plan { decisions, rows }
}

/// Every stream of a group once, for the lookup of the versions.
pub(crate) fn streams(requests: &[Request]) -> Vec<&StreamKey> {
    let writes = requests.iter().flat_map(|request| &request.writes);
    writes
        .map(|write| &write.stream)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The store as it will be when the requests so far are written.
struct State<'a, 'k> {
    head: u64,
    versions: &'k HashMap<StreamKey, u64>,
    known: &'k HashMap<Uuid, Stored>,
    /// Versions that this group changed.
    moved: HashMap<&'a StreamKey, u64>,
    /// Places in `rows` of the events that this group adds.
    ids: HashMap<Uuid, usize>,
}

impl<'a> State<'a, '_> {
    fn decide(&mut self, request: &'a Request, rows: &mut Vec<Row<'a>>) -> Decision {
        if let Some(id) = request.ids().find(|id| self.is_known(id)) {
            return match self.earlier_answer(request, rows) {
                Some(appended) => Decision::AlreadyStored(appended),
                None => Decision::Refuse(AppendError::DuplicateEventId { id }),
            };
        }
        let conflict = request.writes.iter().find_map(|write| {
            let actual = StreamVersion(self.version(&write.stream));
            (!write.expected.accepts(actual)).then(|| AppendError::Conflict {
                stream: write.stream.clone(),
                expected: write.expected,
                actual,
            })
        });
        match conflict {
            Some(refusal) => Decision::Refuse(refusal),
            None => Decision::Store(self.store(request, rows)),
        }
    }

    fn is_known(&self, id: &Uuid) -> bool {
        self.known.contains_key(id) || self.ids.contains_key(id)
    }

    fn version(&self, stream: &StreamKey) -> u64 {
        let stored = || self.versions.get(stream).copied();
        self.moved.get(stream).copied().or_else(stored).unwrap_or(0)
    }

    fn store(&mut self, request: &'a Request, rows: &mut Vec<Row<'a>>) -> Appended {
        let first = self.head + 1;
        let mut versions = Vec::with_capacity(request.writes.len());
        for Write { stream, events, .. } in &request.writes {
            let mut stream_version = self.version(stream);
            for event in events {
                self.head += 1;
                stream_version += 1;
                self.ids.insert(event.id, rows.len());
                rows.push(Row {
                    position: self.head,
                    stream,
                    stream_version,
                    event,
                });
            }
            self.moved.insert(stream, stream_version);
            versions.push(stream_version);
        }
        let last = Position(self.head);
        Appended {
            first: Position(first),
            last,
            versions,
            already_stored: false,
        }
    }

    /// What the first attempt was answered, if `request` repeats a stored one: all of its events
    /// are there with the same content, one behind the other.
    fn earlier_answer(&self, request: &Request, rows: &[Row<'_>]) -> Option<Appended> {
        let mut positions: Option<(u64, u64)> = None;
        let mut versions = Vec::with_capacity(request.writes.len());
        for Write { stream, events, .. } in &request.writes {
            let mut last_version: Option<u64> = None;
            for event in events {
                let (position, stream_version) = self.place_of(stream, event, rows)?;
                let continues = positions.is_none_or(|(_, last)| position == last + 1)
                    && last_version.is_none_or(|version| stream_version == version + 1);
                if !continues {
                    return None;
                }
                positions = Some((positions.map_or(position, |(first, _)| first), position));
                last_version = Some(stream_version);
            }
            versions.push(last_version?);
        }
        let (first, last) = positions?;
        let (first, last) = (Position(first), Position(last));
        Some(Appended {
            first,
            last,
            versions,
            already_stored: true,
        })
    }

    /// Position and stream version of an event, if it is stored just like this.
    fn place_of(&self, stream: &StreamKey, event: &Event, rows: &[Row<'_>]) -> Option<(u64, u64)> {
        if let Some(stored) = self.known.get(&event.id) {
            let same = stored.stream == *stream
                && stored.event_type == event.event_type
                && stored.schema_version == event.schema_version
                && same_json(&stored.data, &event.data);
            return same.then_some((stored.position, stored.stream_version));
        }
        let row = rows.get(*self.ids.get(&event.id)?)?;
        let same = row.stream == stream
            && row.event.event_type == event.event_type
            && row.event.schema_version == event.schema_version
            && same_json(&row.event.data, &event.data);
        same.then_some((row.position, row.stream_version))
    }
}

/// Whether two JSON texts say the same; the order of members does not count.
fn same_json(left: &str, right: &str) -> bool {
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    left == right || parsed(left).is_some_and(|left| parsed(right) == Some(left))
}

#[cfg(test)]
mod tests;
