//! Reading events back.

use crate::backend::{LANE, RawEvent, read_error};
use crate::chain::Hash;
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

const READ_ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3"
);

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
        Ok(self.page(after, limit).await?.0)
    }

    /// As [`read_all`](Self::read_all), with the size of the events: the bytes of their JSON.
    pub(crate) async fn page(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<(Vec<RecordedEvent>, usize), ReadError> {
        let arguments = arguments![i64::from(LANE), after.0, limit as u64];
        let rows = self.database.fetch(READ_ALL, arguments).await;
        let rows = rows.map_err(read_error)?;
        let mut bytes = 0;
        let events = rows.iter().map(|row| {
            let (event, size) = sized(row)?;
            bytes += size;
            Ok(event)
        });
        let events = events.collect::<Result<_, _>>()?;
        Ok((events, bytes))
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
    sized(row).map(|(event, _)| event)
}

/// Reads a row of [`columns!`], and the bytes of its JSON, which is read where it lies: a copy of each
/// text on the way would cost a replay a tenth of its speed.
fn sized(row: &Row) -> Result<(RecordedEvent, usize), ReadError> {
    let text = |column| row.text_here(column).map_err(read_error);
    let position = Position(row.int(1).map_err(read_error)?.unsigned_abs());
    let corrupt = |what: &str, error: &dyn std::fmt::Display| {
        let message = format!("{what}: {error}");
        ReadError::Corrupt { position, message }
    };
    let number = |what: &'static str, column| {
        let number = row.int(column).map_err(read_error)?;
        u64::try_from(number).map_err(|error| corrupt(what, &error))
    };
    let (data, metadata) = (text(9)?, text(10)?);
    let schema_version = number("schema_version", 7)?;
    let event = RecordedEvent {
        id: row.uuid(0).map_err(read_error)?,
        position,
        stream: StreamKey {
            tenant: text(2)?.to_owned(),
            stream_type: text(3)?.to_owned(),
            stream_id: text(4)?.to_owned(),
        },
        stream_version: number("stream_version", 5)?,
        event_type: text(6)?.to_owned(),
        schema_version: u32::try_from(schema_version)
            .map_err(|error| corrupt("schema_version", &error))?,
        data: serde_json::from_str(data).map_err(|error| corrupt("data", &error))?,
        metadata: serde_json::from_str(metadata).map_err(|error| corrupt("metadata", &error))?,
        recorded_at: row.time(8).map_err(read_error)?,
        tenant_sequence: number("tenant_sequence", 11)?,
        hash: Hash::try_from(row.bytes_here(12).map_err(read_error)?)
            .map_err(|error| corrupt("hash", &error))?,
    };
    Ok((event, data.len() + metadata.len()))
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
