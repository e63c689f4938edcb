//! A database of its own for each test.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// A database, as central is told of it.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) url: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Sqlite { _folder: Arc<tempfile::TempDir> },
    Postgres { server: String, name: String },
}

impl Database {
    /// A file that goes with the test.
    pub(crate) fn sqlite() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = format!("sqlite://{}", folder.path().join("signet.db").display());
        Self {
            url,
            kind: Kind::Sqlite { _folder: folder },
        }
    }

    /// A new database on the server that the environment names, if it names one.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("SIGNET_TEST_POSTGRES_URL") else {
            let required = std::env::var("SIGNET_TEST_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|one| one.trim() == "postgres"),
                "SIGNET_TEST_REQUIRE asks for postgres: set SIGNET_TEST_POSTGRES_URL"
            );
            return None;
        };
        let name = format!("central_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        execute(&mut connection, format!("CREATE DATABASE {name}")).await;
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let (authority, _) = base.rsplit_once('/').unwrap();
        let url = format!("{authority}/{name}?{query}");
        Some(Self {
            url,
            kind: Kind::Postgres { server, name },
        })
    }

    /// Whether it is a file.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.kind, Kind::Sqlite { .. })
    }

    /// Runs a statement past the store; how many rows it was about.
    pub(crate) async fn execute(&self, statement: &'static str) -> u64 {
        if self.is_sqlite() {
            let query = sqlx::query(statement);
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            return query
                .execute(&mut connection)
                .await
                .unwrap()
                .rows_affected();
        }
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let query = sqlx::query(statement);
        query
            .execute(&mut connection)
            .await
            .unwrap()
            .rows_affected()
    }

    /// The ids of a tenant's keys whose private parts are stored.
    pub(crate) async fn stored_keys(&self, tenant: &str) -> Vec<String> {
        const SELECT: &str = "SELECT kid FROM central_signing_keys WHERE tenant = $1 ORDER BY kid";
        if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let select = sqlx::query_scalar(SELECT).bind(tenant);
            return select.fetch_all(&mut connection).await.unwrap();
        }
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let select = sqlx::query_scalar(SELECT).bind(tenant);
        select.fetch_all(&mut connection).await.unwrap()
    }

    /// Takes the database away; a file goes by itself.
    pub(crate) async fn drop(self) {
        if let Kind::Postgres { server, name } = self.kind {
            let mut connection = PgConnection::connect(&server).await.unwrap();
            execute(
                &mut connection,
                format!("DROP DATABASE {name} WITH (FORCE)"),
            )
            .await;
        }
    }
}

async fn execute(connection: &mut PgConnection, statement: String) {
    // Names are made above, never given.
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .unwrap();
}
