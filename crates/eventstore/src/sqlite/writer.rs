//! The writing half: one transaction per group.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{Row as _, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{CommitFailure, Committed, LANE, Writer, to_i64};
use crate::event::StreamKey;
use crate::plan::{self, Row, Stored, plan};
use crate::request::Request;

const BEGIN: &str = "BEGIN IMMEDIATE";

/// SQLite's result codes (sqlite.org/rescode.html), extended ones reduced to their low byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;

pub(super) struct SqliteWriter {
    /// Of one connection; in memory the readers share it.
    pub(super) pool: SqlitePool,
    pub(super) in_memory: bool,
}

impl SqliteWriter {
    /// Begins a transaction, whatever became of the one before.
    ///
    /// SQLite ends a transaction by itself when the disk is full or fails
    /// (<https://www.sqlite.org/lang_transaction.html>, section 3). The rollback after that finds none
    /// and fails, and sqlx counts one as open for as long as the connection lives.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        match self.pool.begin_with(BEGIN).await {
            // With its connection, a database in memory would be gone.
            Err(sqlx::Error::InvalidSavePointStatement) if !self.in_memory => {
                self.pool.acquire().await?.close().await?;
                self.pool.begin_with(BEGIN).await
            }
            begun => begun,
        }
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(
        &mut self,
        requests: &[Request],
        now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        let mut transaction = self.begin().await.map_err(failure)?;
        let offered = requests.iter().map(|request| request.events).sum::<usize>() as u64;
        let (head, recorded_at) = take_lane(&mut transaction, offered, now)
            .await
            .map_err(failure)?;
        let versions = versions(&mut transaction, requests)
            .await
            .map_err(failure)?;
        let known = known(&mut transaction, requests).await.map_err(failure)?;
        let plan = plan(head, &versions, &known, requests);
        let Some(last) = plan.rows.last() else {
            transaction.rollback().await.map_err(failure)?;
            return Ok(Committed::from_plan(plan));
        };
        if last.position != head + offered {
            set_head(&mut transaction, last.position)
                .await
                .map_err(failure)?;
        }
        insert(&mut transaction, &plan.rows, recorded_at)
            .await
            .map_err(failure)?;
        transaction
            .commit()
            .await
            .map_err(|error| CommitFailure::Unknown {
                message: error.to_string(),
            })?;
        Ok(Committed::from_plan(plan))
    }

    async fn close(&mut self) {
        self.pool.close().await;
    }
}

/// Takes the lane and `offered` positions: the first statement of the transaction. Gives the
/// position before them, and the time to record.
async fn take_lane(
    transaction: &mut Transaction<'_, Sqlite>,
    offered: u64,
    now: OffsetDateTime,
) -> Result<(u64, i64), sqlx::Error> {
    let now = i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "UPDATE event_lanes SET head = head + ?2, recorded_at = max(recorded_at, ?3) \
         WHERE lane = ?1 RETURNING head - ?2, recorded_at",
    )
    .bind(LANE)
    .bind(to_i64(offered))
    .bind(now)
    .fetch_one(&mut **transaction)
    .await?;
    let head: i64 = row.try_get(0)?;
    Ok((head.unsigned_abs(), row.try_get(1)?))
}

/// Gives back the positions that refused requests do not need.
async fn set_head(transaction: &mut Transaction<'_, Sqlite>, head: u64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_lanes SET head = ?2 WHERE lane = ?1")
        .bind(LANE)
        .bind(to_i64(head))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn versions(
    transaction: &mut Transaction<'_, Sqlite>,
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
    let rows = sqlx::query(
        "SELECT wanted.key, (SELECT stream_version FROM events \
           WHERE tenant = wanted.value ->> 0 AND stream_type = wanted.value ->> 1 \
             AND stream_id = wanted.value ->> 2 \
           ORDER BY stream_version DESC LIMIT 1) AS stream_version \
         FROM json_each(?1) AS wanted WHERE stream_version IS NOT NULL",
    )
    .bind(json(&keys)?)
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let (index, version): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok((
                streams[index.unsigned_abs() as usize].clone(),
                version.unsigned_abs(),
            ))
        })
        .collect()
}

async fn known(
    transaction: &mut Transaction<'_, Sqlite>,
    requests: &[Request],
) -> Result<HashMap<Uuid, Stored>, sqlx::Error> {
    let ids: Vec<Uuid> = requests.iter().flat_map(Request::ids).collect();
    let rows = sqlx::query(
        "SELECT event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
                schema_version, data \
         FROM events WHERE event_id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&ids)?)
    .fetch_all(&mut **transaction)
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

/// All rows in one statement, which is the same for any number of them.
async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[Row<'_>],
    recorded_at: i64,
) -> Result<(), sqlx::Error> {
    let values: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.position,
                row.event.id,
                &row.stream.tenant,
                &row.stream.stream_type,
                &row.stream.stream_id,
                row.stream_version,
                &row.event.event_type,
                row.event.schema_version,
                &row.event.data,
                &row.event.metadata,
            )
        })
        .collect();
    sqlx::query(
        "INSERT INTO events (lane, recorded_at, position, event_id, tenant, stream_type, \
           stream_id, stream_version, event_type, schema_version, data, metadata) \
         SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
           value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 \
         FROM json_each(?3)",
    )
    .bind(LANE)
    .bind(recorded_at)
    .bind(json(&values)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
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
