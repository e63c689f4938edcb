//! The reading half.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use crate::backend::{LANE, RawEvent, Reader, read_error, to_i64};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey};

pub(super) struct PostgresReader {
    pub(super) pool: PgPool,
}

#[async_trait]
impl Reader for PostgresReader {
    async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let rows = sqlx::query(
            "SELECT event_id, position, tenant, stream_type, stream_id, stream_version, \
                    event_type, schema_version, recorded_at, data::text, metadata::text \
             FROM events \
             WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 AND stream_version > $4 \
             ORDER BY stream_version LIMIT $5",
        )
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(to_i64(after_version))
        .bind(to_i64(limit as u64))
        .fetch_all(&self.pool)
        .await
        .map_err(read_error)?;
        rows.iter().map(recorded).collect()
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let rows = sqlx::query(
            "SELECT event_id, position, tenant, stream_type, stream_id, stream_version, \
                    event_type, schema_version, recorded_at, data::text, metadata::text \
             FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3",
        )
        .bind(LANE)
        .bind(to_i64(after.0))
        .bind(to_i64(limit as u64))
        .fetch_all(&self.pool)
        .await
        .map_err(read_error)?;
        rows.iter().map(recorded).collect()
    }

    async fn head(&self) -> Result<Position, ReadError> {
        let head: i64 = sqlx::query_scalar("SELECT head FROM event_lanes WHERE lane = $1")
            .bind(LANE)
            .fetch_one(&self.pool)
            .await
            .map_err(read_error)?;
        Ok(Position(head.unsigned_abs()))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn recorded(row: &PgRow) -> Result<RecordedEvent, ReadError> {
    raw(row).map_err(read_error)?.into_recorded()
}

fn raw(row: &PgRow) -> Result<RawEvent, sqlx::Error> {
    Ok(RawEvent {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        stream: StreamKey {
            tenant: row.try_get(2)?,
            stream_type: row.try_get(3)?,
            stream_id: row.try_get(4)?,
        },
        stream_version: row.try_get(5)?,
        event_type: row.try_get(6)?,
        schema_version: row.try_get(7)?,
        recorded_at: row.try_get(8)?,
        data: row.try_get(9)?,
        metadata: row.try_get(10)?,
    })
}
