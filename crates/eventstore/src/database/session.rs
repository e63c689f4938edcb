//! A connection that statements are sent on.

use futures::{Stream, TryStreamExt};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use uuid::Uuid;

use super::{Row, Sql, WRITE_TIMEOUT, in_time};

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Argument {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    /// An array on PostgreSQL, a JSON array (for `json_each`) on SQLite.
    Texts(Vec<String>),
    /// As [`Argument::Texts`].
    Integers(Vec<i64>),
    /// `uuid` on PostgreSQL, hyphenated text on SQLite.
    Uuid(Uuid),
}

macro_rules! argument_from {
    ($($from:ty => |$value:ident| $argument:expr),+ $(,)?) => {
        $(impl From<$from> for Argument {
            fn from($value: $from) -> Self {
                $argument
            }
        })+
    };
}

argument_from! {
    i64 => |value| Self::Integer(Some(value)),
    Option<i64> => |value| Self::Integer(value),
    u64 => |value| Self::Integer(Some(crate::backend::to_i64(value))),
    &str => |value| Self::Text(Some(value.to_owned())),
    String => |value| Self::Text(Some(value)),
    Option<String> => |value| Self::Text(value),
    Vec<u8> => |value| Self::Bytes(Some(value)),
    &[u8] => |value| Self::Bytes(Some(value.to_owned())),
    Option<Vec<u8>> => |value| Self::Bytes(value),
    Vec<String> => |value| Self::Texts(value),
    Vec<i64> => |value| Self::Integers(value),
    Uuid => |value| Self::Uuid(value),
}

/// The arguments of a statement, each converted by [`Argument::from`].
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => {
        vec![$($crate::database::Argument::from($argument)),*]
    };
}
pub(crate) use arguments;

/// A connection in use, mostly one of a transaction.
#[derive(Debug)]
pub(crate) enum Session<'c> {
    Postgres(&'c mut PgConnection),
    Sqlite(&'c mut SqliteConnection),
}

impl Session<'_> {
    /// All rows that a statement gives.
    pub(crate) async fn fetch(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = self.fetch_within(sql, arguments, None).await;
        rows.map(|rows| rows.rows)
    }

    /// The rows that a statement gives, up to the one with which there are enough.
    pub(crate) async fn fetch_within(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
        enough: Option<Enough>,
    ) -> Result<Rows, sqlx::Error> {
        let sql = sql.into();
        match self {
            Self::Postgres(connection) => {
                let query = sqlx::query(AssertSqlSafe(sql.postgres.into_owned()));
                let rows = bind_postgres(query, arguments).fetch(&mut **connection);
                in_time(WRITE_TIMEOUT, gather(rows.map_ok(Row::Postgres), enough)).await
            }
            Self::Sqlite(connection) => {
                let query = sqlx::query(AssertSqlSafe(sql.sqlite.into_owned()));
                let rows = bind_sqlite(query, arguments)?.fetch(&mut **connection);
                gather(rows.map_ok(Row::Sqlite), enough).await
            }
        }
    }

    /// The one row that a statement gives, if any.
    pub(crate) async fn fetch_one(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch(sql, arguments).await?.into_iter().next())
    }

    /// Number of rows that a statement touched.
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<u64, sqlx::Error> {
        let sql = sql.into();
        match self {
            Self::Postgres(connection) => {
                let query = sqlx::query(AssertSqlSafe(sql.postgres.into_owned()));
                let done = bind_postgres(query, arguments).execute(&mut **connection);
                Ok(in_time(WRITE_TIMEOUT, done).await?.rows_affected())
            }
            Self::Sqlite(connection) => {
                let query = sqlx::query(AssertSqlSafe(sql.sqlite.into_owned()));
                let done = bind_sqlite(query, arguments)?.execute(&mut **connection);
                Ok(done.await?.rows_affected())
            }
        }
    }
}

/// When to stop reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enough {
    pub(crate) bytes: usize,
    /// The bytes of a row, as far as they count.
    pub(crate) size: fn(&Row) -> usize,
}

/// What a statement gave.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    /// Of all rows, if a bound was given.
    pub(crate) bytes: usize,
    /// There were enough, and there may be more.
    pub(crate) is_cut: bool,
}

async fn gather(
    mut stream: impl Stream<Item = Result<Row, sqlx::Error>> + Unpin,
    enough: Option<Enough>,
) -> Result<Rows, sqlx::Error> {
    let mut rows = Rows::default();
    while let Some(row) = stream.try_next().await? {
        if let Some(Enough { bytes, size }) = enough {
            rows.bytes += size(&row);
            rows.is_cut = rows.bytes >= bytes;
        }
        rows.rows.push(row);
        if rows.is_cut {
            break;
        }
    }
    Ok(rows)
}

fn bind_postgres(
    query: Query<'_, Postgres, PgArguments>,
    arguments: Vec<Argument>,
) -> Query<'_, Postgres, PgArguments> {
    arguments
        .into_iter()
        .fold(query, |query, argument| match argument {
            Argument::Integer(value) => query.bind(value),
            Argument::Text(value) => query.bind(value),
            Argument::Bytes(value) => query.bind(value),
            Argument::Texts(value) => query.bind(value),
            Argument::Integers(value) => query.bind(value),
            Argument::Uuid(value) => query.bind(value),
        })
}

fn bind_sqlite(
    query: Query<'_, Sqlite, SqliteArguments>,
    arguments: Vec<Argument>,
) -> Result<Query<'_, Sqlite, SqliteArguments>, sqlx::Error> {
    arguments
        .into_iter()
        .try_fold(query, |query, argument| match argument {
            Argument::Integer(value) => Ok(query.bind(value)),
            Argument::Text(value) => Ok(query.bind(value)),
            Argument::Bytes(value) => Ok(query.bind(value)),
            Argument::Texts(value) => Ok(query.bind(json(&value)?)),
            Argument::Integers(value) => Ok(query.bind(json(&value)?)),
            Argument::Uuid(value) => Ok(query.bind(value.hyphenated().to_string())),
        })
}

fn json(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
