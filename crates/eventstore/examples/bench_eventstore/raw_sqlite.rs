//! A transaction per append on SQLite: one connection that writes, as the database wants it, and the
//! same durability.

use std::path::Path;

use async_trait::async_trait;
use eventstore::{NewEvent, StreamKey};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};
use time::OffsetDateTime;

use crate::callers::Appender;
use crate::report::Outcome;

pub(crate) struct RawSqlite(SqlitePool);

impl RawSqlite {
    pub(crate) async fn open(file: &Path) -> Outcome<Self> {
        let connect = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // As ours: what is compared is not how SQLite is set up.
            .pragma("wal_autocheckpoint", "8000")
            .pragma("cache_size", "-32768")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_with(connect);
        Ok(Self(pool.await?))
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Appender for RawSqlite {
    async fn append(&self, stream: &StreamKey, version: u64, event: NewEvent) -> Outcome<()> {
        let data = serde_json::to_string(&event.data)?;
        let metadata = serde_json::to_string(&event.metadata)?;
        let id = event.id.to_string();
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
        let lane = sqlx::query(
            "UPDATE event_lanes SET head = head + 1, recorded_at = max(recorded_at, ?1) \
             WHERE lane = 0 RETURNING head, recorded_at",
        )
        .bind(i64::try_from(now)?)
        .fetch_one(&mut *transaction)
        .await?;
        let (head, recorded_at): (i64, i64) = (lane.try_get(0)?, lane.try_get(1)?);
        let found = sqlx::query(
            "SELECT (SELECT stream_version FROM events \
                WHERE tenant = ?1 AND stream_type = ?2 AND stream_id = ?3 \
                ORDER BY stream_version DESC LIMIT 1), \
              EXISTS (SELECT 1 FROM events WHERE event_id = ?4)",
        )
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(&id)
        .fetch_one(&mut *transaction)
        .await?;
        let actual: Option<i64> = found.try_get(0)?;
        let known: bool = found.try_get(1)?;
        if actual.unwrap_or(0) != version as i64 || known {
            return Err("the stream moved, or the id is in use".into());
        }
        sqlx::query(
            "INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, \
               stream_version, event_type, schema_version, recorded_at, data, metadata, \
               tenant_sequence, hash, correlation_id) \
             VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?1, ?12, ?13)",
        )
        .bind(head)
        .bind(&id)
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(version as i64 + 1)
        .bind(&event.event_type)
        .bind(i64::from(event.schema_version))
        .bind(recorded_at)
        .bind(&data)
        .bind(&metadata)
        .bind([0_u8; 32].as_slice())
        .bind(event.metadata.correlation_id.map(|id| id.to_string()))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}
