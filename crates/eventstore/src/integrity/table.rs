//! The table of checkpoints, and what is looked up beside them.

use uuid::Uuid;

use super::checkpoint::Checkpoint;
use crate::backend::{LANE, read_error};
use crate::chain::{ChainEnd, Hash, microseconds};
use crate::database::{Argument, Database, Row, Sql, arguments};
use crate::error::ReadError;
use crate::event::Position;

macro_rules! columns {
    () => {
        "tenant, tenant_sequence, position, hash, store_id, signed_at, key_id, algorithm, signature"
    };
}

/// A row, or what can be said of one that cannot be read.
pub(super) type Kept = Result<Checkpoint, Unreadable>;

#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) tenant: String,
    pub(super) tenant_sequence: u64,
    pub(super) position: Position,
    pub(super) message: String,
}

/// Reads a row of [`columns!`].
fn kept(row: &Row) -> Result<Kept, sqlx::Error> {
    let (tenant, tenant_sequence) = (row.text(0)?, row.int(1)?.unsigned_abs());
    let position = Position(row.int(2)?.unsigned_abs());
    let rest = || -> Result<Checkpoint, String> {
        let said = |error: sqlx::Error| error.to_string();
        let store = row.text(4).map_err(said)?;
        let store = Uuid::parse_str(&store)
            .ok()
            .filter(|id| id.hyphenated().to_string() == store)
            .ok_or_else(|| format!("store_id is {store:?}"))?;
        Ok(Checkpoint {
            store,
            tenant: tenant.clone(),
            tenant_sequence,
            position,
            hash: Hash::try_from(row.bytes(3).map_err(said)?.as_slice())?,
            signed_at: row.microseconds(5).map_err(said)?,
            key_id: row.text(6).map_err(said)?,
            algorithm: row.text(7).map_err(said)?,
            signature: row.bytes(8).map_err(said)?,
        })
    };
    let read = rest();
    Ok(read.map_err(|message| Unreadable {
        tenant,
        tenant_sequence,
        position,
        message,
    }))
}

/// Stores a checkpoint, unless there is one at the same place. Whether it was stored.
pub(super) async fn store(
    database: &Database,
    checkpoint: &Checkpoint,
) -> Result<bool, sqlx::Error> {
    const STORE: &str = concat!(
        "INSERT INTO event_checkpoints (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (tenant, tenant_sequence) DO NOTHING"
    );
    let arguments = arguments![
        checkpoint.tenant.as_str(),
        checkpoint.tenant_sequence,
        checkpoint.position.0,
        checkpoint.hash.0.as_slice(),
        checkpoint.store.hyphenated().to_string(),
        microseconds(checkpoint.signed_at),
        checkpoint.key_id.as_str(),
        checkpoint.algorithm.as_str(),
        checkpoint.signature.as_slice(),
    ];
    Ok(database.execute(STORE, arguments).await? == 1)
}

/// A place among the checkpoints in the order of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    position: i64,
    tenant: String,
    tenant_sequence: u64,
}

impl Cursor {
    /// Before everything above a position; with none, before the first, whatever its position says.
    pub(super) fn above(position: Option<u64>) -> Self {
        Self {
            position: position.map_or(i64::MIN, |above| {
                crate::backend::to_i64(above).saturating_add(1)
            }),
            tenant: String::new(),
            tenant_sequence: 0,
        }
    }

    pub(super) fn behind(row: &Kept) -> Self {
        let (position, tenant, tenant_sequence) = match row {
            Ok(row) => (row.position, &row.tenant, row.tenant_sequence),
            Err(row) => (row.position, &row.tenant, row.tenant_sequence),
        };
        Self {
            position: crate::backend::to_i64(position.0),
            tenant: tenant.clone(),
            tenant_sequence,
        }
    }
}

/// Up to `limit` checkpoints behind a place, of a tenant or of all, up to a position.
pub(super) async fn between(
    database: &Database,
    tenant: Option<&str>,
    behind: &Cursor,
    until: Position,
    limit: usize,
) -> Result<Vec<Kept>, ReadError> {
    const OF_ALL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints \
          WHERE (position, tenant, tenant_sequence) > ($1, $4, $2) AND position <= $3 \
          ORDER BY position, tenant, tenant_sequence LIMIT $5"
    );
    const OF_ONE: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints \
          WHERE tenant = $4 AND (position, tenant_sequence) > ($1, $2) AND position <= $3 \
          ORDER BY position, tenant_sequence LIMIT $5"
    );
    let sql = if tenant.is_some() { OF_ONE } else { OF_ALL };
    let tenant = tenant.unwrap_or(&behind.tenant);
    let arguments = arguments![
        behind.position,
        behind.tenant_sequence,
        until.0,
        tenant,
        limit as u64,
    ];
    fetch(database, sql, arguments).await
}

/// Up to `limit` checkpoints that stand beyond the head of the lane, both seen at one moment.
pub(super) async fn beyond_head(
    database: &Database,
    tenant: Option<&str>,
    limit: usize,
) -> Result<Vec<Kept>, ReadError> {
    macro_rules! beyond {
        ($and:literal) => {
            concat!(
                "SELECT ",
                columns!(),
                " FROM event_checkpoints \
                  WHERE position > (SELECT head FROM event_lanes WHERE lane = $1)",
                $and,
                " ORDER BY position LIMIT $2"
            )
        };
    }
    let mut arguments = arguments![i64::from(LANE), limit as u64];
    let sql = match tenant {
        Some(tenant) => {
            arguments.push(tenant.into());
            beyond!(" AND tenant = $3")
        }
        None => beyond!(""),
    };
    fetch(database, sql, arguments).await
}

