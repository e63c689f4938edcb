//! Reading events back.

use crate::backend::{LANE, RawEvent, read_error};
use crate::database::{Argument, Database, Row, arguments};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey};

/// What is read of an event, in the order that [`raw`] expects. Both databases read it.
macro_rules! columns {
    () => {
        "event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
         schema_version, recorded_at, CAST(data AS text), CAST(metadata AS text), \
         tenant_sequence, hash"
    };
}
pub(crate) use columns;

/// The reading side; shared by everybody.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    database: Database,
}

impl Reader {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) async fn read_stream(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        const READ: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM events \
              WHERE tenant = $1 AND stream_type = $2 AND stream_id = $3 AND stream_version > $4 \
              ORDER BY stream_version LIMIT $5"
        );
        // PostgreSQL refuses to be asked for what it cannot store.
        let parts = [&stream.tenant, &stream.stream_type, &stream.stream_id];
        if parts.into_iter().any(|part| part.contains('\0')) {
            return Ok(Vec::new());
        }
        let arguments = arguments![
            stream.tenant.as_str(),
            stream.stream_type.as_str(),
            stream.stream_id.as_str(),
            after_version,
            limit as u64,
        ];
        self.read(READ, arguments).await
    }

    pub(crate) async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        const READ: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3"
        );
        let arguments = arguments![i64::from(LANE), after.0, limit as u64];
        self.read(READ, arguments).await
    }

    pub(crate) async fn head(&self) -> Result<Position, ReadError> {
        let rows = self
            .database
            .fetch(
                "SELECT head FROM event_lanes WHERE lane = $1",
                arguments![i64::from(LANE)],
            )
            .await
            .map_err(read_error)?;
        let row = rows
            .first()
            .ok_or_else(|| read_error(sqlx::Error::RowNotFound))?;
        Ok(Position(row.int(0).map_err(read_error)?.unsigned_abs()))
    }

    pub(crate) async fn read(
        &self,
        sql: &str,
        arguments: Vec<Argument>,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let rows = self.database.fetch(sql, arguments).await;
        let rows = rows.map_err(read_error)?;
        rows.iter().map(recorded).collect()
    }
}

/// Reads a row of [`columns!`].
pub(crate) fn recorded(row: &Row) -> Result<RecordedEvent, ReadError> {
    raw(row).map_err(read_error)?.into_recorded()
}

/// Reads a row of [`columns!`], its JSON as text.
pub(crate) fn raw(row: &Row) -> Result<RawEvent, sqlx::Error> {
    Ok(RawEvent {
        id: row.uuid(0)?,
        position: row.int(1)?,
        stream: StreamKey {
            tenant: row.text(2)?,
            stream_type: row.text(3)?,
            stream_id: row.text(4)?,
        },
        stream_version: row.int(5)?,
        event_type: row.text(6)?,
        schema_version: row.int(7)?,
        recorded_at: row.time(8)?,
        data: row.text(9)?,
        metadata: row.text(10)?,
        tenant_sequence: row.int(11)?,
        hash: row.bytes(12)?,
    })
}
