//! The PostgreSQL server, and databases on it.

use std::env;
use std::str::FromStr;
use std::sync::Arc;

use eventstore::{EventStore, Options};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::report::Outcome;

pub(crate) struct Server(PgConnectOptions);

/// A database of its own for one measurement.
pub(crate) struct Database {
    connect: PgConnectOptions,
}

impl Server {
    pub(crate) fn from_environment() -> Outcome<Self> {
        const NAME: &str = "SIGNET_BENCH_POSTGRES_URL";
        let url = env::var(NAME).map_err(|_| {
            format!("{NAME} is not set: run `cargo xtask bench eventstore`, which starts a server")
        })?;
        Ok(Self(
            PgConnectOptions::from_str(&url)?.disable_statement_logging(),
        ))
    }

    pub(crate) async fn connect(&self) -> Outcome<PgConnection> {
        Ok(self.0.connect().await?)
    }

    /// A new database with the tables of a store that was never used.
    pub(crate) async fn database(&self, name: &str) -> Outcome<Database> {
        let name = format!("bench_{name}_{}", uuid::Uuid::new_v4().simple());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        self.connect().await?.execute(create).await?;
        let database = Database {
            connect: self.0.clone().database(&name),
        };
        database.open().await?.close().await;
        Ok(database)
    }
}

impl Database {
    pub(crate) fn url(&self) -> String {
        self.connect.to_url_lossy().to_string()
    }

    /// A store as everybody gets it.
    pub(crate) async fn open(&self) -> Outcome<Arc<dyn EventStore>> {
        Ok(eventstore::open(&self.url(), Options::default()).await?)
    }

    /// So many connections past the store, already made, with the setting that keeps a raw statement
    /// from reading the whole table, too.
    pub(crate) async fn pool(&self, connections: u32) -> Outcome<PgPool> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection
                        .execute("SET enable_seqscan = off; SET synchronous_commit = on")
                        .await
                        .map(drop)
                })
            })
            .connect_with(self.connect.clone())
            .await?;
        let mut made = Vec::new();
        for _ in 0..connections {
            made.push(pool.acquire().await?);
        }
        Ok(pool)
    }

    pub(crate) async fn connection(&self) -> Outcome<PgConnection> {
        Ok(self.connect.connect().await?)
    }
}
