//! Storing the rows of a group.

use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, microseconds};
use crate::plan::Row;

/// Most rows of a statement is two to the power of this.
const LARGEST: usize = 6;

/// Columns of a row that are bound.
const COLUMNS: usize = 13;

/// The statements that store 1, 2, 4 … rows: few, so that each is prepared once.
///
/// One statement over a JSON list, for any number, reads each list entry again for each of its columns.
/// Its parameters have no numbers, for numbered ones are searched for among all of their statement.
///
/// `OR FAIL` leaves what a refused statement has written so far to the transaction, which is taken back as a
/// whole. Without it SQLite copies each page before a statement of many rows touches it.
static STATEMENTS: LazyLock<[String; LARGEST + 1]> =
    LazyLock::new(|| std::array::from_fn(|power| statement(1 << power)));

fn statement(rows: usize) -> String {
    let row = format!("({LANE}{})", ", ?".repeat(COLUMNS));
    let rows = vec![row; rows].join(", ");
    format!(
        "INSERT OR FAIL INTO events (lane, recorded_at, position, event_id, tenant, stream_type, \
         stream_id, stream_version, event_type, schema_version, data, metadata, tenant_sequence, \
         hash) VALUES {rows}"
    )
}

/// Stores the rows, as many as possible with each statement. A failure leaves some of them in the
/// transaction, which is good for nothing but a rollback then.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    rows: &[Row<'_>],
    links: &[ChainEnd],
    recorded_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let recorded_at = microseconds(recorded_at);
    let (mut rows, mut links) = (rows, links);
    while !rows.is_empty() {
        let power = (rows.len().ilog2() as usize).min(LARGEST);
        let (now, later) = rows.split_at(1 << power);
        let (now_linked, later_linked) = links.split_at(1 << power);
        let mut query = sqlx::query(&*STATEMENTS[power]);
        for (row, link) in now.iter().zip(now_linked) {
            query = query
                .bind(recorded_at)
                .bind(to_i64(row.position))
                .bind(row.event.id.hyphenated().to_string())
                .bind(&row.stream.tenant)
                .bind(&row.stream.stream_type)
                .bind(&row.stream.stream_id)
                .bind(to_i64(row.stream_version))
                .bind(&row.event.event_type)
                .bind(row.event.schema_version)
                .bind(&row.event.data)
                .bind(&row.event.metadata)
                .bind(to_i64(link.sequence))
                .bind(link.hash.0.as_slice());
        }
        query.execute(&mut *connection).await?;
        (rows, links) = (later, later_linked);
    }
    Ok(())
}
