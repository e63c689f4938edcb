//! Reading events back.

use std::sync::Arc;

use uuid::Uuid;

use crate::backend::{LANE, RawEvent, read_error};
use crate::database::{Argument, Database, Enough, Row, Rows, Session, Sql, arguments};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey, StreamPage};
use crate::replica::{Reads, Replica};

/// What is read of an event, in the order that [`raw`] expects. Both databases read it.
macro_rules! columns {
    () => {
        "event_id, position, tenant, stream_type, stream_id, stream_version, event_type, \
         schema_version, recorded_at, data, metadata, tenant_sequence, hash"
    };
}
pub(crate) use columns;

/// JSON on a page, before it ends with the event at hand.
pub(crate) const PAGE_BYTES: usize = 8 * 1024 * 1024;

const READ_ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3"
);

/// Where a read goes: a connection of the pool for each statement, or one that is in hand.
#[derive(Debug)]
pub(crate) enum Source<'s> {
    Database(&'s Database),
    Session(Session<'s>),
}

impl Source<'_> {
    pub(crate) async fn fetch(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Row>, ReadError> {
        let rows = match self {
            Self::Database(database) => database.fetch(sql, arguments).await,
            Self::Session(session) => session.fetch(sql, arguments).await,
        };
        rows.map_err(read_error)
    }

    /// As [`fetch`](Self::fetch), of [`columns!`] and up to the event with which there are so many
    /// bytes of JSON.
    pub(crate) async fn fetch_within(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
        bytes: usize,
    ) -> Result<Rows, ReadError> {
        let enough = Some(enough(bytes));
        let rows = match self {
            Self::Database(database) => database.fetch_within(sql, arguments, enough).await,
            Self::Session(session) => session.fetch_within(sql, arguments, enough).await,
        };
        rows.map_err(read_error)
    }

    /// No more than [`PAGE_BYTES`] of events, and whether they were cut short by it.
    async fn events(
        &mut self,
        sql: &str,
        arguments: Vec<Argument>,
    ) -> Result<(Vec<RecordedEvent>, bool), ReadError> {
        let rows = self.fetch_within(sql, arguments, PAGE_BYTES).await?;
        let events = rows.rows.iter().map(recorded);
        Ok((events.collect::<Result<_, _>>()?, rows.is_cut))
    }
}

/// Position of the last event.
pub(crate) async fn head(source: &mut Source<'_>) -> Result<Position, ReadError> {
    const READ: &str = "SELECT head FROM event_lanes WHERE lane = $1";
    let rows = source.fetch(READ, arguments![i64::from(LANE)]).await?;
    let row = rows
        .first()
        .ok_or_else(|| read_error(sqlx::Error::RowNotFound))?;
    Ok(Position(row.int(0).map_err(read_error)?.unsigned_abs()))
}

/// See [`EventStore::stream_page`](crate::EventStore::stream_page).
pub(crate) async fn stream_page(
    stream: &StreamKey,
    after_version: u64,
    limit: usize,
    source: &mut Source<'_>,
) -> Result<StreamPage, ReadError> {
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
        let events = Vec::new();
        return Ok(StreamPage { events, end: true });
    }
    let arguments = arguments![
        stream.tenant.as_str(),
        stream.stream_type.as_str(),
        stream.stream_id.as_str(),
        after_version,
        limit as u64,
    ];
    let (events, is_cut) = source.events(READ, arguments).await?;
    let end = !is_cut && events.len() < limit;
    Ok(StreamPage { events, end })
}

/// See [`EventStore::read_all`](crate::EventStore::read_all).
pub(crate) async fn read_all(
    after: Position,
    limit: usize,
    source: &mut Source<'_>,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let arguments = arguments![i64::from(LANE), after.0, limit as u64];
    let (events, _) = source.events(READ_ALL, arguments).await?;
    Ok(events)
}

/// The reading side; shared by everybody. It reads from the primary.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    database: Database,
    replica: Option<Arc<Replica>>,
    reads: Arc<Reads>,
}

impl Reader {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            replica: None,
            reads: Arc::default(),
        }
    }

    /// The same, with a replica for those who ask for it.
    pub(crate) fn with_replica(self, replica: Arc<Replica>) -> Self {
        Self {
            replica: Some(replica),
            ..self
        }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    /// Counts of what was read where.
    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Database(&self.database)
    }

    pub(crate) async fn stream_page(
        &self,
        stream: &StreamKey,
        after_version: u64,
        limit: usize,
    ) -> Result<StreamPage, ReadError> {
        stream_page(stream, after_version, limit, &mut self.source()).await
    }

    pub(crate) async fn read_all(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read_all(after, limit, &mut self.source()).await
    }

    /// As [`read_all`](Self::read_all), but unread, for what arrives is not to be held up by what it
    /// means.
    pub(crate) async fn page(&self, after: Position, limit: usize) -> Result<Rows, ReadError> {
        let arguments = arguments![i64::from(LANE), after.0, limit as u64];
        let mut source = self.source();
        source.fetch_within(READ_ALL, arguments, PAGE_BYTES).await
    }

    pub(crate) async fn head(&self) -> Result<Position, ReadError> {
        head(&mut self.source()).await
    }

    /// Gives all connections back.
    pub(crate) async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
        self.database.close().await;
    }
}

/// Reads a row of [`columns!`].
pub(crate) fn recorded(row: &Row) -> Result<RecordedEvent, ReadError> {
    let raw = raw_here(row).map_err(|error| unreadable(row, error))?;
    raw.into_recorded()
}

/// Rows of [`columns!`] are enough when their JSON has so many bytes.
pub(crate) fn enough(bytes: usize) -> Enough {
    Enough {
        bytes,
        size: json_bytes,
    }
}

/// What a row of [`columns!`] that cannot be read is, with its position if that can be.
fn unreadable(row: &Row, error: sqlx::Error) -> ReadError {
    match (read_error(error), row.int(1)) {
        (ReadError::Corrupt { message, .. }, Ok(position)) => ReadError::Corrupt {
            position: Position(position.unsigned_abs()),
            message,
        },
        (error, _) => error,
    }
}

/// Id and position of the event in a row of [`columns!`].
pub(crate) fn name(row: &Row) -> Result<(Uuid, Position), sqlx::Error> {
    Ok((row.uuid(0)?, position(row)?))
}

/// Position of the event in a row of [`columns!`].
pub(crate) fn position(row: &Row) -> Result<Position, sqlx::Error> {
    Ok(Position(row.int(1)?.unsigned_abs()))
}

/// Bytes of the JSON in a row of [`columns!`].
fn json_bytes(row: &Row) -> usize {
    row.size(9) + row.size(10)
}

/// Reads a row of [`columns!`], its JSON as text.
pub(crate) fn raw(row: &Row) -> Result<RawEvent, sqlx::Error> {
    let event = raw_here(row)?;
    Ok(RawEvent {
        data: event.data.to_owned(),
        metadata: event.metadata.to_owned(),
        hash: event.hash.to_owned(),
        id: event.id,
        position: event.position,
        stream: event.stream,
        stream_version: event.stream_version,
        event_type: event.event_type,
        schema_version: event.schema_version,
        recorded_at: event.recorded_at,
        tenant_sequence: event.tenant_sequence,
    })
}

/// As [`raw`], but what is read once is not copied before.
pub(crate) fn raw_here(row: &Row) -> Result<RawEvent<&str, &[u8]>, sqlx::Error> {
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
        data: row.json_here(9)?,
        metadata: row.json_here(10)?,
        tenant_sequence: row.int(11)?,
        hash: row.bytes_here(12)?,
    })
}
