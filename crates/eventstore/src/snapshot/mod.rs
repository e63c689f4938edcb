//! Snapshots: the state of an aggregate at a version of its stream, so that loading it need not begin
//! at its first event.

mod table;

use time::OffsetDateTime;

use crate::event::StreamKey;

pub(crate) use table::save;

/// A snapshot as it is stored: whatever was done to the state is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// Stream whose state it is.
    pub stream: StreamKey,
    /// Version of the stream that it stands for.
    pub stream_version: u64,
    /// Version of the shape of the state, counted by the domain.
    pub schema_version: u32,
    /// What was done to `data`, e.g. `json+zstd`.
    pub format: String,
    /// Key that `data` is encrypted with, if it is.
    pub key_id: Option<String>,
    /// The state.
    pub data: Vec<u8>,
    /// SHA-256 over `data`.
    pub checksum: [u8; 32],
    /// When it was taken.
    pub taken_at: OffsetDateTime,
}
