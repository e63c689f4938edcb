//! Telling about snapshots that are not trusted.

use std::fmt;

use serde::Serialize;

use crate::event::StreamKey;

/// Why a stored snapshot is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its checksum is another.
    Checksum,
    /// It is written in a way that this program does not know.
    UnknownFormat,
    /// It is not encrypted, but all have to be.
    NotEncrypted,
    /// It is encrypted with a key that was not handed in.
    UnknownKey,
    /// The key does not open it, or not in this place.
    Undecryptable,
    /// It is larger than allowed, or says that it will be.
    TooLarge,
    /// What came out of it is no snapshot, or not the one that its columns speak of.
    Corrupt,
    /// Its state has a newer shape than this program knows.
    NewerSchema,
    /// The stream does not reach as far: it was put back to a backup.
    AheadOfStream,
    /// The stream has another event at its version: it went on another way, or it is the snapshot of
    /// another stream.
    OtherHistory,
    /// The domain cannot read the state.
    Unreadable,
}

impl SkipReason {
    /// The reason as a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::UnknownFormat => "unknown_format",
            Self::NotEncrypted => "not_encrypted",
            Self::UnknownKey => "unknown_key",
            Self::Undecryptable => "undecryptable",
            Self::TooLarge => "too_large",
            Self::Corrupt => "corrupt",
            Self::NewerSchema => "newer_schema",
            Self::AheadOfStream => "ahead_of_stream",
            Self::OtherHistory => "other_history",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A snapshot that was found and not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedSnapshot {
    /// Its stream.
    pub stream: StreamKey,
    /// The version it is stored for.
    pub stream_version: u64,
    /// Why it is not used.
    pub reason: SkipReason,
    /// More about it, without secrets.
    pub message: String,
}

/// Is told what happens to snapshots, to count it. It must not block.
pub trait SnapshotObserver: Send + Sync + 'static {
    /// One was found and not used; an older one or the events took its place.
    fn skipped(&self, _skipped: &SkippedSnapshot) {}
    /// One was due, but could not be made; the events were stored without it.
    fn not_taken(&self, _stream: &StreamKey, _message: &str) {}
    /// One was found and used: a state was loaded from it, as of this version of the stream.
    fn restored(&self, _stream: &StreamKey, _stream_version: u64) {}
    /// One was made, of so many bytes as it is stored.
    fn taken(&self, _stream: &StreamKey, _bytes: usize) {}
}

/// Observes nothing.
impl SnapshotObserver for () {}

/// Writes it to the log, and tells the observer.
pub(super) fn report(observer: &dyn SnapshotObserver, skipped: &SkippedSnapshot) {
    tracing::warn!(
        code = "SIGNET-EVENTS-0046",
        stream = %skipped.stream,
        version = skipped.stream_version,
        reason = skipped.reason.as_str(),
        message = skipped.message,
        "a snapshot is not trusted and skipped; delete it if this goes on"
    );
    observer.skipped(skipped);
}
