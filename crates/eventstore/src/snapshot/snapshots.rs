//! Making snapshots and finding the newest one that holds.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::SnapshotRecord;
use super::codec::{Codec, Place, Stored, Wrapped};
use super::error::{SnapshotError, unavailable};
use super::keys::SnapshotKeys;
use super::policy::{Retention, SnapshotPolicy, Tail};
use super::skipped::{SkipReason, SkippedSnapshot, SnapshotObserver, report};
use super::table::{self, Found};
use crate::chain::microseconds;
use crate::database::{Database, from_microseconds};
use crate::event::{Position, StreamKey};

/// Settings of snapshots; the defaults suit production, where secrets are not part of any state.
#[derive(Clone)]
pub struct SnapshotOptions {
    /// When one is taken.
    pub policy: SnapshotPolicy,
    /// How long one stays.
    pub retention: Retention,
    /// Keys to encrypt with. None: they are not encrypted. Some: those that are not are skipped.
    pub keys: Option<Arc<SnapshotKeys>>,
    /// Is told what happens.
    pub observer: Arc<dyn SnapshotObserver>,
    /// Source of `taken_at`.
    pub clock: fn() -> OffsetDateTime,
    /// States smaller than this are not compressed, in bytes of JSON.
    pub compress_from: usize,
    /// Greatest size of a state, in bytes of JSON: a larger one is neither stored nor read. It bounds
    /// what a forged snapshot can make this process allocate.
    pub max_state_bytes: usize,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            policy: SnapshotPolicy::default(),
            retention: Retention::default(),
            keys: None,
            observer: Arc::new(()),
            clock: OffsetDateTime::now_utc,
            compress_from: 1024,
            max_state_bytes: 8 * 1024 * 1024,
        }
    }
}

impl fmt::Debug for SnapshotOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SnapshotOptions")
            .field("policy", &self.policy)
            .field("retention", &self.retention)
            .field("keys", &self.keys)
            .field("compress_from", &self.compress_from)
            .field("max_state_bytes", &self.max_state_bytes)
            .finish_non_exhaustive()
    }
}

/// The snapshots of a store; clones share everything.
#[derive(Debug, Clone)]
pub struct Snapshots {
    pub(super) database: Database,
    pub(super) options: Arc<SnapshotOptions>,
}

/// A state and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct StateAt<'a> {
    /// Stream whose state it is.
    pub stream: &'a StreamKey,
    /// Version of the stream that it stands for.
    pub stream_version: u64,
    /// Id of the event that gave the stream this version.
    pub event_id: Uuid,
    /// Version of the shape of the state, counted by the domain.
    pub schema_version: u32,
    /// The state.
    pub state: &'a Value,
}

/// What a snapshot gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored<S> {
    /// The state.
    pub state: S,
    /// Version of the stream that it stands for.
    pub stream_version: u64,
    /// Position of the event that gave the stream this version.
    pub position: Position,
    /// When it was taken.
    pub taken_at: OffsetDateTime,
}

impl Snapshots {
    /// The snapshots in the database of a store.
    pub fn new(database: &Database, options: SnapshotOptions) -> Self {
        Self {
            database: database.clone(),
            options: Arc::new(options),
        }
    }

    /// Whether it is time to take one behind `tail`.
    pub fn is_due(&self, tail: &Tail) -> bool {
        self.options.policy.is_due(tail, self.now())
    }

