//! What a run tells, while it runs and at its end.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::backup::BackUp;
use crate::event::{Position, StreamKey};

/// Streams of a run, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCounts {
    /// Those that were found: the sum of those below, the missing apart.
    pub selected: u64,
    /// Copied and closed (dry run: those that would be).
    pub migrated: u64,
    /// Closed by an earlier run, with later events that were copied now (dry run: would be).
    pub caught_up: u64,
    /// Closed by an earlier run of this migration, and left alone.
    pub already_migrated: u64,
    /// Closed by another migration, and left alone.
    pub closed_elsewhere: u64,
    /// Left as they are; see the failures.
    pub failed: u64,
    /// Named by the selection, but without events.
    pub missing: u64,
}

/// Events of the streams that were migrated or caught up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCounts {
    /// Source events.
    pub read: u64,
    /// Target events, those of an earlier run included.
    pub written: u64,
    /// Source events that became nothing.
    pub dropped: u64,
    /// Source events that became more than one.
    pub split: u64,
}

impl EventCounts {
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.dropped += other.dropped;
        self.split += other.split;
    }
}

/// A stream that was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFailure {
    /// The source.
    pub stream: StreamKey,
    /// Event it is about, if it is about one.
    pub position: Option<Position>,
    /// Code of the error.
    pub code: String,
    /// What happened, and how to mend it.
    pub message: String,
}

/// Type, version and content of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeSample {
    /// Name of what happened.
    pub event_type: String,
    /// Version of the shape of `data`.
    pub schema_version: u32,
    /// Content.
    pub data: Value,
}

/// What an event would become: the first of its type and version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventSample {
    /// The source.
    pub stream: StreamKey,
    /// The source event.
    pub position: Position,
    /// As it is.
    pub before: ShapeSample,
    /// As it would be.
    pub after: Vec<ShapeSample>,
}

/// What a run did, or a dry run would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the migration.
    pub migration: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub began_at: OffsetDateTime,
    /// How long it took.
    pub milliseconds: u64,
    /// Streams by what became of them.
    pub streams: StreamCounts,
    /// Events of the streams that were migrated or caught up.
    pub events: EventCounts,
    /// The first failures; [`StreamCounts::failed`] counts all.
    pub failures: Vec<StreamFailure>,
    /// One event of each type and version, for a person to look at; only of a dry run.
    pub samples: Vec<EventSample>,
    /// Where the sources are backed up; none if there was nothing to migrate.
    pub back_up: Option<BackUp>,
}

/// What a run does at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Idle,
    /// Looking for the streams.
    Selecting,
    /// Writing and verifying the back-up.
    BackingUp,
    /// Going through the streams.
    Copying,
    /// Nothing more.
    Done,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Name of the migration.
    pub migration: String,
    /// What it does.
    pub phase: Phase,
    /// Streams to go through, once they are known.
    pub streams: u64,
    /// Streams that are through, failed ones included.
    pub streams_done: u64,
    /// Streams that failed.
    pub streams_failed: u64,
    /// Source events backed up.
    pub events_backed_up: u64,
    /// Source events of the streams that are through.
    pub events_read: u64,
    /// Target events appended by this run.
    pub events_appended: u64,
}
