//! The table of snapshots.

use super::SnapshotRecord;
use crate::chain::microseconds;
use crate::database::{Session, arguments};

/// Stores a snapshot; one that is there for the same version is replaced.
pub(crate) async fn save(
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
