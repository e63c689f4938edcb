//! Snapshots: the state of an aggregate at a version of its stream, so that loading it need not begin
//! at its first event.
//!
//! A snapshot is a shortcut and never a source: it can be deleted at any time, and one that does not
//! prove itself is reported, skipped and made up for by events. It proves itself by
//!
//! - a SHA-256 checksum over what is stored,
//! - the id of the event it stands behind, which has to be the one that the stream has at that
//!   version: so one that was moved to another stream or version, or that is left over from before a
//!   stream was put back to a backup, is not taken for another,
//! - its own account of the columns beside it,
//! - and, with [`SnapshotKeys`], AES-256-GCM over all of that. Then an unencrypted one is skipped, too.
//!
//! **The way through:** [`SnapshotPolicy`] says when → [`Snapshots::record`] makes the record →
//! [`Append::with_snapshot`](crate::Append::with_snapshot) stores it together with the events it
//! follows from → [`Snapshots::load`] finds the newest one that holds.

mod administration;
mod codec;
mod error;
mod keys;
mod policy;
mod skipped;
mod snapshots;
mod table;

use std::num::NonZeroU32;

use time::OffsetDateTime;

use crate::event::StreamKey;

pub use administration::{CleanUpReport, SnapshotEntry, SnapshotPlace, SnapshotQuery};
pub use error::{SnapshotError, SnapshotKeysError};
pub use keys::SnapshotKeys;
pub use policy::{Retention, SnapshotPolicy, Tail};
pub use skipped::{SkipReason, SkippedSnapshot, SnapshotObserver};
pub use snapshots::{Restored, SnapshotOptions, Snapshots, StateAt};
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
    /// Which of the stream's other snapshots go when this one is saved; none: all stay. An order to
    /// the store, and not stored.
    pub pruning: Option<Pruning>,
}

/// What to delete of a stream's snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruning {
    /// How many of the newest ones may stay.
    pub keep: NonZeroU32,
    /// When one that is not the newest must have been taken to stay.
    pub not_before: Option<OffsetDateTime>,
}
