//! Storing the rows of a group.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use futures::TryStreamExt;
use sqlx::Executor;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{LANE, to_i64};
use crate::chain::{ChainEnd, microseconds};
use crate::guess::Guess;
use crate::plan::Row;

/// Most rows of a statement is two to the power of this.
const LARGEST: usize = 6;

/// Columns of a row that are bound.
const COLUMNS: usize = 14;

/// Begins a transaction and moves the head of the lane, if the last event is the one at a position
/// with a hash. If it is not the new head is none, which the table refuses.
///
/// Its parameters have no numbers, for those of all statements of a message are counted together.
const BEGIN_BEHIND: &str = "BEGIN IMMEDIATE; \
    UPDATE event_lanes SET recorded_at = ?, \
      head = CASE WHEN head = ? AND recorded_at <= ? \
        AND (SELECT hash FROM events WHERE lane = 0 AND position = ?) = ? THEN ? END \
    WHERE lane = 0; ";

/// The statements that store 1, 2, 4 … rows: few, so that each is prepared once.
///
/// One statement over a JSON list, for any number, reads each list entry again for each of its columns.
/// Its parameters have no numbers, for numbered ones are searched for among all of their statement.
///
/// `OR FAIL` leaves what a refused statement has written so far to the transaction, which is taken back as a
/// whole. Without it SQLite copies each page before a statement of many rows touches it.
struct Statements {
    /// Within a transaction.
    plain: [String; LARGEST + 1],
    /// The first of a transaction, the last, and both.
    first: [String; LARGEST + 1],
    last: [String; LARGEST + 1],
    only: [String; LARGEST + 1],
}

static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| {
    let each = |before: &str, after: &str| {
        std::array::from_fn(|power| format!("{before}{}{after}", statement(1 << power)))
    };
    Statements {
        plain: each("", ""),
        first: each(BEGIN_BEHIND, ""),
        last: each("", "; COMMIT"),
        only: each(BEGIN_BEHIND, "; COMMIT"),
    }
});

fn statement(rows: usize) -> String {
    let row = format!("({LANE}{})", ", ?".repeat(COLUMNS));
    let rows = vec![row; rows].join(", ");
    format!(
        "INSERT OR FAIL INTO events (lane, recorded_at, position, event_id, tenant, stream_type, \
         stream_id, stream_version, event_type, schema_version, data, metadata, correlation_id, \
         tenant_sequence, hash) VALUES {rows}"
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
    for (power, rows, links) in pieces(rows, links) {
        let query = sqlx::query(&*STATEMENTS.plain[power]);
        let query = bind_rows(query, rows, links, recorded_at);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A transaction of as few messages as there are statements that store: takes the lane, stores the rows behind
/// the last event, and commits. That no id is in use and no stream begins twice is seen to by constraints.
///
/// A failure may leave the transaction open.
pub(super) async fn insert_behind(
    connection: &mut SqliteConnection,
    guess: &Guess<'_>,
) -> Result<(), sqlx::Error> {
    let recorded_at = microseconds(guess.recorded_at);
    let all = guess.plan.rows.len();
    let mut stored = 0;
    for (power, rows, links) in pieces(&guess.plan.rows, &guess.links) {
        let is_first = stored == 0;
        stored += rows.len();
        let (statements, count) = match (is_first, stored == all) {
            (true, true) => (&STATEMENTS.only, 4),
            (true, false) => (&STATEMENTS.first, 3),
            (false, true) => (&STATEMENTS.last, 2),
            (false, false) => (&STATEMENTS.plain, 1),
        };
        let mut query = sqlx::query(&*statements[power]);
        if is_first {
            query = query
                .bind(recorded_at)
                .bind(to_i64(guess.last.position))
                .bind(recorded_at)
                .bind(to_i64(guess.last.position))
                .bind(guess.last.hash.0.as_slice())
                .bind(to_i64(guess.last.position + all as u64));
        }
        let query = bind_rows(query, rows, links, recorded_at);
        let answers = connection.fetch_many(query);
        let done = answers.try_fold(0, async |done, answer| {
            Ok(done + usize::from(answer.is_left()))
        });
        // The answers of a thread that broke down just end.
        if done.await? < count {
            return Err(sqlx::Error::WorkerCrashed);
        }
    }
    Ok(())
}

/// The rows in as few pieces as there are statements for, each with the power of two that its length is.
fn pieces<'p>(
    mut rows: &'p [Row<'p>],
    mut links: &'p [ChainEnd],
) -> impl Iterator<Item = (usize, &'p [Row<'p>], &'p [ChainEnd])> {
    std::iter::from_fn(move || {
        let power = (rows.len().checked_ilog2()? as usize).min(LARGEST);
        let (piece, piece_links);
        (piece, rows) = rows.split_at(1 << power);
        (piece_links, links) = links.split_at(1 << power);
        Some((power, piece, piece_links))
    })
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind_rows<'q>(
    mut query: Statement<'q>,
    rows: &[Row<'q>],
    links: &'q [ChainEnd],
    recorded_at: i64,
) -> Statement<'q> {
    // Most rows of a group have their tenant and types in common.
    let mut names = Names::default();
    let nothing = text("");
    for (row, link) in rows.iter().zip(links) {
        let id = row.event.id.hyphenated();
        query = query
            .bind(recorded_at)
            .bind(to_i64(row.position))
            .bind(text(id.encode_lower(&mut Uuid::encode_buffer())))
            .bind(names.text(&row.stream.tenant))
            .bind(names.text(&row.stream.stream_type))
            .bind(text(&row.stream.stream_id))
            .bind(to_i64(row.stream_version))
            .bind(names.text(&row.event.event_type))
            .bind(row.event.schema_version)
            .bind(text(&row.event.data))
            .bind(text(&row.event.metadata))
            .bind(correlation(row.event.correlation_id, &nothing))
            .bind(to_i64(link.sequence))
            .bind(link.hash.0.as_slice());
    }
    query
}

/// A text as the database's thread gets it: in one piece of memory, where a `String` would be two.
fn text(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// What the column says of an event: nothing is said by an empty text, for none is that nobody has looked.
fn correlation(id: Option<Uuid>, nothing: &Arc<str>) -> Arc<str> {
    match id {
        Some(id) => text(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
        None => Arc::clone(nothing),
    }
}

/// Names of which there are few.
#[derive(Default)]
struct Names<'n>(HashMap<&'n str, Arc<str>>);

impl<'n> Names<'n> {
    fn text(&mut self, name: &'n str) -> Arc<str> {
        Arc::clone(self.0.entry(name).or_insert_with(|| text(name)))
    }
}
