//! The statements of an append, in the order they are sent.

use std::collections::HashMap;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Row as _, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{LANE, to_i64};
use crate::chain::ChainEnd;
use crate::event::StreamKey;
use crate::plan::{self, Row, Stored};
use crate::request::Request;

/// Takes the lane and `offered` positions: the first statement, behind which all other writers wait.
/// Gives the position before them, and the time to record.
pub(super) async fn take_lane(
    transaction: &mut Transaction<'_, Postgres>,
    offered: u64,
    now: OffsetDateTime,
) -> Result<(u64, OffsetDateTime), sqlx::Error> {
    let row = sqlx::query(
        "UPDATE event_lanes SET head = head + $2, recorded_at = greatest(recorded_at, $3) \
         WHERE lane = $1 RETURNING head - $2, recorded_at",
    )
    .bind(LANE)
    .bind(to_i64(offered))
    .bind(now)
    .fetch_one(&mut **transaction)
    .await?;
    let head: i64 = row.try_get(0)?;
    Ok((head.unsigned_abs(), row.try_get(1)?))
}

/// Versions of the streams of a group. A statement of its own after [`take_lane`], so that its
/// snapshot has what the previous holder of the lane committed.
pub(super) async fn versions(
    transaction: &mut Transaction<'_, Postgres>,
    requests: &[Request],
) -> Result<HashMap<StreamKey, u64>, sqlx::Error> {
    let streams = plan::streams(requests);
    let part = |part: fn(&StreamKey) -> &str| streams.iter().map(|key| part(key)).collect();
    let tenants: Vec<&str> = part(|key| &key.tenant);
    let types: Vec<&str> = part(|key| &key.stream_type);
    let ids: Vec<&str> = part(|key| &key.stream_id);
    let rows = sqlx::query(
        "SELECT wanted.n, latest.stream_version \
         FROM unnest($1::text[], $2::text[], $3::text[]) \
           WITH ORDINALITY AS wanted (tenant, stream_type, stream_id, n) \
         CROSS JOIN LATERAL ( \
           SELECT stream_version FROM events \
           WHERE events.tenant = wanted.tenant AND events.stream_type = wanted.stream_type \
             AND events.stream_id = wanted.stream_id \
           ORDER BY stream_version DESC LIMIT 1) AS latest",
    )
    .bind(tenants)
    .bind(types)
    .bind(ids)
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let (ordinal, version): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let index = ordinal.unsigned_abs() as usize - 1;
            Ok((streams[index].clone(), version.unsigned_abs()))
        })
        .collect()
}

/// Those events of a group whose ids are in use.
pub(super) async fn known(
    transaction: &mut Transaction<'_, Postgres>,
    requests: &[Request],
) -> Result<HashMap<Uuid, Stored>, sqlx::Error> {
    let ids: Vec<Uuid> = requests.iter().flat_map(Request::ids).collect();
    let rows = sqlx::query(
        "SELECT event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
                schema_version, data::text \
         FROM events WHERE event_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &PgRow) -> Result<(Uuid, Stored), sqlx::Error> {
    let schema_version: i64 = row.try_get(7)?;
    let stored = Stored {
        position: row.try_get::<i64, _>(1)?.unsigned_abs(),
        stream: StreamKey {
            tenant: row.try_get(2)?,
            stream_type: row.try_get(3)?,
            stream_id: row.try_get(4)?,
        },
        stream_version: row.try_get::<i64, _>(5)?.unsigned_abs(),
        event_type: row.try_get(6)?,
        schema_version: u32::try_from(schema_version)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        data: row.try_get(8)?,
    };
    Ok((row.try_get(0)?, stored))
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
pub(super) async fn insert_and_notify(
    transaction: &mut Transaction<'_, Postgres>,
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
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
