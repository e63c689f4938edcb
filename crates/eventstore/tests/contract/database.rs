//! A database for one scenario.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{EventStore, Options};
use futures::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;

/// How long a scenario may wait for anything before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) enum Database {
    Sqlite {
        folder: TempDir,
    },
    Postgres {
        admin: Box<PgConnectOptions>,
        name: String,
    },
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite {
            folder: TempDir::new().unwrap(),
        }
    }

    /// A new database on the server of the environment; none if there is no server.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(url) = std::env::var("SIGNET_TEST_POSTGRES_URL") else {
            let required = std::env::var("SIGNET_TEST_REQUIRE").unwrap_or_default();
            assert!(
                !required.split([',', ' ']).any(|part| part == "postgres"),
                "PostgreSQL is required; set SIGNET_TEST_POSTGRES_URL"
            );
            eprintln!("not tested on PostgreSQL: SIGNET_TEST_POSTGRES_URL is not set");
            return None;
        };
        let admin = PgConnectOptions::from_str(&url)
            .unwrap()
            .disable_statement_logging();
        let name = format!("signet_contract_{}", uuid::Uuid::new_v4().simple());
        let mut connection = admin.connect().await.unwrap();
        let create = format!("CREATE DATABASE {name}");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        Some(Self::Postgres {
            admin: Box::new(admin),
            name,
        })
    }

    /// Runs a scenario and removes the database, whatever came of it.
    pub(crate) async fn run<F: Future<Output = ()>>(self, scenario: impl FnOnce(Arc<Self>) -> F) {
        let database = Arc::new(self);
        let outcome = AssertUnwindSafe(scenario(Arc::clone(&database)))
            .catch_unwind()
            .await;
        if let Self::Postgres { admin, name } = &*database {
            let mut connection = admin.connect().await.unwrap();
            let drop = format!("DROP DATABASE {name} WITH (FORCE)");
            connection.execute(AssertSqlSafe(drop)).await.unwrap();
        }
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => {
                format!("sqlite://{}", folder.path().join("events.db").display())
            }
            Self::Postgres { admin, name } => PgConnectOptions::clone(admin)
                .database(name)
                .to_url_lossy()
                .to_string(),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn EventStore> {
        self.open_with(Options::default()).await
    }

    pub(crate) async fn open_with(&self, options: Options) -> Arc<dyn EventStore> {
        eventstore::open(&self.url(), options).await.unwrap()
    }

    /// A connection past the store.
    pub(crate) async fn connect(&self) -> Outside {
        Outside::open(&self.url()).await
    }

    /// Keeps everybody from appending until it is released.
    pub(crate) async fn hold_lane(&self) -> LaneHold {
        let mut outside = self.connect().await;
        match outside {
            Outside::Sqlite(_) => outside.execute("BEGIN IMMEDIATE").await,
            Outside::Postgres(_) => {
                outside
                    .execute("BEGIN; SELECT * FROM event_lanes WHERE lane = 0 FOR UPDATE")
                    .await;
            }
        }
        LaneHold(outside)
    }
}

pub(crate) enum Outside {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Outside {
    pub(crate) async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).unwrap();
            return Self::Sqlite(options.connect().await.unwrap());
        }
        let options = PgConnectOptions::from_str(url).unwrap();
        let options = options.disable_statement_logging();
        Self::Postgres(options.connect().await.unwrap())
    }

    pub(crate) async fn execute(&mut self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => drop(sql.execute(connection).await.unwrap()),
            Self::Postgres(connection) => drop(sql.execute(connection).await.unwrap()),
        }
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
            }
            Self::Postgres(connection) => {
                sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
            }
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

pub(crate) struct LaneHold(Outside);

impl LaneHold {
    pub(crate) async fn release(mut self) {
        self.0.execute("ROLLBACK").await;
        self.0.close().await;
    }
}

/// Makes two tests of each scenario.
macro_rules! contract {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                crate::database::Database::sqlite().run(super::$scenario).await;
            })+
        }
        $crate::database::postgres_only!($($scenario),+);
    };
}

/// Makes a test of each scenario, for what SQLite does not have.
macro_rules! postgres_only {
    ($($scenario:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                if let Some(database) = crate::database::Database::postgres().await {
                    database.run(super::$scenario).await;
                }
            })+
        }
    };
}

pub(crate) use {contract, postgres_only};