/// Up to `limit` checkpoints below a position, of a tenant or of all, the last one first.
pub(super) async fn newest(
    database: &Database,
    tenant: Option<&str>,
    before: Position,
    limit: usize,
) -> Result<Vec<Kept>, ReadError> {
    const OF_ALL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints WHERE position < $1 \
          ORDER BY position DESC, tenant DESC, tenant_sequence DESC LIMIT $2"
    );
    const OF_ONE: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints WHERE tenant = $3 AND position < $1 \
          ORDER BY position DESC, tenant_sequence DESC LIMIT $2"
    );
    let mut arguments = arguments![before.0, limit as u64];
    let Some(tenant) = tenant else {
        return fetch(database, OF_ALL, arguments).await;
    };
    arguments.extend(arguments![tenant]);
    fetch(database, OF_ONE, arguments).await
}

/// The checkpoint at a place of a tenant's chain.
pub(super) async fn at(
    database: &Database,
    tenant: &str,
    tenant_sequence: u64,
) -> Result<Option<Kept>, ReadError> {
    const READ: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints WHERE tenant = $1 AND tenant_sequence = $2"
    );
    let rows = fetch(database, READ, arguments![tenant, tenant_sequence]).await?;
    Ok(rows.into_iter().next())
}

/// The last checkpoint of a tenant.
pub(super) async fn latest(database: &Database, tenant: &str) -> Result<Option<Kept>, ReadError> {
    const READ: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM event_checkpoints WHERE tenant = $1 ORDER BY tenant_sequence DESC LIMIT 1"
    );
    let rows = fetch(database, READ, arguments![tenant]).await?;
    Ok(rows.into_iter().next())
}

async fn fetch(
    database: &Database,
    sql: &str,
    arguments: Vec<Argument>,
) -> Result<Vec<Kept>, ReadError> {
    let rows = database.fetch(sql, arguments).await.map_err(read_error)?;
    let rows: Result<_, _> = rows.iter().map(kept).collect();
    rows.map_err(read_error)
}

/// An event's place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) tenant: String,
    pub(super) position: Position,
    pub(super) end: ChainEnd,
}

fn link(row: &Row) -> Result<Link, sqlx::Error> {
    Ok(Link {
        tenant: row.text(0)?,
        position: Position(row.int(1)?.unsigned_abs()),
        end: ChainEnd {
            sequence: row.int(2)?.unsigned_abs(),
            hash: Hash::try_from(row.bytes(3)?.as_slice())
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
        },
    })
}

/// The event at a position, as far as it can be read.
pub(super) async fn link_at(
    database: &Database,
    position: Position,
) -> Result<Option<Link>, ReadError> {
    const READ: &str = "SELECT tenant, position, tenant_sequence, hash FROM events \
        WHERE lane = $1 AND position = $2";
    let rows = database
        .fetch(READ, arguments![i64::from(LANE), position.0])
        .await
        .map_err(read_error)?;
    Ok(rows.first().and_then(|row| link(row).ok()))
}

/// The last event of a tenant.
pub(super) async fn chain_end(
    database: &Database,
    tenant: &str,
) -> Result<Option<Link>, ReadError> {
    const READ: &str = "SELECT tenant, position, tenant_sequence, hash FROM events \
        WHERE tenant = $1 ORDER BY position DESC LIMIT 1";
    let rows = database.fetch(READ, arguments![tenant]).await;
    let rows = rows.map_err(read_error)?;
    rows.first().map(link).transpose().map_err(read_error)
}

/// Up to `limit` tenants behind a name, each with whether its chain ends where its last checkpoint
/// stands.
pub(super) async fn tenants(
    database: &Database,
    behind: &str,
    limit: usize,
) -> Result<Vec<(String, bool)>, ReadError> {
    // From one tenant to the next by the index, over all of its events.
    const READ: &str = "WITH RECURSIVE tenants (tenant, place) AS ( \
          SELECT (SELECT tenant FROM events WHERE tenant > $1 ORDER BY tenant LIMIT 1), \
            CAST(1 AS bigint) \
          UNION ALL \
          SELECT (SELECT events.tenant FROM events WHERE events.tenant > tenants.tenant \
              ORDER BY events.tenant LIMIT 1), place + 1 \
          FROM tenants WHERE tenants.tenant IS NOT NULL AND place < $2) \
        SELECT tenant, \
          (SELECT position FROM events WHERE events.tenant = tenants.tenant \
            ORDER BY position DESC LIMIT 1), \
          (SELECT hash FROM events WHERE events.tenant = tenants.tenant \
            ORDER BY position DESC LIMIT 1), \
          (SELECT position FROM event_checkpoints WHERE event_checkpoints.tenant = tenants.tenant \
            ORDER BY tenant_sequence DESC LIMIT 1), \
          (SELECT hash FROM event_checkpoints WHERE event_checkpoints.tenant = tenants.tenant \
            ORDER BY tenant_sequence DESC LIMIT 1) \
        FROM tenants WHERE tenant IS NOT NULL ORDER BY tenant";
    let rows = database
        .fetch(Sql::from(READ), arguments![behind, limit as u64])
        .await
        .map_err(read_error)?;
    let read = |row: &Row| {
        let signed_position = row.optional_int(3)?;
        let stands = signed_position == Some(row.int(1)?) && row.bytes(4)? == row.bytes(2)?;
        Ok((row.text(0)?, stands))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(read_error)
}
