//! Copy-and-transform migrations: the events of a stream, in another shape, in another stream.
//!
//! Events never change, so a history that no upcaster can put right is copied. A [`Migration`] says
//! which streams, where to, and what becomes of each event; a [`MigrationRunner`] does it:
//!
//! 1. [`dry_run`](MigrationRunner::dry_run) does everything but write, and reports.
//! 2. [`run`](MigrationRunner::run) takes the migration's lease, [backs the sources up](BackUp), and
//!    goes through them one by one: transform, check, append to the target in pieces. The last piece and a
//!    closing [`StreamMigrated`] in the source are one append that expects both streams exactly as they
//!    were read. If the source grew meanwhile it conflicts, and the tail is copied first. So there is no
//!    moment at which an event could slip between.
//! 3. Whoever finds [`StreamMigrated`] in a stream goes on in its target.
//!
//! Ids of copied events are derived from the migration's name, the id of the source event and a number.
//! So a run that broke off anywhere is begun again and finds what is there: an event is never copied
//! twice, and one that is not the migration's own stops it. Nothing depends on the progress that is
//! written down beside; that is for people, and for telling targets from sources.
//!
//! A writer that appends behind the closing event without looking (`ExpectedVersion::Any`) loses nothing
//! either: the next run copies what it finds there to the end of the target, and closes the source again.
//! That is done piece by piece, too, and each closing event says up to where: a source is done with when
//! nothing but closing events lies behind what its last one covers, not when it ends with one.

mod backup;
mod copy;
mod error;
mod lease;
mod marker;
mod report;
mod restore;
mod run;
mod sources;
mod table;
mod transform;

use serde_json::Value;

use crate::event::{RecordedEvent, StreamKey};

pub use backup::{BackUp, verify};
pub use error::{MigrationError, StreamError};
pub use marker::StreamMigrated;
pub use report::{
    EventCounts, EventSample, Phase, Progress, Report, ShapeSample, StreamCounts, StreamFailure,
};
pub use restore::{RestoreReport, restore};
pub use run::{MigrationRunner, RunnerOptions};
pub use table::{
    MigrationStatus, StreamQuery, StreamState, StreamStatus, migration_streams, migrations,
};
pub use transform::TransformedStream;

/// A migration of streams. Everything it decides must follow from what it is given: a run that is
/// resumed decides again, and refuses to go on if it comes to something else.
pub trait Migration: Send + Sync {
    /// Its name: 1 to 64 letters, digits, `-`, `_` and `.`, the first no `.`. The ids of copied events
    /// are derived from it.
    fn name(&self) -> &str;

    /// The streams to migrate.
    fn selection(&self) -> Selection;

    /// Whether a stream of the [`selection`](Self::selection) is meant.
    fn selects(&self, source: &StreamKey) -> bool {
        let _ = source;
        true
    }

    /// Where the events of a stream go: another stream, and no two sources into one.
    fn target(&self, source: &StreamKey) -> StreamKey;

    /// What becomes of an event, as it is stored: nothing, one or more.
    ///
    /// # Errors
    /// Why it cannot be transformed; the stream is left as it is, and the others go on.
    fn transform(&self, event: &RecordedEvent) -> Result<Vec<Shape>, String>;

    /// The caller's own check of a stream before anything of it is written, and again before the end
    /// if the source grew.
    ///
    /// # Errors
    /// What is wrong; the stream is left as it is, and the others go on.
    fn validate(&self, stream: &TransformedStream) -> Result<(), String> {
        let _ = stream;
        Ok(())
    }
}

/// Streams of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whose streams; none for every tenant's.
    pub tenant: Option<String>,
    /// Kind of aggregate.
    pub stream_type: String,
    /// Which ones; none for all.
    pub stream_ids: Option<Vec<String>>,
}

/// What an event becomes. Correlation, actor, address and trace are taken from the source event, and its
/// id becomes the causation.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Name of what happened.
    pub event_type: String,
    /// Version of the shape of `data`.
    pub schema_version: u32,
    /// Content.
    pub data: Value,
}

impl Shape {
    /// The shape an event has already.
    pub fn same(event: &RecordedEvent) -> Self {
        Self {
            event_type: event.event_type.clone(),
            schema_version: event.schema_version,
            data: event.data.clone(),
        }
    }
}
