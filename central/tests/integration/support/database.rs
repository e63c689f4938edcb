//! A database of its own for each test.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

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
