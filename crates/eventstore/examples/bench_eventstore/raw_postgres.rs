//! What one would write without a store: a transaction per append, with the same table and the same
//! promises to readers. It links no hash chain, which is less work than ours has.

use async_trait::async_trait;
use eventstore::{NewEvent, StreamKey};
use sqlx::{PgPool, Row};
use time::OffsetDateTime;

use crate::callers::Appender;
use crate::report::Outcome;

pub(crate) struct RawPostgres {
    pool: PgPool,
    at_once: bool,
}

impl RawPostgres {
    /// Takes the lane, checks version and id, inserts and notifies, commits.
    pub(crate) fn step_by_step(pool: PgPool) -> Self {
        let at_once = false;
        Self { pool, at_once }
    }

    /// Everything in one statement, so in one trip. What it checks less: that the stream has the events
    /// before; and a repetition is a failure, not an answer.
    pub(crate) fn at_once(pool: PgPool) -> Self {
        let at_once = true;
        Self { pool, at_once }
    }

    async fn append_step_by_step(
        &self,
        stream: &StreamKey,
        version: u64,
        event: NewEvent,
    ) -> Outcome<()> {
        let data = serde_json::to_string(&event.data)?;
        let metadata = serde_json::to_string(&event.metadata)?;
        let mut transaction = self.pool.begin().await?;
        let lane = sqlx::query(
            "UPDATE event_lanes SET head = head + 1, recorded_at = greatest(recorded_at, $1) \
             WHERE lane = 0 RETURNING head, recorded_at",
        )
        .bind(OffsetDateTime::now_utc())
        .fetch_one(&mut *transaction)
        .await?;
        let (head, recorded_at): (i64, OffsetDateTime) = (lane.try_get(0)?, lane.try_get(1)?);
        let found = sqlx::query(
            "SELECT (SELECT stream_version FROM events \
                WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 \
                ORDER BY stream_version DESC LIMIT 1), \
              EXISTS (SELECT FROM events WHERE event_id = $4)",
        )
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(event.id)
        .fetch_one(&mut *transaction)
        .await?;
        let actual: Option<i64> = found.try_get(0)?;
        let known: bool = found.try_get(1)?;
        if actual.unwrap_or(0) != version as i64 || known {
            return Err("the stream moved, or the id is in use".into());
        }
        sqlx::query(
            "WITH stored AS ( \
               INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, \
                 stream_version, event_type, schema_version, recorded_at, data, metadata, \
                 tenant_sequence, hash) \
               VALUES (0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json, $11::json, $1, $12)) \
             SELECT pg_notify('bench', $13)",
        )
        .bind(head)
        .bind(event.id)
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(version as i64 + 1)
        .bind(&event.event_type)
        .bind(i64::from(event.schema_version))
        .bind(recorded_at)
        .bind(data)
        .bind(metadata)
        .bind([0_u8; 32].as_slice())
        .bind(head.to_string())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn append_at_once(
        &self,
        stream: &StreamKey,
        version: u64,
        event: NewEvent,
    ) -> Outcome<()> {
        sqlx::query(
            "WITH taken AS ( \
               UPDATE event_lanes SET head = head + 1, recorded_at = greatest(recorded_at, $8) \
               WHERE lane = 0 RETURNING head, recorded_at), \
             stored AS ( \
               INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, \
                 stream_version, event_type, schema_version, recorded_at, data, metadata, \
                 tenant_sequence, hash) \
               SELECT 0, head, $1, $2, $3, $4, $5, $6, $7, recorded_at, $9::json, $10::json, \
                 head, $11 FROM taken) \
             SELECT pg_notify('bench', head::text) FROM taken",
        )
        .bind(event.id)
        .bind(&stream.tenant)
        .bind(&stream.stream_type)
        .bind(&stream.stream_id)
        .bind(version as i64 + 1)
        .bind(&event.event_type)
        .bind(i64::from(event.schema_version))
        .bind(OffsetDateTime::now_utc())
        .bind(serde_json::to_string(&event.data)?)
        .bind(serde_json::to_string(&event.metadata)?)
        .bind([0_u8; 32].as_slice())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Appender for RawPostgres {
    async fn append(&self, stream: &StreamKey, version: u64, event: NewEvent) -> Outcome<()> {
        if self.at_once {
            self.append_at_once(stream, version, event).await
        } else {
            self.append_step_by_step(stream, version, event).await
        }
    }
}
