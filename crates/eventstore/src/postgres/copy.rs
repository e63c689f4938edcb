//! Storing many events by `COPY` in its binary form: the server is spared the lists that an `INSERT`
//! takes apart, writes whole pages to its log, and needs a quarter less of its processor. It is a statement of the
//! transaction as any other.
//!
//! The form: <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, microseconds};
use crate::plan::Row;

/// From so many events on it is worth its further trip to the server.
pub(super) const WORTHWHILE: usize = 32;

const COPY: &str = "COPY events (lane, position, event_id, tenant, stream_type, stream_id, \
    stream_version, event_type, schema_version, recorded_at, data, metadata, tenant_sequence, hash) \
    FROM STDIN (FORMAT binary)";

/// Columns of [`COPY`].
const COLUMNS: i16 = 14;

/// 2000-01-01 in microseconds since 1970: where PostgreSQL counts times from.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Stores the events.
pub(super) async fn store(
    connection: &mut PgConnection,
    rows: &[Row<'_>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let bytes = encoded(rows, links, recorded_at);
    let mut copy = connection.copy_in_raw(COPY).await?;
    copy.send(bytes).await?;
    copy.finish().await?;
    Ok(())
}

fn encoded(rows: &[Row<'_>], links: &[ChainEnd], recorded_at: OffsetDateTime) -> Vec<u8> {
    let recorded_at = microseconds(recorded_at).saturating_sub(POSTGRES_EPOCH);
    let mut bytes = Vec::with_capacity(rows.iter().map(size).sum::<usize>() + 32);
    bytes.extend(b"PGCOPY\n\xff\r\n\0");
    // No flags, no extension of the header.
    bytes.extend([0; 8]);
    for (row, link) in rows.iter().zip(links) {
        bytes.extend(COLUMNS.to_be_bytes());
        let mut field = |value: &[u8]| {
            // No value is longer than an append may be.
            bytes.extend((value.len() as i32).to_be_bytes());
            bytes.extend(value);
        };
        field(&LANE.to_be_bytes());
        field(&to_i64(row.position).to_be_bytes());
        field(row.event.id.as_bytes());
        field(row.stream.tenant.as_bytes());
        field(row.stream.stream_type.as_bytes());
        field(row.stream.stream_id.as_bytes());
        field(&to_i64(row.stream_version).to_be_bytes());
        field(row.event.event_type.as_bytes());
        field(&i64::from(row.event.schema_version).to_be_bytes());
        field(&recorded_at.to_be_bytes());
        field(row.event.data.as_bytes());
        field(row.event.metadata.as_bytes());
        field(&to_i64(link.sequence).to_be_bytes());
        field(&link.hash.0);
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

/// About what a row takes.
fn size(row: &Row<'_>) -> usize {
    let names = [
        &row.stream.tenant,
        &row.stream.stream_type,
        &row.stream.stream_id,
        &row.event.event_type,
        &row.event.data,
        &row.event.metadata,
    ];
    160 + names.iter().map(|name| name.len()).sum::<usize>()
}
