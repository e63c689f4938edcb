//! Reading events on a connection that is in a transaction, or only as far as they are needed.

use crate::backend::{LANE, RawEvent};
use crate::database::{Database, Rows, Session, arguments};
use crate::event::RecordedEvent;
use crate::reader::{PAGE_BYTES, columns, enough, raw_here};

const READ: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events WHERE lane = $1 AND position > $2 ORDER BY position LIMIT $3"
);

/// Rows of up to `limit` events above a position; fewer, if with them there are so many bytes.
pub(crate) async fn page(
    database: &Database,
    after: u64,
    limit: u64,
    bytes: usize,
) -> Result<Rows, sqlx::Error> {
    let arguments = arguments![i64::from(LANE), after, limit];
    let enough = Some(enough(bytes));
    database.fetch_within(READ, arguments, enough).await
}

/// All events between two positions, within a transaction; none if one of them cannot be read, or if they
/// are more than a page.
pub(crate) async fn gap(
    session: &mut Session<'_>,
    after: u64,
    to: u64,
) -> Result<Option<Vec<RecordedEvent>>, sqlx::Error> {
    let arguments = arguments![i64::from(LANE), after, to.saturating_sub(after)];
    let enough = Some(enough(PAGE_BYTES));
    let read = session.fetch_within(READ, arguments, enough).await?;
    if read.is_cut {
        return Ok(None);
    }
    let recorded = |row| raw_here(row).ok()?.into_recorded().ok();
    Ok(read.rows.iter().map(recorded).collect())
}

/// Where the store ends.
pub(crate) async fn head(database: &Database) -> Result<u64, sqlx::Error> {
    let sql = "SELECT head FROM event_lanes WHERE lane = $1";
    let rows = database.fetch(sql, arguments![i64::from(LANE)]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.int(0)?.unsigned_abs())
}

/// When the event behind a position was recorded; none if there is none, or no time in it.
pub(crate) async fn recorded_after(
    database: &Database,
    position: u64,
) -> Result<Option<time::OffsetDateTime>, sqlx::Error> {
    let sql = "SELECT recorded_at FROM events WHERE lane = $1 AND position > $2 \
        ORDER BY position LIMIT 1";
    let rows = database
        .fetch(sql, arguments![i64::from(LANE), position])
        .await?;
    // One that cannot be read has no age, and is told of by who has to read the event.
    Ok(rows.first().and_then(|row| row.time(0).ok()))
}

/// Reads the JSON of an event; where that fails, and why.
pub(crate) fn recorded(event: RawEvent<&str, &[u8]>) -> Result<RecordedEvent, (u64, String)> {
    let position = event.position.unsigned_abs();
    event
        .into_recorded()
        .map_err(|error| (position, error.to_string()))
}
