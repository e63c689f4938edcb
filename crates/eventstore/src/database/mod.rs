//! The database behind a store, as the other rooms use it: statements written once, for both kinds.
//!
//! SQL is written with `$1`, which both databases read, and with types that both have: whole numbers,
//! text, bytes. Where they differ a statement has two texts ([`Sql::each`]).

mod row;
mod session;
mod transaction;

use std::borrow::Cow;
use std::time::Duration;

use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::sqlite::{Sqlite, SqlitePool};

pub(crate) use row::{Row, from_microseconds};
pub(crate) use session::{Argument, Enough, Rows, Session, arguments};
pub use transaction::Transaction;

/// Longest waits for an answer of PostgreSQL. Behind the `statement_timeout` of its sessions, so that
/// they end the wait for a server that is frozen or cut off without a word, and nothing else.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
const WRITE_TIMEOUT: Duration = Duration::from_secs(70);

/// Gives a wait for PostgreSQL an end. The connection is of no use afterwards.
async fn in_time<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(longest, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// A connection of the reading pool. One that is dropped amid a statement is closed: the pool would
/// wait for the statement, and for ever when the connection fell silent.
struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    async fn fetch(
        &mut self,
        sql: Sql<'_>,
        arguments: Vec<Argument>,
        enough: Option<Enough>,
    ) -> Result<Rows, sqlx::Error> {
        let connection = self.0.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let mut session = Session::Postgres(connection);
        let rows = session.fetch_within(sql, arguments, enough).await;
        // What was cut off is still on its way.
        if !rows.as_ref().is_ok_and(|rows| rows.is_cut) {
            self.0 = None;
        }
        rows
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// One statement, in the words of each database.
#[derive(Debug, Clone)]
pub(crate) struct Sql<'a> {
    postgres: Cow<'a, str>,
    sqlite: Cow<'a, str>,
}

impl<'a> Sql<'a> {
    /// A statement that the databases say differently.
    pub(crate) fn each(postgres: impl Into<Cow<'a, str>>, sqlite: impl Into<Cow<'a, str>>) -> Self {
        let (postgres, sqlite) = (postgres.into(), sqlite.into());
        Self { postgres, sqlite }
    }

    #[cfg(test)]
    pub(crate) fn postgres(&self) -> &str {
        &self.postgres
    }

    #[cfg(test)]
    pub(crate) fn sqlite(&self) -> &str {
        &self.sqlite
    }
}

impl<'a> From<&'a str> for Sql<'a> {
    fn from(both: &'a str) -> Self {
        Self::each(both, both)
    }
}

impl From<String> for Sql<'static> {
    fn from(both: String) -> Self {
        Self::each(both.clone(), both)
    }
}

/// Handle to the database of a store; clones share the connections.
///
/// Tables of the caller's own may lie beside those of the store. [`begin`](Self::begin) gives a
/// transaction for both, so that an effect and the checkpoint behind it are one.
#[derive(Debug, Clone)]
pub struct Database(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Postgres { reading: PgPool, writing: PgPool },
    Sqlite(SqliteConnections),
}

/// SQLite's one connection that writes, and those that read.
#[derive(Debug, Clone)]
pub(crate) struct SqliteConnections {
    /// For an in-memory database the same pool as `writing`: another would see another database.
    pub(crate) reading: SqlitePool,
    /// Of one connection.
    pub(crate) writing: SqlitePool,
    pub(crate) in_memory: bool,
}

impl Database {
    pub(crate) fn postgres(reading: PgPool, writing: PgPool) -> Self {
        Self(Kind::Postgres { reading, writing })
    }

    pub(crate) fn sqlite(connections: SqliteConnections) -> Self {
        Self(Kind::Sqlite(connections))
    }

    /// Whether it is SQLite, where rows are better given as JSON than as arrays.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.0, Kind::Sqlite(_))
    }

    /// Begins a transaction that may write.
    ///
    /// On SQLite it has the one connection that writes: nothing is appended until it ends, and to
    /// append within it would wait for ever. In memory that connection is the one that reads, too.
    ///
    /// # Errors
    /// Those of the driver, e.g. when the database does not answer.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match &self.0 {
            Kind::Postgres { writing, .. } => {
                in_time(WRITE_TIMEOUT, Transaction::postgres_on(writing)).await
            }
            Kind::Sqlite(connections) => Transaction::sqlite_on(connections).await,
        }
    }

    /// SQLite's one connection that writes.
    pub(crate) async fn sqlite_writing(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        match &self.0 {
            Kind::Sqlite(connections) => connections.writing.acquire().await,
            Kind::Postgres { .. } => Err(sqlx::Error::PoolClosed),
        }
    }

    /// Reads, outside of any transaction.
    pub(crate) async fn fetch(
        &self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = self.fetch_within(sql, arguments, None).await;
        rows.map(|rows| rows.rows)
    }

    /// Reads up to the row with which there are enough, outside of any transaction.
    pub(crate) async fn fetch_within(
        &self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
        enough: Option<Enough>,
    ) -> Result<Rows, sqlx::Error> {
        match &self.0 {
            Kind::Postgres { reading, .. } => {
                let sql = sql.into();
                let mut lent = Lent(Some(reading.acquire().await?));
                let rows = lent.fetch(sql.clone(), arguments.clone(), enough);
                match in_time(READ_TIMEOUT, rows).await {
                    Err(error) if is_broken(&error) => drop(error),
                    rows => return rows,
                }
                drop(lent);
                let living = in_time(READ_TIMEOUT, living(reading)).await?;
                let mut lent = Lent(Some(living));
                in_time(READ_TIMEOUT, lent.fetch(sql, arguments, enough)).await
            }
            Kind::Sqlite(SqliteConnections { reading, .. }) => {
                let mut connection = reading.acquire().await?;
                let mut session = Session::Sqlite(&mut connection);
                session.fetch_within(sql, arguments, enough).await
            }
        }
    }

    /// Writes one statement, which is a transaction of its own, and gives the number of rows touched.
    pub(crate) async fn execute(
        &self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<u64, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let touched = transaction.session().execute(sql, arguments).await?;
        transaction.commit().await?;
        Ok(touched)
    }

    /// Gives all connections back.
    pub(crate) async fn close(&self) {
        match &self.0 {
            Kind::Postgres { reading, writing } => {
                reading.close().await;
                writing.close().await;
            }
            Kind::Sqlite(SqliteConnections {
                reading, writing, ..
            }) => {
                reading.close().await;
                writing.close().await;
            }
        }
    }
}

/// A connection that answers. The server may have ended all of them at once.
async fn living(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    for _ in 0..pool.options().get_max_connections() {
        if connection.ping().await.is_ok() {
            break;
        }
        drop(connection);
        connection = pool.acquire().await?;
    }
    Ok(connection)
}

/// Whether a statement failed because its session is gone, perhaps for a while already.
fn is_broken(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(|error| error.code());
    match state.as_deref() {
        // The server shuts down, crashed, or ended the session.
        Some(state) => matches!(state, "57P01" | "57P02" | "57P05" | "25P03"),
        // A server that was waited for long enough is not waited for a second time.
        None => {
            matches!(error, sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::TimedOut)
        }
    }
}
