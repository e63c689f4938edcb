//! The statements of an append that write, in the order they are sent; [`lookup`](super::lookup) is
//! behind the first.

use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, Connection, Transaction};
use time::OffsetDateTime;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, microseconds};
use crate::plan::Row;

/// Begins a transaction and takes the lane with `offered` positions, behind which all other writers
/// wait. One message, for there is nothing to decide between the two.
///
/// Each statement of the transaction sees what was committed before it began, whatever the database's
/// default: under a snapshot of the whole transaction the wait for the lane would end in a failure.
pub(super) async fn take_lane(
    connection: &mut PgConnection,
    offered: u64,
    now: OffsetDateTime,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let now = microseconds(now);
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
         UPDATE event_lanes SET head = head + {offered}, recorded_at = \
           greatest(recorded_at, to_timestamp(0) + {now} * interval '1 microsecond') \
         WHERE lane = {LANE}"
    );
    // Nothing in it but numbers.
    connection.begin_with(AssertSqlSafe(begin)).await
}

/// Gives back the positions that refused requests do not need.
pub(super) async fn set_head(
    transaction: &mut Transaction<'_, Postgres>,
    head: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_lanes SET head = $2 WHERE lane = $1")
        .bind(LANE)
        .bind(to_i64(head))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Stores the events, and has the commit announce the new head to every process that listens.
pub(super) async fn store_and_notify(
    connection: &mut PgConnection,
    rows: &[Row<'_>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
    channel: &str,
) -> Result<(), sqlx::Error> {
    fn column<'a, T>(rows: &'a [Row<'a>], of: impl Fn(&'a Row<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let head = rows.last().map_or(0, |row| row.position);
    sqlx::query(
        "WITH stored AS ( \
           INSERT INTO events (lane, recorded_at, position, event_id, tenant, stream_type, \
             stream_id, stream_version, event_type, schema_version, data, metadata, \
             tenant_sequence, hash) \
           SELECT $1, $2, position, event_id, tenant, stream_type, stream_id, stream_version, \
             event_type, schema_version, data::json, metadata::json, tenant_sequence, hash \
           FROM unnest($3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], \
               $8::bigint[], $9::text[], $10::bigint[], $11::text[], $12::text[], \
               $13::bigint[], $14::bytea[]) \
             AS new (position, event_id, tenant, stream_type, stream_id, stream_version, \
               event_type, schema_version, data, metadata, tenant_sequence, hash)) \
         SELECT pg_notify($15, $16)",
    )
    .bind(LANE)
    .bind(recorded_at)
    .bind(column(rows, |row| to_i64(row.position)))
    .bind(column(rows, |row| row.event.id))
    .bind(column(rows, |row| row.stream.tenant.as_str()))
    .bind(column(rows, |row| row.stream.stream_type.as_str()))
    .bind(column(rows, |row| row.stream.stream_id.as_str()))
    .bind(column(rows, |row| to_i64(row.stream_version)))
    .bind(column(rows, |row| row.event.event_type.as_str()))
    .bind(column(rows, |row| i64::from(row.event.schema_version)))
    .bind(column(rows, |row| row.event.data.as_str()))
    .bind(column(rows, |row| row.event.metadata.as_str()))
    .bind(
        links
            .iter()
            .map(|link| to_i64(link.sequence))
            .collect::<Vec<_>>(),
    )
    .bind(
        links
            .iter()
            .map(|link| link.hash.0.as_slice())
            .collect::<Vec<_>>(),
    )
    .bind(channel)
    .bind(head.to_string())
    .execute(connection)
    .await?;
    Ok(())
}
