//! The database behind a store, as the other rooms use it: statements written once, for both kinds.
//!
//! SQL is written with `$1`, which both databases read, and with types that both have: whole numbers,
//! text, bytes. Where they differ a statement has two texts ([`Sql::each`]).

mod row;
mod session;
mod transaction;

use std::borrow::Cow;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

pub(crate) use row::{Row, from_microseconds};
pub(crate) use session::{Argument, Session, arguments};
pub use transaction::Transaction;

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
            Kind::Postgres { writing, .. } => Transaction::postgres_on(writing).await,
            Kind::Sqlite(connections) => Transaction::sqlite_on(connections).await,
        }
    }

    /// Reads, outside of any transaction.
    pub(crate) async fn fetch(
        &self,
        sql: impl Into<Sql<'_>>,
        arguments: Vec<Argument>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        match &self.0 {
            Kind::Postgres { reading, .. } => {
                let mut connection = reading.acquire().await?;
                Session::Postgres(&mut connection)
                    .fetch(sql, arguments)
                    .await
            }
            Kind::Sqlite(SqliteConnections { reading, .. }) => {
                let mut connection = reading.acquire().await?;
                Session::Sqlite(&mut connection).fetch(sql, arguments).await
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
