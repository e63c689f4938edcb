//! The statements of an append that write: those of a transaction of several, in the order they are sent,
//! [`lookup`](super::lookup) behind the first, and the one that is a transaction of its own.

use std::sync::LazyLock;

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnection, PgHasArrayType, PgTypeInfo, Postgres,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, Transaction, Type};
use time::OffsetDateTime;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, microseconds};
use crate::event::StreamKey;
use crate::guess::Guess;
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

/// Stores the events of a group, `$3` and on, if there is a row of `taken`; `$1` is the lane, `$2` the time.
const STORED: &str = "\
    stored AS ( \
      INSERT INTO events (lane, recorded_at, position, event_id, tenant, stream_type, stream_id, \
        stream_version, event_type, schema_version, data, metadata, tenant_sequence, hash) \
      SELECT taken.lane, $2, position, event_id, tenant, stream_type, stream_id, stream_version, \
        event_type, schema_version, data, metadata, tenant_sequence, hash \
      FROM taken CROSS JOIN unnest($3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], \
          $8::bigint[], $9::text[], $10::bigint[], $11::json[], $12::json[], $13::bigint[], \
          $14::bytea[]) \
        AS new (position, event_id, tenant, stream_type, stream_id, stream_version, event_type, \
          schema_version, data, metadata, tenant_sequence, hash)) \
    SELECT pg_notify($15, $16) FROM taken";

/// The lane is held already.
static STORE: LazyLock<String> =
    LazyLock::new(|| format!("WITH taken AS (SELECT $1::smallint AS lane), {STORED}"));

/// Takes the lane and moves its head to `$17`, if its last event is the one at `$18` with the hash `$19`, no
/// id is in use and none of the streams `$20` to `$22` has events; does nothing otherwise.
///
/// All of that is asked of what was committed before the statement began. What was committed while it
/// waited for the lane has moved the head away from `$18`, which PostgreSQL looks at again then
/// (READ COMMITTED, postgresql.org/docs/current/transaction-iso.html).
static STORE_BEHIND: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH taken AS ( \
           UPDATE event_lanes SET head = $17, recorded_at = $2 \
           WHERE lane = $1 AND head = $18 AND recorded_at <= $2 \
             AND (SELECT hash FROM events WHERE lane = $1 AND position = $18) = $19 \
             AND NOT EXISTS (SELECT 1 FROM events WHERE event_id = ANY ($4)) \
             AND NOT EXISTS ( \
               SELECT 1 FROM unnest($20::text[], $21::text[], $22::text[]) \
                 AS begun (tenant, stream_type, stream_id) \
               CROSS JOIN LATERAL ( \
                 SELECT 1 FROM events \
                 WHERE events.tenant = begun.tenant AND events.stream_type = begun.stream_type \
                   AND events.stream_id = begun.stream_id LIMIT 1) AS present) \
           RETURNING lane), {STORED}"
    )
});

/// Stores the events, and has the commit announce the new head to every process that listens.
pub(super) async fn store_and_notify(
    connection: &mut PgConnection,
    rows: &[Row<'_>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
    channel: &str,
) -> Result<(), sqlx::Error> {
    let statement = sqlx::query(&**STORE);
    let statement = bind_events(statement, rows, links, recorded_at, channel);
    statement.execute(connection).await?;
    Ok(())
}

/// A transaction of one message: takes the lane, stores the events behind `last` and announces them, or
/// does nothing if things are not as they were thought to be. Says whether it did.
pub(super) async fn store_behind(
    connection: &mut PgConnection,
    guess: &Guess<'_>,
    channel: &str,
) -> Result<bool, sqlx::Error> {
    let (rows, links) = (&guess.plan.rows, &guess.links);
    let head = rows.last().map_or(0, |row| row.position);
    let begun = rows.iter().filter(|row| row.stream_version == 1);
    let begun = |part: fn(&StreamKey) -> &str| {
        let parts = begun.clone().map(|row| part(row.stream));
        parts.collect::<Vec<_>>()
    };
    let statement = sqlx::query(&**STORE_BEHIND);
    let statement = bind_events(statement, rows, links, guess.recorded_at, channel)
        .bind(to_i64(head))
        .bind(to_i64(guess.last.position))
        .bind(guess.last.hash.0.as_slice())
        .bind(begun(|stream| &stream.tenant))
        .bind(begun(|stream| &stream.stream_type))
        .bind(begun(|stream| &stream.stream_id));
    // Waits for the end of the transaction; a row comes before that.
    let done = statement.execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// A JSON text that is sent as what it is: a text that the server has to cast is copied twice on the way.
struct Json<'a>(&'a str);

/// The server's numbers of `json` and `json[]` (its pg_type.dat), the same in every database.
const JSON: Oid = Oid(114);
const JSON_ARRAY: Oid = Oid(199);

impl Type<Postgres> for Json<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl PgHasArrayType for Json<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON_ARRAY)
    }
}

impl<'q> Encode<'q, Postgres> for Json<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        self.0.len()
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

fn bind_events<'q>(
    statement: Statement<'q>,
    rows: &[Row<'q>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
    channel: &'q str,
) -> Statement<'q> {
    fn column<'a, T>(rows: &[Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let head = rows.last().map_or(0, |row| row.position);
    let sequences: Vec<i64> = links.iter().map(|link| to_i64(link.sequence)).collect();
    let hashes: Vec<&[u8]> = links.iter().map(|link| link.hash.0.as_slice()).collect();
    statement
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
        .bind(column(rows, |row| Json(&row.event.data)))
        .bind(column(rows, |row| Json(&row.event.metadata)))
        .bind(sequences)
        .bind(hashes)
        .bind(channel)
        .bind(head.to_string())
}
