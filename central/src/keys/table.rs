//! The tables of sealed private keys, on SQLite and PostgreSQL, beside the events.

use std::{str::FromStr as _, time::Duration};

use eventstore::Transaction;
use sqlx::{
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions},
};
use time::OffsetDateTime;

use super::sealing::Place;

const MIGRATIONS_TABLE: &str = "central_migrations";
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The tables, over a small pool of its own.
#[derive(Debug)]
pub(super) enum KeyTable {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One row of it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SealedKey {
    pub(super) tenant: String,
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) master_key_id: String,
    pub(super) sealed: Vec<u8>,
}

/// A key for checkpoints, as it lies in its table.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SealedCheckpointKey {
    pub(super) generation: i64,
    pub(super) key_id: String,
    pub(super) master_key_id: String,
    pub(super) sealed: Vec<u8>,
}

impl KeyTable {
    /// Connects and brings the table up to date.
    pub(super) async fn open(url: &str) -> Result<Self, MigrateError> {
        if url.starts_with("sqlite:") {
            let in_memory = url.contains(":memory:");
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .busy_timeout(ACQUIRE_TIMEOUT);
            let options = if in_memory {
                options
            } else {
                options.journal_mode(SqliteJournalMode::Wal)
            };
            let pool = SqlitePoolOptions::new()
                .min_connections(1)
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(options)
                .await?;
            // Two that start at once on a new file: the second waits for the first.
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            migrations(sqlx::migrate!("migrations/sqlite"))
                .run(&mut transaction)
                .await?;
            transaction.commit().await?;
            Ok(Self::Sqlite(pool))
        } else {
            let pool = PgPoolOptions::new()
                .max_connections(4)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(PgConnectOptions::from_str(url)?.application_name("signet-central"))
                .await?;
            migrations(sqlx::migrate!("migrations/postgres"))
                .run(&pool)
                .await?;
            Ok(Self::Postgres(pool))
        }
    }

    /// Stores a row unless there is one at its place, and gives the row that is there afterwards.
    ///
    /// Two replicas that make the same key at once thus both get the one that was first.
    pub(super) async fn insert_or_get(
        &self,
        row: &SealedKey,
        now: OffsetDateTime,
    ) -> Result<Option<SealedKey>, sqlx::Error> {
        const INSERT: &str = "INSERT INTO central_signing_keys \
             (tenant, kid, algorithm, master_key_id, sealed, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, kid, algorithm) DO NOTHING";
        match self {
            Self::Sqlite(pool) => {
                sqlx::query(INSERT)
                    .bind(&row.tenant)
                    .bind(&row.kid)
                    .bind(&row.algorithm)
                    .bind(&row.master_key_id)
                    .bind(&row.sealed)
                    .bind(now)
                    .execute(pool)
                    .await?;
            }
            Self::Postgres(pool) => {
                sqlx::query(INSERT)
                    .bind(&row.tenant)
                    .bind(&row.kid)
                    .bind(&row.algorithm)
                    .bind(&row.master_key_id)
                    .bind(&row.sealed)
                    .bind(now)
                    .execute(pool)
                    .await?;
            }
        }
        self.get(Place {
            tenant: &row.tenant,
            kid: &row.kid,
            algorithm: &row.algorithm,
        })
        .await
    }

    /// The row at a place.
    pub(super) async fn get(&self, place: Place<'_>) -> Result<Option<SealedKey>, sqlx::Error> {
        const SELECT: &str = "SELECT tenant, kid, algorithm, master_key_id, sealed \
             FROM central_signing_keys WHERE tenant = $1 AND kid = $2 AND algorithm = $3";
        let Place {
            tenant,
            kid,
            algorithm,
        } = place;
        match self {
            Self::Sqlite(pool) => {
                sqlx::query_as(SELECT)
                    .bind(tenant)
                    .bind(kid)
                    .bind(algorithm)
                    .fetch_optional(pool)
                    .await
            }
            Self::Postgres(pool) => {
                sqlx::query_as(SELECT)
                    .bind(tenant)
                    .bind(kid)
                    .bind(algorithm)
                    .fetch_optional(pool)
                    .await
            }
        }
    }

    /// Stores a key for checkpoints unless there is one of its generation.
    pub(super) async fn insert_checkpoint_key(
        &self,
        row: &SealedCheckpointKey,
        now: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str = "INSERT INTO central_checkpoint_keys \
             (generation, key_id, master_key_id, sealed, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (generation) DO NOTHING";
        match self {
            Self::Sqlite(pool) => {
                sqlx::query(INSERT)
                    .bind(row.generation)
                    .bind(&row.key_id)
                    .bind(&row.master_key_id)
                    .bind(&row.sealed)
                    .bind(now)
                    .execute(pool)
                    .await?;
            }
            Self::Postgres(pool) => {
                sqlx::query(INSERT)
                    .bind(row.generation)
                    .bind(&row.key_id)
                    .bind(&row.master_key_id)
                    .bind(&row.sealed)
                    .bind(now)
                    .execute(pool)
                    .await?;
            }
        }
        Ok(())
    }

    /// All keys for checkpoints, the newest last.
    pub(super) async fn checkpoint_keys(&self) -> Result<Vec<SealedCheckpointKey>, sqlx::Error> {
        const SELECT: &str = "SELECT generation, key_id, master_key_id, sealed \
             FROM central_checkpoint_keys ORDER BY generation";
        match self {
            Self::Sqlite(pool) => sqlx::query_as(SELECT).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_as(SELECT).fetch_all(pool).await,
        }
    }

    /// One row for each master key that sealed any.
    pub(super) async fn one_per_master_key(&self) -> Result<Vec<SealedKey>, sqlx::Error> {
        const SELECT: &str = "SELECT tenant, kid, algorithm, master_key_id, sealed \
             FROM central_signing_keys AS k WHERE NOT EXISTS ( \
                 SELECT 1 FROM central_signing_keys AS o WHERE o.master_key_id = k.master_key_id \
                 AND (o.tenant, o.kid, o.algorithm) < (k.tenant, k.kid, k.algorithm))";
        match self {
            Self::Sqlite(pool) => sqlx::query_as(SELECT).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_as(SELECT).fetch_all(pool).await,
        }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Removes a key for ever, whatever its algorithm, with whatever else the transaction does; gives the
/// number of rows.
pub(super) async fn remove(
    transaction: &mut Transaction,
    tenant: &str,
    kid: &str,
) -> Result<u64, sqlx::Error> {
    const DELETE: &str = "DELETE FROM central_signing_keys WHERE tenant = $1 AND kid = $2";
    if let Some(connection) = transaction.postgres() {
        let delete = sqlx::query(DELETE).bind(tenant).bind(kid);
        return Ok(delete.execute(connection).await?.rows_affected());
    }
    let Some(connection) = transaction.sqlite() else {
        return Err(sqlx::Error::Protocol(
            "a transaction of no known database".into(),
        ));
    };
    let delete = sqlx::query(DELETE).bind(tenant).bind(kid);
    Ok(delete.execute(connection).await?.rows_affected())
}

/// Keeps our record of migrations apart from the event store's in the same database.
fn migrations(mut migrator: Migrator) -> Migrator {
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    // A release may be rolled back over a newer schema: migrations only add.
    migrator.set_ignore_missing(true);
    migrator
}
