//! The writing half: one transaction per group.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{CommitFailure, Committed, LANE, Writer, to_i64};
use crate::chain::{self, ChainEnd, chain_ends, microseconds};
use crate::database::{Database, Session, from_microseconds};
use crate::event::StreamKey;
use crate::plan::{self, Plan, Row, Stored, plan};
use crate::projection::{Inline, InlineFailure};
use crate::request::Request;
use crate::snapshot;

/// SQLite's result codes (sqlite.org/rescode.html), extended ones reduced to their low byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;

/// Versions of the streams of a JSON list, with their places in it; one row, for each row wakes the task
/// that waits for it.
const VERSIONS: &str = "\
    SELECT json_group_array(json_array(wanted.key, (SELECT stream_version FROM events \
      WHERE tenant = wanted.value ->> 0 AND stream_type = wanted.value ->> 1 \
        AND stream_id = wanted.value ->> 2 \
      ORDER BY stream_version DESC LIMIT 1))) \
    FROM json_each(?1) AS wanted";

/// Those events of a JSON list of ids that are in use.
const KNOWN: &str = "\
    SELECT event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
      schema_version, data \
    FROM events WHERE event_id IN (SELECT value FROM json_each(?1))";

pub(super) struct SqliteWriter {
    pub(super) database: Database,
    pub(super) inline: Inline,
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(
        &mut self,
        requests: &[Request],
        now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        let mut transaction = self.database.begin().await.map_err(failure)?;
        let Some(connection) = transaction.sqlite() else {
            let message = "not a connection to SQLite".into();
            return Err(CommitFailure::Unavailable { message });
        };
        let plan = store(connection, &self.inline, requests, now)
            .await
            .map_err(|error| match error {
                InlineFailure::Database(error) => failure(error),
                InlineFailure::Refused { message } => CommitFailure::Refused { message },
            })?;
        if plan.rows.is_empty() {
            transaction.rollback().await.map_err(failure)?;
            return Ok(Committed::from_plan(plan));
        }
        transaction
            .commit()
            .await
            .map_err(|error| CommitFailure::Unknown {
                message: error.to_string(),
            })?;
        Ok(Committed::from_plan(plan))
    }

    async fn close(&mut self) {}
}

/// Decides the requests and writes what is to be stored; nothing if no request is.
async fn store<'a>(
    connection: &mut SqliteConnection,
    inline: &Inline,
    requests: &'a [Request],
    now: OffsetDateTime,
) -> Result<Plan<'a>, InlineFailure> {
    let offered = requests.iter().map(|request| request.events).sum::<usize>() as u64;
    let (head, recorded_at) = take_lane(connection, offered, now).await?;
    let versions = versions(connection, requests).await?;
    let known = known(connection, requests).await?;
    let plan = plan(head, &versions, &known, requests);
    let Some(last) = plan.rows.last() else {
        return Ok(plan);
    };
    if last.position != head + offered {
        set_head(connection, last.position).await?;
    }
    let mut session = Session::Sqlite(connection);
    let ends = chain_ends(&mut session, &plan.rows).await?;
    let links = chain::link(&plan.rows, ends, recorded_at);
    for snapshot in plan.snapshots(requests) {
        snapshot::save(&mut session, snapshot).await?;
    }
    insert(connection, &plan.rows, &links, recorded_at).await?;
    let mut session = Session::Sqlite(connection);
    inline
        .apply(&mut session, head, &plan.rows, &links, recorded_at)
        .await?;
    Ok(plan)
}

/// Takes the lane and `offered` positions: the first statement of the transaction. Gives the
/// position before them, and the time to record.
async fn take_lane(
    connection: &mut SqliteConnection,
    offered: u64,
    now: OffsetDateTime,
) -> Result<(u64, OffsetDateTime), sqlx::Error> {
    let row = sqlx::query(
        "UPDATE event_lanes SET head = head + ?2, recorded_at = max(recorded_at, ?3) \
         WHERE lane = ?1 RETURNING head - ?2, recorded_at",
    )
    .bind(LANE)
    .bind(to_i64(offered))
    .bind(microseconds(now))
    .fetch_one(connection)
    .await?;
    let head: i64 = row.try_get(0)?;
    Ok((head.unsigned_abs(), from_microseconds(row.try_get(1)?)?))
}

/// Gives back the positions that refused requests do not need.
async fn set_head(connection: &mut SqliteConnection, head: u64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_lanes SET head = ?2 WHERE lane = ?1")
        .bind(LANE)
        .bind(to_i64(head))
        .execute(connection)
        .await?;
    Ok(())
}

