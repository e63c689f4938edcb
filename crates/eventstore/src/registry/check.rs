//! Whether a registry can read what is in a store: asked when a program starts, so that it refuses then
//! and not in the middle of the night.
//!
//! The types and versions that exist are kept in a table, together with the position up to which it is
//! complete. So the first check reads every event once (three columns of it, page by page), and every
//! later one only what came since.

use serde::Serialize;

use super::{EventPlace, Obstacle, Registry, RegistryError};
use crate::backend::{LANE, read_error};
use crate::database::{Database, Row, arguments};
use crate::error::ReadError;
use crate::event::Position;
use crate::store::EventStore;

/// Positions looked at by one statement, which stays far below a second.
const PAGE: u64 = 50_000;

/// Something in the store that the registry cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Type of the streams it is in.
    pub stream_type: String,
    /// Stored name of the type.
    pub event_type: String,
    /// Stored version of the shape.
    pub schema_version: u32,
    /// First event of this kind.
    pub first_position: Position,
    /// Code of the error that reading it gives.
    pub code: &'static str,
    /// That error, with how to mend it.
    pub message: String,
}

/// Answer of [`Registry::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Kinds of events that cannot be read, by name and version.
    pub unreadable: Vec<Unreadable>,
    /// Everything up to here was looked at.
    pub through: Position,
    /// End of the store when the check began.
    pub head: Position,
}

impl CheckReport {
    /// Whether all of the store was looked at, and all of it can be read.
    pub fn is_readable(&self) -> bool {
        self.unreadable.is_empty() && self.through >= self.head
    }
}

impl Registry {
    /// Which types and versions of the store this registry cannot read; retired ones do not count.
    ///
    /// # Errors
    /// See [`ReadError`]; a check that broke off goes on where it was.
    pub async fn check(&self, store: &dyn EventStore) -> Result<CheckReport, ReadError> {
        self.check_at_most(store, u64::MAX).await
    }

    /// As [`check`](Self::check), but looks at no more than `events` that no check has seen before;
    /// [`CheckReport::through`] tells how far it came.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_at_most(
        &self,
        store: &dyn EventStore,
        events: u64,
    ) -> Result<CheckReport, ReadError> {
        let head = store.head().await?;
        let database = store.database();
        let mut through = through(database).await.map_err(read_error)?;
        let end = head.0.min(through.saturating_add(events));
        while through < end {
            let next = end.min(through.saturating_add(PAGE));
            look(database, through, next).await.map_err(read_error)?;
            through = next;
        }
        let mut unreadable = Vec::new();
        for shape in shapes(database).await.map_err(read_error)? {
            unreadable.extend(self.judge(store, shape).await?);
        }
        let through = Position(through);
        Ok(CheckReport {
            unreadable,
            through,
            head,
        })
    }

    async fn judge(
        &self,
        store: &dyn EventStore,
        shape: Shape,
    ) -> Result<Option<Unreadable>, ReadError> {
        let Shape {
            stream_type,
            event_type,
            schema_version,
            first_position,
        } = shape;
        if event_type.starts_with(super::RESERVED) {
            return Ok(None);
        }
        let obstacle = match self.find(&stream_type, &event_type, schema_version) {
            Ok(_) | Err(Obstacle::Retired { .. }) => return Ok(None),
            Err(obstacle) => obstacle,
        };
        // The first of its kind, to name a stream that a person can look at.
        let before = Position(first_position.saturating_sub(1));
        let first = store.read_all(before, 1).await?;
        let Some(first) = first.first() else {
            return Ok(None);
        };
        let error = RegistryError::obstacle(obstacle, EventPlace::of(first));
        Ok(Some(Unreadable {
            stream_type,
            event_type,
            schema_version,
            first_position: Position(first_position),
            code: error.code(),
            message: error.to_string(),
        }))
    }
}

struct Shape {
    stream_type: String,
    event_type: String,
    schema_version: u32,
    first_position: u64,
}

fn shape(row: &Row) -> Result<Shape, sqlx::Error> {
    Ok(Shape {
        stream_type: row.text(0)?,
        event_type: row.text(1)?,
        schema_version: u32::try_from(row.int(2)?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        first_position: row.int(3)?.unsigned_abs(),
    })
}

async fn through(database: &Database) -> Result<u64, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT through FROM event_shapes_through WHERE lane = $1",
            arguments![i64::from(LANE)],
        )
        .await?;
    rows.first()
        .map_or(Ok(0), |row| row.int(0).map(i64::unsigned_abs))
}

async fn shapes(database: &Database) -> Result<Vec<Shape>, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT stream_type, event_type, schema_version, first_position FROM event_shapes \
             ORDER BY event_type, stream_type, schema_version",
            Vec::new(),
        )
        .await?;
    rows.iter().map(shape).collect()
}

/// Writes down which shapes there are between two positions, and that they were looked at.
async fn look(database: &Database, after: u64, through: u64) -> Result<(), sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT stream_type, event_type, schema_version, min(position) FROM events \
             WHERE lane = $1 AND position > $2 AND position <= $3 \
             GROUP BY stream_type, event_type, schema_version",
            arguments![i64::from(LANE), after, through],
        )
        .await?;
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    // First the row that all checks write, so that two at a time do not wait for each other in turns.
    session
        .execute(
            "UPDATE event_shapes_through SET through = $2 WHERE lane = $1 AND through < $2",
            arguments![i64::from(LANE), through],
        )
        .await?;
    for row in &rows {
        let found = shape(row)?;
        session
            .execute(
                "INSERT INTO event_shapes (stream_type, event_type, schema_version, first_position) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (event_type, stream_type, schema_version) DO NOTHING",
                arguments![
                    found.stream_type,
                    found.event_type,
                    i64::from(found.schema_version),
                    found.first_position,
                ],
            )
            .await?;
    }
    transaction.commit().await
}
