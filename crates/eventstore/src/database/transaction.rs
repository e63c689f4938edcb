//! A transaction of either database.

use sqlx::postgres::{PgConnection, PgPool, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnection};

use super::{Session, SqliteConnections, WRITE_TIMEOUT, in_time};

/// A transaction on the store's database; rolled back when it is dropped.
#[derive(Debug)]
pub struct Transaction(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(sqlx::Transaction<'static, Postgres>),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

impl Transaction {
    /// Each statement sees what was committed before it began, whatever the database's default:
    /// under a snapshot of the whole transaction a wait for a row would end in a failure.
    pub(super) async fn postgres_on(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let begun = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
        Ok(Self(Inner::Postgres(begun.await?)))
    }

    /// Begins a transaction, whatever became of the one before.
    ///
    /// SQLite ends a transaction by itself when the disk is full or fails
    /// (<https://www.sqlite.org/lang_transaction.html>, section 3). The rollback after that finds none
    /// and fails, and sqlx counts one as open for as long as the connection lives.
    pub(super) async fn sqlite_on(connections: &SqliteConnections) -> Result<Self, sqlx::Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let SqliteConnections {
            writing, in_memory, ..
        } = connections;
        let transaction = match writing.begin_with(BEGIN).await {
            // With its connection, a database in memory would be gone.
            Err(sqlx::Error::InvalidSavePointStatement) if !in_memory => {
                writing.acquire().await?.close().await?;
                writing.begin_with(BEGIN).await
            }
            begun => begun,
        };
        Ok(Self(Inner::Sqlite(transaction?)))
    }

    /// The connection, if the database is PostgreSQL.
    pub fn postgres(&mut self) -> Option<&mut PgConnection> {
        match &mut self.0 {
            Inner::Postgres(transaction) => Some(transaction),
            Inner::Sqlite(_) => None,
        }
    }

    /// The connection, if the database is SQLite.
    pub fn sqlite(&mut self) -> Option<&mut SqliteConnection> {
        match &mut self.0 {
            Inner::Postgres(_) => None,
            Inner::Sqlite(transaction) => Some(transaction),
        }
    }

    pub(crate) fn session(&mut self) -> Session<'_> {
        match &mut self.0 {
            Inner::Postgres(transaction) => Session::Postgres(transaction),
            Inner::Sqlite(transaction) => Session::Sqlite(transaction),
        }
    }

    /// Makes it last.
    ///
    /// # Errors
    /// Those of the driver. An answer of the server means that nothing was committed; a lost
    /// connection, that nobody knows.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(transaction) => in_time(WRITE_TIMEOUT, transaction.commit()).await,
            Inner::Sqlite(transaction) => transaction.commit().await,
        }
    }

    /// Takes everything back, at once.
    ///
    /// # Errors
    /// Those of the driver; nothing is committed then, either.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inner::Postgres(transaction) => in_time(WRITE_TIMEOUT, transaction.rollback()).await,
            Inner::Sqlite(transaction) => transaction.rollback().await,
        }
    }
}
