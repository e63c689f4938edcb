//! The statements of a query. Each is made for one index and leaves the planner no other choice, even
//! before it knows anything about the table.

use uuid::Uuid;

use super::Direction;
use super::range::Range;
use crate::backend::LANE;
use crate::database::{Argument, Sql, arguments};
use crate::reader::columns;

/// A statement with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: Sql<'static>,
    pub(super) arguments: Vec<Argument>,
}

/// What must hold of an event besides what the index makes sure of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remaining<'q> {
    pub(super) tenant: Option<&'q str>,
    pub(super) stream_type: Option<&'q str>,
    pub(super) stream_id: Option<&'q str>,
    pub(super) event_types: Vec<&'q str>,
    pub(super) correlation_id: Option<Uuid>,
}

impl Remaining<'_> {
    /// Whether everything that the index gives is wanted.
    pub(super) fn is_empty(&self) -> bool {
        *self == Remaining::default()
    }
}

/// The events at these positions that are wanted, in order, at most `limit`.
pub(super) fn fetch_listed(
    remaining: &Remaining<'_>,
    positions: Vec<i64>,
    direction: Direction,
    limit: u64,
) -> Statement {
    let count = positions.len() as u64;
    let more = arguments![positions, count];
    fetch(
        remaining,
        (
            "position = ANY ($8) LIMIT $9",
            "position IN (SELECT value FROM json_each($8)) LIMIT $9",
        ),
        more,
        direction,
        limit,
    )
}

/// The events of a range of positions that are wanted, in order, at most `limit`.
pub(super) fn fetch_range(remaining: &Remaining<'_>, range: Range, limit: u64) -> Statement {
    let count = range.up_to.saturating_sub(range.after);
    let more = arguments![range.after, range.up_to, count];
    let order = order(range.direction);
    let which = format!("position > $8 AND position <= $9 ORDER BY position {order} LIMIT $10",);
    fetch(remaining, (&which, &which), more, range.direction, limit)
}

/// The limit within is a fence: conditions do not pass it, so the primary key is the only way in,
/// whatever the planner believes about the others.
fn fetch(
    remaining: &Remaining<'_>,
    (postgres, sqlite): (&str, &str),
    more: Vec<Argument>,
    direction: Direction,
    limit: u64,
) -> Statement {
    let order = order(direction);
    let columns = columns!();
    let text = |which: &str, types: &str| {
        format!(
            "SELECT {columns} FROM (SELECT * FROM events WHERE lane = $7 AND {which}) AS looked_at \
             WHERE (CAST($1 AS text) IS NULL OR tenant = $1) \
               AND (CAST($2 AS text) IS NULL OR stream_type = $2) \
               AND (CAST($3 AS text) IS NULL OR stream_id = $3) \
               AND ({types}) \
               AND (CAST($5 AS text) IS NULL OR metadata ->> 'correlation_id' = $5) \
             ORDER BY position {order} LIMIT $6"
        )
    };
    let sql = Sql::each(
        text(
            postgres,
            "cardinality($4::text[]) = 0 OR event_type = ANY ($4)",
        ),
        text(
            sqlite,
            "json_array_length($4) = 0 OR event_type IN (SELECT value FROM json_each($4))",
        ),
    );
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let types: Vec<String> = remaining
        .event_types
        .iter()
        .map(|&t| t.to_owned())
        .collect();
    let mut arguments = arguments![
        owned(remaining.tenant),
        owned(remaining.stream_type),
        owned(remaining.stream_id),
        types,
        remaining
            .correlation_id
            .map(|id| id.hyphenated().to_string()),
        limit,
        i64::from(LANE),
    ];
    arguments.extend(more);
    Statement { sql, arguments }
}

/// Key and position of the first `limit` entries of an index within a range of its keys.
///
/// `equal` are conditions on the leading columns, `key` is the column behind them.
pub(super) fn look(equal: &[(&str, &str)], key: &str, range: Range, limit: u64) -> Statement {
    let columns: Vec<&str> = equal.iter().map(|&(column, _)| column).collect();
    let values = equal.iter().map(|&(_, value)| value);
    Statement {
        sql: look_text(&columns, "", key, range.direction).into(),
        arguments: look_arguments(values, range, limit),
    }
}

/// As [`look`], by the correlation id: an index over the metadata on PostgreSQL, over a column on SQLite.
pub(super) fn look_correlated(id: &str, range: Range, limit: u64) -> Statement {
    // What is said beside it is the condition of the index.
    let text = |column, also| look_text(&[column], also, "position", range.direction);
    Statement {
        sql: Sql::each(
            text(
                "(metadata ->> 'correlation_id')",
                "(metadata ->> 'correlation_id') IS NOT NULL AND ",
            ),
            text("correlation_id", "correlation_id > '' AND "),
        ),
        arguments: look_arguments([id], range, limit),
    }
}

/// The lane is not among the conditions: with it, the primary key would give the same order and might be
/// preferred. There is one.
fn look_text(equal: &[&str], also: &str, key: &str, direction: Direction) -> String {
    let conditions: String = equal
        .iter()
        .zip(1..)
        .map(|(column, nth)| format!("{column} = ${nth} AND "))
        .collect();
    let (after, up_to, count) = (equal.len() + 1, equal.len() + 2, equal.len() + 3);
    let order = order(direction);
    format!(
        "SELECT {key}, position FROM events \
         WHERE {conditions}{also}{key} > ${after} AND {key} <= ${up_to} \
         ORDER BY {key} {order} LIMIT ${count}"
    )
}

fn look_arguments<'a>(
    equal: impl IntoIterator<Item = &'a str>,
    range: Range,
    limit: u64,
) -> Vec<Argument> {
    let mut arguments: Vec<Argument> = equal.into_iter().map(Argument::from).collect();
    arguments.extend(arguments![range.after, range.up_to, limit]);
    arguments
}

fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "ASC",
        Direction::Backward => "DESC",
    }
}