    /// Settings that were given.
    pub fn options(&self) -> &SnapshotOptions {
        &self.options
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.options.clock)()
    }

    /// Makes a record of a state, for [`Append::with_snapshot`](crate::Append::with_snapshot) or for
    /// [`save`](Self::save).
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`], [`SnapshotError::Unwritable`], [`SnapshotError::Encryption`].
    pub fn record(&self, at: StateAt<'_>) -> Result<SnapshotRecord, SnapshotError> {
        let now = self.now();
        let wrapped = Wrapped {
            schema_version: at.schema_version,
            event_id: at.event_id,
            taken_at: microseconds(now),
            state: at.state,
        };
        let place = Place {
            stream: at.stream,
            stream_version: at.stream_version,
            schema_version: at.schema_version,
        };
        let encoded = self.codec().encode(place, &wrapped)?;
        Ok(SnapshotRecord {
            stream: at.stream.clone(),
            stream_version: at.stream_version,
            schema_version: at.schema_version,
            format: encoded.format,
            key_id: encoded.key_id,
            data: encoded.data,
            checksum: encoded.checksum,
            taken_at: now,
            pruning: Some(self.options.retention.pruning(now)),
        })
    }

    /// Stores a snapshot of events that are stored already, and deletes what need not stay.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`].
    pub async fn save(&self, record: &SnapshotRecord) -> Result<(), SnapshotError> {
        let mut transaction = self.database.begin().await.map_err(unavailable)?;
        let mut session = transaction.session();
        table::insert(&mut session, record)
            .await
            .map_err(unavailable)?;
        if let Some(pruning) = &record.pruning {
            table::prune(&mut session, &record.stream, pruning)
                .await
                .map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    /// The newest usable snapshot of a stream at or below version `at_most`; none if there is none.
    ///
    /// `newest_schema` is the newest shape of the state that the caller knows; `read` makes a state of
    /// a known shape's version and JSON, or says why it cannot. Unusable snapshots are reported and
    /// skipped.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`], and only that.
    pub async fn load<S>(
        &self,
        stream: &StreamKey,
        at_most: u64,
        newest_schema: u32,
        read: impl Fn(u32, Value) -> Result<S, String>,
    ) -> Result<Option<Restored<S>>, SnapshotError> {
        let mut at_most = at_most;
        while at_most > 0 {
            let found = match table::newest(&self.database, stream, at_most).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))) => {
                    // Not even its version can be relied on, so what is below is not looked for.
                    self.skipped(stream, at_most, (SkipReason::Corrupt, error.to_string()));
                    return Ok(None);
                }
                Err(error) => return Err(unavailable(error)),
            };
            match self.open(stream, &found, newest_schema, &read) {
                Ok(restored) => {
                    let version = restored.stream_version;
                    self.options.observer.restored(stream, version);
                    return Ok(Some(restored));
                }
                Err(skip) => self.skipped(stream, found.stream_version, skip),
            }
            at_most = found.stream_version - 1;
        }
        Ok(None)
    }

    fn open<S>(
        &self,
        stream: &StreamKey,
        found: &Found,
        newest_schema: u32,
        read: impl Fn(u32, Value) -> Result<S, String>,
    ) -> Result<Restored<S>, (SkipReason, String)> {
        let Some((position, event_id)) = found.event else {
            let message = "the stream has no event at its version".to_owned();
            return Err((SkipReason::AheadOfStream, message));
        };
        let schema_version = u32::try_from(found.schema_version)
            .map_err(|error| (SkipReason::Corrupt, error.to_string()))?;
        let place = Place {
            stream,
            stream_version: found.stream_version,
            schema_version,
        };
        let stored = Stored {
            format: &found.format,
            key_id: found.key_id.as_deref(),
            data: &found.data,
            checksum: &found.checksum,
            taken_at: found.taken_at,
        };
        let wrapped = self.codec().decode(place, stored)?;
        if wrapped.event_id != event_id {
            let message = format!("stands behind {}, found {event_id}", wrapped.event_id);
            return Err((SkipReason::OtherHistory, message));
        }
        if schema_version > newest_schema {
            let message = format!("version {schema_version}, known up to {newest_schema}");
            return Err((SkipReason::NewerSchema, message));
        }
        let state = read(schema_version, wrapped.state)
            .map_err(|message| (SkipReason::Unreadable, message))?;
        let taken_at = from_microseconds(found.taken_at)
            .map_err(|error| (SkipReason::Corrupt, error.to_string()))?;
        Ok(Restored {
            state,
            stream_version: found.stream_version,
            position: Position(position),
            taken_at,
        })
    }

    fn skipped(&self, stream: &StreamKey, stream_version: u64, skip: (SkipReason, String)) {
        let (reason, message) = skip;
        let skipped = SkippedSnapshot {
            stream: stream.clone(),
            stream_version,
            reason,
            message,
        };
        report(&*self.options.observer, &skipped);
    }

    fn codec(&self) -> Codec<'_> {
        Codec {
            keys: self.options.keys.as_deref(),
            compress_from: self.options.compress_from,
            max_state_bytes: self.options.max_state_bytes,
        }
    }
}
