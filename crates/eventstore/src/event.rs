//! What goes in and what comes out: events, streams, positions.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::Hash;
use crate::snapshot::SnapshotRecord;

/// Place of an event in the order of the whole store: 1, 2, 3 … without gaps.
///
/// As a cursor it means "everything up to here is known".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Number of events in a stream; 0 is a stream without events.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StreamVersion(pub u64);

impl fmt::Display for StreamVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Names one stream: the history of one aggregate of one tenant.
///
/// All three parts are non-empty and without NUL; `tenant` and `stream_type` have at most 128
/// bytes, `stream_id` at most 512. Longer ones are refused by `append`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// Whose stream it is.
    pub tenant: String,
    /// Kind of aggregate, e.g. `role`.
    pub stream_type: String,
    /// Which one of its kind.
    pub stream_id: String,
}

impl StreamKey {
    /// Puts a key together; nothing is checked before `append`.
    pub fn new(
        tenant: impl Into<String>,
        stream_type: impl Into<String>,
        stream_id: impl Into<String>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            stream_type: stream_type.into(),
            stream_id: stream_id.into(),
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}/{}",
            self.tenant, self.stream_type, self.stream_id
        )
    }
}

/// What a writer believes about a stream when it appends (optimistic concurrency).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Whatever is there.
    Any,
    /// The stream has no events.
    NoStream,
    /// The stream has exactly this many events; `Exact(0)` says the same as `NoStream`.
    Exact(u64),
}

impl ExpectedVersion {
    /// Whether a stream with `actual` events is what the writer expects.
    pub fn accepts(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual.0 == 0,
            Self::Exact(version) => actual.0 == version,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any version"),
            Self::NoStream => formatter.write_str("no stream"),
            Self::Exact(version) => write!(formatter, "version {version}"),
        }
    }
}

/// Where an event comes from: its circumstances, not its content.
///
/// It is left out of the comparison that recognises a retry, so a second attempt may carry another
/// trace id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Shared by everything that one request from outside caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// Event or command that led directly to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Command that decided on it, if it carried an [idempotency key](crate::command::Call::with_key).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<Uuid>,
    /// Who did it, e.g. a SPIFFE id or a user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Address of the caller, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// W3C trace id: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// An event to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The caller's id of the event. The same id appended again is the same event: a retry is
    /// answered as the first attempt was.
    pub id: Uuid,
    /// Name of what happened, e.g. `TenantDeclared`; 1 to 128 bytes, no NUL.
    pub event_type: String,
    /// Version of the shape of `data`, counted by the domain from 1.
    pub schema_version: u32,
    /// Content; any JSON up to [`Options::max_event_bytes`](crate::Options::max_event_bytes) and
    /// 100 levels deep, without NUL characters.
    pub data: Value,
    /// Circumstances.
    pub metadata: Metadata,
}

impl NewEvent {
    /// An event with a new time-ordered id (UUID version 7) and empty metadata.
    pub fn new(event_type: impl Into<String>, schema_version: u32, data: Value) -> Self {
        Self {
            id: Uuid::now_v7(),
            event_type: event_type.into(),
            schema_version,
            data,
            metadata: Metadata::default(),
        }
    }
}

/// An event as it is stored. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedEvent {
    /// Id given by the writer.
    pub id: Uuid,
    /// Place in the order of the whole store.
    pub position: Position,
    /// Stream it belongs to.
    pub stream: StreamKey,
    /// Place in its stream, from 1.
    pub stream_version: u64,
    /// Name of what happened.
    pub event_type: String,
    /// Version of the shape of `data`.
    pub schema_version: u32,
    /// Content.
    pub data: Value,
    /// Circumstances.
    pub metadata: Metadata,
    /// When the store took it: UTC, whole microseconds, never earlier than the event before it.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
    /// Place among the events of its tenant, from 1.
    pub tenant_sequence: u64,
    /// Seal over this event and all events of its tenant before it.
    pub hash: Hash,
}

/// Events for one stream, with what the writer expects to find there.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamWrite {
    /// Stream to write to.
    pub stream: StreamKey,
    /// Version it must have.
    pub expected: ExpectedVersion,
    /// Events in order; at least one.
    pub events: Vec<NewEvent>,
}

/// One request: everything in it is stored in one transaction, or nothing is.
///
/// A stream may appear once; the events get consecutive positions in the order given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Append {
    /// Events, stream by stream.
    pub writes: Vec<StreamWrite>,
    /// States of streams as they are after their writes. Such a write has to expect `NoStream` or
    /// `Exact`: after any other, nobody knows what the state stands for.
    pub snapshots: Vec<SnapshotRecord>,
}

impl Append {
    /// An append without snapshots.
    pub fn new(writes: Vec<StreamWrite>) -> Self {
        Self {
            writes,
            snapshots: Vec::new(),
        }
    }

    /// Events for one stream.
    pub fn to(stream: StreamKey, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        Self::new(vec![StreamWrite {
            stream,
            expected,
            events,
        }])
    }

    /// The same append, with the state of a stream after it.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: SnapshotRecord) -> Self {
        self.snapshots.push(snapshot);
        self
    }
}

/// Events of one stream that follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPage {
    /// In the order of their versions. There may be fewer than asked for and more to come: a page ends
    /// with the event that brings it to 8 MiB of JSON. It has one at least if there is one.
    pub events: Vec<RecordedEvent>,
    /// Nothing follows for now. If not, something may.
    pub end: bool,
}

/// Answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event.
    pub first: Position,
    /// Position of the last event: what a reader must have seen to see this append.
    pub last: Position,
    /// Version of each stream after its write, in the order of the writes.
    pub versions: Vec<u64>,
    /// Whether this was a retry of an append that is stored; the rest is what the first attempt was
    /// (or would have been) answered.
    pub already_stored: bool,
}
