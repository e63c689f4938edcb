//! What the database knows that a group is decided by, asked in one statement.
//!
//! It is a statement of its own behind the one that takes the lane, so that its snapshot has what the
//! previous holder of the lane committed. One statement and not four, for each is a trip over the
//! network while everybody else waits for the lane.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, Hash};
use crate::event::StreamKey;
use crate::plan::{self, Known, Stored};
use crate::request::Request;

/// Kinds of rows: the first column.
const THE_LANE: i64 = 0;
const VERSION: i64 = 1;
const KNOWN_EVENT: i64 = 2;
const CHAIN_END: i64 = 3;
const LAST: i64 = 4;

/// What the rows of all kinds have in common are their columns; each kind fills some.
pub(super) const STATEMENT: &str = "\
    SELECT 0::bigint AS kind, head AS a, 0::bigint AS b, 0::bigint AS c, NULL::uuid AS id, \
      NULL::text AS tenant, NULL::text AS stream_type, NULL::text AS stream_id, \
      NULL::text AS event_type, NULL::text AS data, NULL::bytea AS hash, recorded_at \
    FROM event_lanes WHERE lane = $1 \
    UNION ALL \
    SELECT 1, wanted.n, latest.stream_version, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
    FROM unnest($2::text[], $3::text[], $4::text[]) \
      WITH ORDINALITY AS wanted (tenant, stream_type, stream_id, n) \
    CROSS JOIN LATERAL ( \
      SELECT stream_version FROM events \
      WHERE events.tenant = wanted.tenant AND events.stream_type = wanted.stream_type \
        AND events.stream_id = wanted.stream_id \
      ORDER BY stream_version DESC LIMIT 1) AS latest \
    UNION ALL \
    SELECT 2, position, stream_version, schema_version, event_id, tenant, stream_type, stream_id, \
      event_type, data::text, NULL, NULL \
    FROM events WHERE event_id = ANY ($5) \
    UNION ALL \
    SELECT 3, wanted.n, latest.tenant_sequence, 0, NULL, NULL, NULL, NULL, NULL, NULL, \
      latest.hash, NULL \
    FROM unnest($6::text[]) WITH ORDINALITY AS wanted (tenant, n) \
    CROSS JOIN LATERAL ( \
      SELECT tenant_sequence, hash FROM events WHERE events.tenant = wanted.tenant \
      ORDER BY position DESC LIMIT 1) AS latest \
    UNION ALL \
    SELECT 4, position, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, hash, NULL \
    FROM events WHERE lane = $1 AND position = $7";

/// The lane, and what is known about a group.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Last position, with the ones taken for the group.
    pub(super) head: u64,
    /// Time to record.
    pub(super) recorded_at: Option<OffsetDateTime>,
    pub(super) known: Known,
    /// Hash of the event at the position that was asked for.
    pub(super) hash: Option<Hash>,
}

/// Asks for everything about a group, and for the hash of the event at `position`. The lane must be held.
pub(super) async fn lookup(
    connection: &mut PgConnection,
    requests: &[Request],
    position: Option<u64>,
) -> Result<Found, sqlx::Error> {
    let streams = plan::streams(requests);
    let part = |part: fn(&StreamKey) -> &str| streams.iter().map(|key| part(key)).collect();
    let tenants: Vec<&str> = part(|key| &key.tenant);
    let types: Vec<&str> = part(|key| &key.stream_type);
    let stream_ids: Vec<&str> = part(|key| &key.stream_id);
    let ids: Vec<Uuid> = requests.iter().flat_map(Request::ids).collect();
    let chains: BTreeSet<&str> = tenants.iter().copied().collect();
    let chains: Vec<&str> = chains.into_iter().collect();
    let rows = sqlx::query(STATEMENT)
        .bind(LANE)
        .bind(tenants)
        .bind(types)
        .bind(stream_ids)
        .bind(ids)
        .bind(&chains)
        .bind(position.map(to_i64))
        .fetch_all(connection)
        .await?;
    let mut found = Found::default();
    for row in &rows {
        let number = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        match row.try_get::<i64, _>(0)? {
            THE_LANE => {
                found.head = number(1)?;
                found.recorded_at = row.try_get(11)?;
            }
            VERSION => {
                let stream = streams[index(number(1)?)].clone();
                found.known.versions.insert(stream, number(2)?);
            }
            KNOWN_EVENT => {
                found.known.events.insert(row.try_get(4)?, stored(row)?);
            }
            CHAIN_END => {
                let hash = hash(row)?;
                let sequence = number(2)?;
                let tenant = chains[index(number(1)?)].to_owned();
                found
                    .known
                    .chain_ends
                    .insert(tenant, ChainEnd { sequence, hash });
            }
            LAST => found.hash = Some(hash(row)?),
            kind => {
                let message = format!("a row of the unknown kind {kind}");
                return Err(sqlx::Error::Protocol(message));
            }
        }
    }
    Ok(found)
}

/// SQL counts from one.
fn index(ordinal: u64) -> usize {
    ordinal as usize - 1
}

fn hash(row: &PgRow) -> Result<Hash, sqlx::Error> {
    let bytes: &[u8] = row.try_get(10)?;
    Hash::try_from(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn stored(row: &PgRow) -> Result<Stored, sqlx::Error> {
    let schema_version: i64 = row.try_get(3)?;
    Ok(Stored {
        position: row.try_get::<i64, _>(1)?.unsigned_abs(),
        stream: StreamKey {
            tenant: row.try_get(5)?,
            stream_type: row.try_get(6)?,
            stream_id: row.try_get(7)?,
        },
        stream_version: row.try_get::<i64, _>(2)?.unsigned_abs(),
        event_type: row.try_get(8)?,
        schema_version: u32::try_from(schema_version)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        data: row.try_get(9)?,
    })
}