async fn versions(
    connection: &mut SqliteConnection,
    requests: &[Request],
) -> Result<HashMap<StreamKey, u64>, sqlx::Error> {
    let streams = plan::streams(requests);
    let keys: Vec<[&str; 3]> = streams
        .iter()
        .map(|key| {
            [
                key.tenant.as_str(),
                key.stream_type.as_str(),
                key.stream_id.as_str(),
            ]
        })
        .collect();
    let row = sqlx::query(VERSIONS)
        .bind(json(&keys)?)
        .fetch_one(connection)
        .await?;
    let found: Vec<(usize, Option<u64>)> =
        serde_json::from_str(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let found = found.into_iter().filter_map(|(index, version)| {
        let stream = streams.get(index)?;
        Some(((*stream).clone(), version?))
    });
    Ok(found.collect())
}

async fn known(
    connection: &mut SqliteConnection,
    requests: &[Request],
) -> Result<HashMap<Uuid, Stored>, sqlx::Error> {
    let ids: Vec<Uuid> = requests.iter().flat_map(Request::ids).collect();
    let rows = sqlx::query(KNOWN)
        .bind(json(&ids)?)
        .fetch_all(connection)
        .await?;
    rows.iter().map(stored).collect()
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

/// Stores the rows, as many as possible with each statement. Their numbers are powers of two, so that there
/// are few statements, and each is prepared once.
///
/// One statement over a JSON list, for any number, reads each list entry again for each of its columns.
async fn insert(
    connection: &mut SqliteConnection,
    rows: &[Row<'_>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let (mut rows, mut links) = (rows, links);
    while !rows.is_empty() {
        let count = (1 << rows.len().ilog2()).min(MOST_ROWS);
        let (now, later) = rows.split_at(count);
        let (now_linked, later_linked) = links.split_at(count);
        let mut query = sqlx::query(AssertSqlSafe(insertion(count)))
            .bind(LANE)
            .bind(microseconds(recorded_at));
        for (row, link) in now.iter().zip(now_linked) {
            query = query
                .bind(to_i64(row.position))
                .bind(row.event.id.hyphenated().to_string())
                .bind(&row.stream.tenant)
                .bind(&row.stream.stream_type)
                .bind(&row.stream.stream_id)
                .bind(to_i64(row.stream_version))
                .bind(&row.event.event_type)
                .bind(row.event.schema_version)
                .bind(&row.event.data)
                .bind(&row.event.metadata)
                .bind(to_i64(link.sequence))
                .bind(link.hash.0.as_slice());
        }
        query.execute(&mut *connection).await?;
        (rows, links) = (later, later_linked);
    }
    Ok(())
}

/// Most rows of a statement, a power of two. Each parameter is searched for among those of its statement, so
/// that twice as many cost four times as much.
const MOST_ROWS: usize = 16;

/// Columns that differ from row to row.
const ROW_COLUMNS: usize = 12;

/// The statement that stores so many rows.
fn insertion(rows: usize) -> String {
    let mut statement = "INSERT INTO events (lane, recorded_at, position, event_id, tenant, \
        stream_type, stream_id, stream_version, event_type, schema_version, data, metadata, \
        tenant_sequence, hash) VALUES "
        .to_owned();
    for row in 0..rows {
        statement.push_str(if row == 0 { "(?1, ?2" } else { ", (?1, ?2" });
        for column in 0..ROW_COLUMNS {
            statement.push_str(&format!(", ?{}", 3 + row * ROW_COLUMNS + column));
        }
        statement.push(')');
    }
    statement
}

fn json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Maps a failure before the commit; the transaction is rolled back when it is dropped.
fn failure(error: sqlx::Error) -> CommitFailure {
    let message = error.to_string();
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<i32>().ok())
        .map(|code| code & 0xff);
    match code {
        // Another process writes all the time, and SQLite keeps no queue.
        Some(SQLITE_BUSY) => CommitFailure::Interrupted { message },
        Some(SQLITE_TOOBIG | SQLITE_CONSTRAINT) => CommitFailure::Refused { message },
        _ => CommitFailure::Unavailable { message },
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePool;
    use sqlx::{AssertSqlSafe, Row};

    use super::{KNOWN, VERSIONS};
    use crate::chain::ENDS_ON_SQLITE;
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
        for statement in [VERSIONS, KNOWN, ENDS_ON_SQLITE] {
            let steps = plan(statement).await;
            let searches = |step: &String| step.starts_with("SEARCH events USING");
            assert!(steps.iter().any(searches), "{steps:?}");
            // A whole table, or a whole lane.
            let walks = |step: &String| step.contains("SCAN events") || step.ends_with("(lane=?)");
            assert!(!steps.iter().any(walks), "{steps:?}");
        }
    }
}
