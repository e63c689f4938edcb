//! What the database knows that a group is decided by, asked in one statement of one row: each row, and each
//! statement, wakes the task that waits for it and costs more than many look-ups.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use crate::backend::to_i64;
use crate::chain::{ChainEnd, Hash};
use crate::event::StreamKey;
use crate::memory::Memory;
use crate::plan::{self, Known, Stored};
use crate::request::Request;

/// The hash of the event at position `?1`; versions of the streams and ends of the chains of the tenants of JSON
/// lists, with their places in them; whether an id of a list is in use.
///
/// `CROSS JOIN` is an order to SQLite: first the tenants, then an event for each. With `JOIN` it
/// walks through all events and asks for each whether it is the last of a tenant.
const STATEMENT: &str = "\
    SELECT \
      (SELECT hash FROM events WHERE lane = 0 AND position = ?1), \
      (SELECT json_group_array(json_array(wanted.key, (SELECT stream_version FROM events \
          WHERE tenant = wanted.value ->> 0 AND stream_type = wanted.value ->> 1 \
            AND stream_id = wanted.value ->> 2 \
          ORDER BY stream_version DESC LIMIT 1))) \
        FROM json_each(?2) AS wanted), \
      (SELECT json_group_array(json_array(wanted.key, tenant_sequence, hex(hash))) \
        FROM json_each(?3) AS wanted CROSS JOIN events \
          ON events.lane = 0 AND events.position = ( \
            SELECT position FROM events WHERE tenant = wanted.value \
            ORDER BY position DESC LIMIT 1)), \
      EXISTS (SELECT 1 FROM events WHERE event_id IN (SELECT value FROM json_each(?4)))";

/// Those events of a JSON list of ids that are in use.
const KNOWN: &str = "\
    SELECT event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
      schema_version, data \
    FROM events WHERE event_id IN (SELECT value FROM json_each(?1))";

/// Finds out everything about a group that comes behind position `head`. What is remembered is not asked,
/// but for whether it is still true.
pub(super) async fn lookup(
    connection: &mut SqliteConnection,
    requests: &[Request],
    head: u64,
    memory: &mut Memory,
) -> Result<Known, sqlx::Error> {
    let streams = plan::streams(requests);
    if memory.is_of(head)
        && let Some(known) = ask(connection, requests, &streams, memory).await?
    {
        return Ok(known);
    }
    memory.forget();
    let known = ask(connection, requests, &streams, memory).await?;
    known.ok_or(sqlx::Error::RowNotFound)
}

/// None if what is remembered is not true any more.
async fn ask(
    connection: &mut SqliteConnection,
    requests: &[Request],
    streams: &[&StreamKey],
    memory: &Memory,
) -> Result<Option<Known>, sqlx::Error> {
    let mut known = Known::default();
    let mut new_streams = Vec::new();
    for &stream in streams {
        match memory.version(stream) {
            Some(version) => {
                known.versions.insert(stream.clone(), version);
            }
            None => new_streams.push(stream),
        }
    }
    let tenants: BTreeSet<&str> = streams.iter().map(|key| key.tenant.as_str()).collect();
    let mut new_tenants = Vec::new();
    for tenant in tenants {
        match memory.chain_end(tenant) {
            Some(end) => {
                known.chain_ends.insert(tenant.to_owned(), end);
            }
            None => new_tenants.push(tenant),
        }
    }
    let keys: Vec<[&str; 3]> = new_streams.iter().map(|key| parts(key)).collect();
    let ids: Vec<Uuid> = requests.iter().flat_map(Request::ids).collect();
    let ids = json(&ids)?;
    let row = sqlx::query(STATEMENT)
        .bind(memory.last().map(|last| to_i64(last.position)))
        .bind(json(&keys)?)
        .bind(json(&new_tenants)?)
        .bind(&ids)
        .fetch_one(&mut *connection)
        .await?;
    let hash: Option<&[u8]> = row.try_get(0)?;
    if memory
        .last()
        .is_some_and(|last| hash != Some(last.hash.0.as_slice()))
    {
        return Ok(None);
    }
    for (index, version) in list::<(usize, Option<u64>)>(&row, 1)? {
        if let (Some(&stream), Some(version)) = (new_streams.get(index), version) {
            known.versions.insert(stream.clone(), version);
        }
    }
    for LinkedTo(index, sequence, hash) in list(&row, 2)? {
        if let Some(&tenant) = new_tenants.get(index) {
            let end = ChainEnd { sequence, hash };
            known.chain_ends.insert(tenant.to_owned(), end);
        }
    }
    if row.try_get(3)? {
        let rows = sqlx::query(KNOWN).bind(ids).fetch_all(connection).await?;
        known.events = rows.iter().map(stored).collect::<Result<_, _>>()?;
    }
    Ok(Some(known))
}

/// Place of a tenant in the list, number and hash of its last event.
#[derive(Deserialize)]
struct LinkedTo(usize, u64, Hash);

fn parts(key: &StreamKey) -> [&str; 3] {
    [&key.tenant, &key.stream_type, &key.stream_id]
}

fn list<T: DeserializeOwned>(row: &SqliteRow, column: usize) -> Result<Vec<T>, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn stored(row: &SqliteRow) -> Result<(Uuid, Stored), sqlx::Error> {
    let id = Uuid::parse_str(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let stored = Stored {
        position: row.try_get::<i64, _>(1)?.unsigned_abs(),
        stream: StreamKey {
            tenant: row.try_get(2)?,
            stream_type: row.try_get(3)?,
            stream_id: row.try_get(4)?,
        },
        stream_version: row.try_get::<i64, _>(5)?.unsigned_abs(),
        event_type: row.try_get(6)?,
        schema_version: row.try_get(7)?,
        data: row.try_get(8)?,
    };
    Ok((id, stored))
}

fn json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePool;
    use sqlx::{AssertSqlSafe, Row};

    use super::{KNOWN, STATEMENT};
    use crate::sqlite::migrator;

    /// How the database goes about a statement, on a table that is empty and was never analysed.
    async fn plan(statement: &str) -> Vec<String> {
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        migrator().run(&pool).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain).bind("[]").fetch_all(&pool).await;
        rows.unwrap().iter().map(|row| row.get(3)).collect()
    }

    #[tokio::test]
    async fn versions_ids_and_chains_are_looked_up_in_an_index() {
        for (statement, searches) in [(STATEMENT, 5), (KNOWN, 1)] {
            let steps = plan(statement).await;
            let is_search = |step: &&String| step.starts_with("SEARCH events USING");
            let found = steps.iter().filter(is_search).count();
            assert_eq!(found, searches, "{steps:?}");
            // A whole table, or a whole lane.
            let walks = |step: &String| step.contains("SCAN events") || step.ends_with("(lane=?)");
            assert!(!steps.iter().any(walks), "{steps:?}");
        }
    }
}
