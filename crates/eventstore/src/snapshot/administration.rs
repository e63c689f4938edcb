//! Listing, deleting and cleaning up snapshots.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Snapshots;
use super::error::{SnapshotError, unavailable};
use super::table;
use crate::database::{Argument, Row, arguments};
use crate::event::StreamKey;

/// Streams that are cleaned up in one transaction: short enough for appends not to wait.
const STREAMS_PER_TRANSACTION: usize = 100;

/// A snapshot as it is listed: everything but the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotEntry {
    /// Its stream.
    pub stream: StreamKey,
    /// Version of the stream that it stands for.
    pub stream_version: u64,
    /// Version of the shape of its state.
    pub schema_version: i64,
    /// What was done to the state, e.g. `json+zstd`.
    pub format: String,
    /// Key that it is encrypted with, if it is.
    pub key_id: Option<String>,
    /// Size as it is stored.
    pub bytes: u64,
    /// When it was taken.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
}

/// Place of a snapshot in a list, to go on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPlace {
    /// Its stream.
    pub stream: StreamKey,
    /// Its version.
    pub stream_version: u64,
}

/// Which snapshots to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// Only those of a tenant.
    pub tenant: Option<String>,
    /// Only those behind a place.
    pub after: Option<SnapshotPlace>,
    /// How many at most.
    pub limit: usize,
}

/// What a clean-up did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CleanUpReport {
    /// Streams with snapshots that were looked at.
    pub streams: u64,
    /// Snapshots deleted because newer ones are enough, or for their age.
    pub superseded: u64,
    /// Snapshots deleted because their stream has no event at their version.
    pub orphaned: u64,
}

impl Snapshots {
    /// Lists snapshots by stream and version.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`].
    pub async fn list(&self, query: &SnapshotQuery) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        let after = query.after.clone().unwrap_or_else(|| SnapshotPlace {
            stream: StreamKey::new(query.tenant.clone().unwrap_or_default(), "", ""),
            stream_version: 0,
        });
        let mut arguments = arguments![
            after.stream.tenant,
            after.stream.stream_type,
            after.stream.stream_id,
            after.stream_version,
            query.limit as u64,
        ];
        let of_tenant = match &query.tenant {
            Some(tenant) => {
                arguments.push(Argument::from(tenant.as_str()));
                "AND tenant = $6"
            }
            None => "",
        };
        let read = format!(
            "SELECT tenant, stream_type, stream_id, stream_version, schema_version, format, \
               key_id, CAST(octet_length(data) AS bigint), taken_at \
             FROM event_snapshots \
             WHERE (tenant, stream_type, stream_id, stream_version) > ($1, $2, $3, $4) \
               {of_tenant} \
             ORDER BY tenant, stream_type, stream_id, stream_version LIMIT $5"
        );
        let rows = self.database.fetch(read, arguments).await;
        rows.and_then(|rows| rows.iter().map(entry).collect())
            .map_err(unavailable)
    }

    /// Deletes one snapshot of a stream, or all of them, and gives their number.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`].
    pub async fn delete(
        &self,
        stream: &StreamKey,
        stream_version: Option<u64>,
    ) -> Result<u64, SnapshotError> {
        let mut arguments = arguments![
            stream.tenant.as_str(),
            stream.stream_type.as_str(),
            stream.stream_id.as_str(),
        ];
        let of_version = match stream_version {
            Some(version) => {
                arguments.push(Argument::from(version));
                "AND stream_version = $4"
            }
            None => "",
        };
        let delete = format!(
            "DELETE FROM event_snapshots \
             WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 {of_version}"
        );
        let deleted = self.database.execute(delete, arguments).await;
        deleted.map_err(unavailable)
    }

    /// Deletes, for every stream (of a tenant), the snapshots that need not stay
    /// ([`SnapshotOptions::retention`](super::SnapshotOptions::retention)) and those ahead of it.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`]; what was deleted by then stays deleted, and another call goes
    /// on.
    pub async fn clean_up(&self, tenant: Option<&str>) -> Result<CleanUpReport, SnapshotError> {
        let pruning = self.options.retention.pruning(self.now());
        let mut report = CleanUpReport::default();
        let mut after = StreamKey::new(tenant.unwrap_or_default(), "", "");
        loop {
            let streams = self.streams(&after, tenant).await.map_err(unavailable)?;
            let Some(last) = streams.last() else {
                return Ok(report);
            };
            after = last.clone();
            let mut transaction = self.database.begin().await.map_err(unavailable)?;
            let mut session = transaction.session();
            for stream in &streams {
                let orphaned = table::delete_orphans(&mut session, stream).await;
                let superseded = table::prune(&mut session, stream, &pruning).await;
                report.orphaned += orphaned.map_err(unavailable)?;
                report.superseded += superseded.map_err(unavailable)?;
            }
            transaction.commit().await.map_err(unavailable)?;
            report.streams += streams.len() as u64;
        }
    }

    async fn streams(
        &self,
        after: &StreamKey,
        tenant: Option<&str>,
    ) -> Result<Vec<StreamKey>, sqlx::Error> {
        let mut arguments = arguments![
            after.tenant.as_str(),
            after.stream_type.as_str(),
            after.stream_id.as_str(),
            STREAMS_PER_TRANSACTION as u64,
        ];
        let of_tenant = match tenant {
            Some(tenant) => {
                arguments.push(Argument::from(tenant));
                "AND tenant = $5"
            }
            None => "",
        };
        let read = format!(
            "SELECT DISTINCT tenant, stream_type, stream_id FROM event_snapshots \
             WHERE (tenant, stream_type, stream_id) > ($1, $2, $3) {of_tenant} \
             ORDER BY tenant, stream_type, stream_id LIMIT $4"
        );
        let rows = self.database.fetch(read, arguments).await?;
        rows.iter().map(stream).collect()
    }
}

fn stream(row: &Row) -> Result<StreamKey, sqlx::Error> {
    Ok(StreamKey {
        tenant: row.text(0)?,
        stream_type: row.text(1)?,
        stream_id: row.text(2)?,
    })
}

fn entry(row: &Row) -> Result<SnapshotEntry, sqlx::Error> {
    Ok(SnapshotEntry {
        stream: stream(row)?,
        stream_version: row.int(3)?.unsigned_abs(),
        schema_version: row.int(4)?,
        format: row.text(5)?,
        key_id: row.optional_text(6)?,
        bytes: row.int(7)?.unsigned_abs(),
        taken_at: row.microseconds(8)?,
    })
}
