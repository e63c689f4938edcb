//! The table of snapshots.

use uuid::Uuid;

use super::{Pruning, SnapshotRecord};
use crate::backend::to_i64;
use crate::chain::microseconds;
use crate::database::{Database, Row, Session, arguments};
use crate::event::StreamKey;

/// Stores a snapshot within the append that it stands behind; one that is there for the same version
/// is replaced. Those beyond it are of a history that was taken back.
pub(crate) async fn save(
    session: &mut Session<'_>,
    snapshot: &SnapshotRecord,
) -> Result<(), sqlx::Error> {
    insert(session, snapshot).await?;
    let Some(pruning) = &snapshot.pruning else {
        return Ok(());
    };
    let SnapshotRecord {
        stream,
        stream_version,
        ..
    } = snapshot;
    session
        .execute(
            "DELETE FROM event_snapshots \
             WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 AND stream_version > $4",
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
                *stream_version,
            ],
        )
        .await?;
    prune(session, stream, pruning).await?;
    Ok(())
}

/// Stores a snapshot; one that is there for the same version is replaced.
pub(super) async fn insert(
    session: &mut Session<'_>,
    snapshot: &SnapshotRecord,
) -> Result<(), sqlx::Error> {
    let stream = &snapshot.stream;
    session
        .execute(
            "INSERT INTO event_snapshots (tenant, stream_type, stream_id, stream_version, \
               schema_version, format, key_id, data, checksum, taken_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (tenant, stream_type, stream_id, stream_version) DO UPDATE SET \
               schema_version = excluded.schema_version, format = excluded.format, \
               key_id = excluded.key_id, data = excluded.data, checksum = excluded.checksum, \
               taken_at = excluded.taken_at",
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
                snapshot.stream_version,
                i64::from(snapshot.schema_version),
                snapshot.format.as_str(),
                snapshot.key_id.clone(),
                snapshot.data.as_slice(),
                snapshot.checksum.as_slice(),
                microseconds(snapshot.taken_at),
            ],
        )
        .await?;
    Ok(())
}

/// Deletes the snapshots of a stream that need not stay, and gives their number.
pub(super) async fn prune(
    session: &mut Session<'_>,
    stream: &StreamKey,
    pruning: &Pruning,
) -> Result<u64, sqlx::Error> {
    // Nothing was taken before the least time.
    let not_before = pruning.not_before.map_or(i64::MIN, microseconds);
    session
        .execute(
            "DELETE FROM event_snapshots \
             WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
               AND (stream_version <= ( \
                   SELECT stream_version FROM event_snapshots \
                   WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
                   ORDER BY stream_version DESC LIMIT 1 OFFSET $4) \
                 OR (taken_at < $5 AND stream_version < ( \
                   SELECT stream_version FROM event_snapshots \
                   WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
                   ORDER BY stream_version DESC LIMIT 1)))",
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
                i64::from(pruning.keep.get()),
                not_before,
            ],
        )
        .await
}

/// Deletes the snapshots of a stream that stand behind no event, and gives their number.
pub(super) async fn delete_orphans(
    session: &mut Session<'_>,
    stream: &StreamKey,
) -> Result<u64, sqlx::Error> {
    session
        .execute(
            "DELETE FROM event_snapshots \
             WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
               AND NOT EXISTS (SELECT 1 FROM events \
                 WHERE events.tenant = $1 AND events.stream_type = $2 \
                   AND events.stream_id = $3 \
                   AND events.stream_version = event_snapshots.stream_version)",
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
            ],
        )
        .await
}

/// A row of the table, and the event that the stream has at its version.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stream_version: u64,
    pub(super) schema_version: i64,
    pub(super) format: String,
    pub(super) key_id: Option<String>,
    pub(super) data: Vec<u8>,
    pub(super) checksum: Vec<u8>,
    pub(super) taken_at: i64,
    /// Position and id of the event; none if the stream does not reach as far.
    pub(super) event: Option<(u64, Uuid)>,
}

/// The newest snapshot of a stream at or below a version.
pub(super) async fn newest(
    database: &Database,
    stream: &StreamKey,
    at_most: u64,
) -> Result<Option<Found>, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT newest.stream_version, newest.schema_version, newest.format, newest.key_id, \
               newest.data, newest.checksum, newest.taken_at, events.position, events.event_id \
             FROM (SELECT * FROM event_snapshots \
               WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
                 AND stream_version <= $4 \
               ORDER BY stream_version DESC LIMIT 1) AS newest \
             LEFT JOIN events ON events.tenant = newest.tenant \
               AND events.stream_type = newest.stream_type \
               AND events.stream_id = newest.stream_id \
               AND events.stream_version = newest.stream_version",
            arguments![
                stream.tenant.as_str(),
                stream.stream_type.as_str(),
                stream.stream_id.as_str(),
                to_i64(at_most),
            ],
        )
        .await?;
    rows.first().map(found).transpose()
}

fn found(row: &Row) -> Result<Found, sqlx::Error> {
    let event = match row.optional_int(7)? {
        Some(position) => Some((position.unsigned_abs(), row.uuid(8)?)),
        None => None,
    };
    Ok(Found {
        stream_version: row.int(0)?.unsigned_abs(),
        schema_version: row.int(1)?,
        format: row.text(2)?,
        key_id: row.optional_text(3)?,
        data: row.bytes(4)?,
        checksum: row.bytes(5)?,
        taken_at: row.int(6)?,
        event,
    })
}
