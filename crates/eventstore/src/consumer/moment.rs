//! The time that leases are judged by.
//!
//! On PostgreSQL it is the server's clock at the very moment (`clock_timestamp()`; `now()` is the start
//! of the transaction, which may have waited long), on SQLite the clock that was handed in. It only
//! decides who may take over what nobody renews; whether somebody still owns it, the epoch says.

use time::OffsetDateTime;

use crate::chain::microseconds;
use crate::database::{Argument, Sql};

/// Microseconds since 1970 on PostgreSQL.
const POSTGRES_NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Source of the time, in UTC.
pub(crate) type Clock = fn() -> OffsetDateTime;

/// A statement in which `:now` stands for the present in microseconds. Its `$1` is kept for
/// [`local`], which SQLite needs.
pub(super) fn timed(sql: &str) -> Sql<'static> {
    Sql::each(sql.replace(":now", POSTGRES_NOW), sql.replace(":now", "$1"))
}

/// A [`timed`] query that locks the rows it gives and passes over those that others have locked. On
/// SQLite the transaction has the whole database.
pub(super) fn timed_locking(sql: &str) -> Sql<'static> {
    Sql::each(
        format!(
            "{} FOR UPDATE SKIP LOCKED",
            sql.replace(":now", POSTGRES_NOW)
        ),
        sql.replace(":now", "$1"),
    )
}

/// The first argument of a [`timed`] statement.
pub(super) fn local(clock: Clock) -> Argument {
    Argument::from(microseconds(clock()))
}

/// Number of microseconds, for lengths of leases.
pub(super) fn length(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
