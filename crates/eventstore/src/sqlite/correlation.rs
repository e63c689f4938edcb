//! The column that queries by correlation id go by.

use sqlx::sqlite::SqlitePool;

use crate::error::OpenError;

/// Events that are filled by one statement.
const PIECE: i64 = 20_000;

/// Fills the column of events that another release stored, which does not know it: those from before it was
/// there, and those from after a release was rolled back. By pieces, each a transaction of its own: what was
/// filled before a process ended stays so, and neither memory nor the log grow with the store.
pub(super) async fn fill(writing: &SqlitePool) -> Result<(), sqlx::Error> {
    const UNKNOWN: &str = "SELECT EXISTS (SELECT 1 FROM events WHERE correlation_id IS NULL)";
    const FILL: &str = "UPDATE events SET correlation_id = coalesce( \
          CASE WHEN json_valid(metadata) THEN metadata ->> 'correlation_id' END, '') \
        WHERE rowid IN ( \
          SELECT rowid FROM events WHERE correlation_id IS NULL ORDER BY position LIMIT ?1)";
    // Nothing is locked when there is nothing to do.
    let unknown: bool = sqlx::query_scalar(UNKNOWN).fetch_one(writing).await?;
    if !unknown {
        return Ok(());
    }
    tracing::info!("noting the correlation ids of events that another release stored");
    loop {
        let filled = sqlx::query(FILL).bind(PIECE).execute(writing).await?;
        if filled.rows_affected() < PIECE.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Whether a file that is read as it is has the column.
///
/// # Errors
/// [`OpenError::NoStore`] if it has the events and not the column; [`OpenError::Unavailable`].
pub(super) async fn is_there(reading: &SqlitePool) -> Result<(), OpenError> {
    const MISSING: &str = "SELECT count(*) > 0 AND max(name = 'correlation_id') = 0 \
        FROM pragma_table_info('events')";
    let missing: bool = sqlx::query_scalar(MISSING)
        .fetch_one(reading)
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    if !missing {
        return Ok(());
    }
    Err(OpenError::NoStore {
        message:
            "its tables are of an older release; the first start of this one brings them up to \
            date, also those of a copy"
                .into(),
    })
}
