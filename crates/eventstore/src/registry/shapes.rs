//! The table of the kinds of events that are in a store: what types there are, in what streams and versions.

use crate::backend::LANE;
use crate::database::{Argument, Database, Row, arguments};
use crate::event::RecordedEvent;

/// Positions looked at by one statement, which stays far below a second.
pub(super) const PAGE: u64 = 50_000;

/// A kind of events.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) stream_type: String,
    pub(super) event_type: String,
    pub(super) schema_version: u32,
    /// Of the first one, when it was noted.
    pub(super) first_position: u64,
}

impl Shape {
    pub(super) fn is_of(&self, event: &RecordedEvent) -> bool {
        event.stream.stream_type == self.stream_type
            && event.event_type == self.event_type
            && event.schema_version == self.schema_version
    }
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

/// Position up to which all kinds are noted.
pub(super) async fn through(database: &Database) -> Result<u64, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT through FROM event_shapes_through WHERE lane = $1",
            arguments![i64::from(LANE)],
        )
        .await?;
    rows.first()
        .map_or(Ok(0), |row| row.int(0).map(i64::unsigned_abs))
}

/// Every kind that was noted.
pub(super) async fn all(database: &Database) -> Result<Vec<Shape>, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT stream_type, event_type, schema_version, first_position FROM event_shapes \
             ORDER BY event_type, stream_type, schema_version",
            Vec::new(),
        )
        .await?;
    rows.iter().map(shape).collect()
}

/// Writes down which kinds there are between two positions, and that they were looked at.
pub(super) async fn look(database: &Database, after: u64, through: u64) -> Result<(), sqlx::Error> {
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

/// Notes the next event of a kind behind one that is not, or not so, there any more; forgets the kind if there
/// is none. Gives its position.
pub(super) async fn note_next(
    database: &Database,
    shape: &Shape,
    gone: u64,
) -> Result<Option<u64>, sqlx::Error> {
    const NOTE: &str = "UPDATE event_shapes SET first_position = $4 \
        WHERE stream_type = $1 AND event_type = $2 AND schema_version = $3";
    const NEXT: &str = "SELECT min(position) FROM events \
        WHERE stream_type = $1 AND event_type = $2 AND schema_version = $3 \
          AND lane = $4 AND position > $5 AND position <= $6";
    let between = |after: u64, through: u64| {
        let mut arguments = named(shape);
        arguments.extend(arguments![i64::from(LANE), after, through]);
        arguments
    };
    let (mut after, mut next) = (gone, None);
    // Most of the way without holding others up: there may be many events.
    let known = through(database).await?;
    while next.is_none() && after < known {
        let page = known.min(after.saturating_add(PAGE));
        next = position(&database.fetch(NEXT, between(after, page)).await?)?;
        after = page;
        if next.is_none() {
            // A look that is broken off goes on there.
            let mut arguments = named(shape);
            arguments.push((page + 1).into());
            database.execute(NOTE, arguments).await?;
        }
    }
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    // From here on nobody looks further, and takes the kind for noted that is about to be forgotten.
    let held =
        "UPDATE event_shapes_through SET through = through WHERE lane = $1 RETURNING through";
    let held = session.fetch(held, arguments![i64::from(LANE)]).await?;
    if let (None, Some(known)) = (next, position(&held)?) {
        next = position(&session.fetch(NEXT, between(after, known)).await?)?;
    }
    let mut arguments = named(shape);
    let sql = match next {
        Some(next) => {
            arguments.push(next.into());
            NOTE
        }
        None => {
            "DELETE FROM event_shapes \
             WHERE stream_type = $1 AND event_type = $2 AND schema_version = $3"
        }
    };
    session.execute(sql, arguments).await?;
    transaction.commit().await?;
    Ok(next)
}

fn named(shape: &Shape) -> Vec<Argument> {
    arguments![
        shape.stream_type.as_str(),
        shape.event_type.as_str(),
        i64::from(shape.schema_version),
    ]
}

/// The one position of a statement that gives one, or none.
fn position(rows: &[Row]) -> Result<Option<u64>, sqlx::Error> {
    let found = rows.first().map(|row| row.optional_int(0)).transpose()?;
    Ok(found.flatten().map(i64::unsigned_abs))
}
