//! SQLite: one connection that writes, some that read, a write-ahead log between them.

mod correlation;
mod insertion;
mod lookup;
mod writer;

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::{Database, SqliteConnections};
use crate::error::OpenError;
use crate::head::Head;
use crate::identity;
use crate::options::Options;
use crate::projection::Inline;
use crate::reader::Reader;
use crate::store::Store;
use writer::SqliteWriter;

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of the write-ahead log after which they are brought into the file: 32 MB. A group of appends
/// touches a page of each index for nearly every event, mostly the same ones again; with SQLite's own 1000
/// they would be brought over after every few groups.
const CHECKPOINT_PAGES: &str = "8000";

/// KiB of pages that the connection that writes keeps, once it has used them: the upper parts of the
/// indexes. Negative is how SQLite tells it from a number of pages.
const CACHE_KIB: &str = "-32768";

/// How often to begin again when another process prepares the same file.
const OPEN_ATTEMPTS: u32 = 10;

pub(crate) async fn open(url: &str, options: &Options) -> Result<Store, OpenError> {
    let connect = SqliteConnectOptions::from_str(url)
        .map_err(|error| OpenError::UnsupportedUrl {
            message: error.to_string(),
        })?
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // What is needed to take back one statement of many rows; otherwise a file for each of them.
        .pragma("temp_store", "memory")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .disable_statement_logging();
    let writing = prepare(&connect).await?;
    let in_memory = is_in_memory(url);
    let reading = if in_memory {
        // Another connection would see another database.
        writing.clone()
    } else {
        SqlitePoolOptions::new()
            .max_connections(options.read_connections)
            // There is no network between us that could have been cut.
            .test_before_acquire(false)
            .connect_lazy_with(connect.pragma("query_only", "true"))
    };
    let database = Database::sqlite(SqliteConnections {
        reading,
        writing,
        in_memory,
    });
    let reader = Reader::new(database.clone());
    let id = persist(|| async {
        identity::prepare(reader.database())
            .await
            .map_err(|source| OpenError::Unavailable { source })
    })
    .await?;
    let head = reader
        .head()
        .await
        .map_err(|error| OpenError::Unavailable {
            source: sqlx::Error::Protocol(error.to_string()),
        })?;
    let (tasks, cancelled) = (TaskTracker::new(), CancellationToken::new());
    let inline = Inline::new(&options.inline_projections);
    persist(|| inline.start(&database, options.clock, &tasks, &cancelled)).await?;
    let writer = SqliteWriter::new(database, inline);
    Ok(Store::start(
        id,
        writer,
        reader,
        Head::new(head),
        options,
        tasks,
        cancelled,
    ))
}

/// A file as it is: it is not made, and no statement on it writes.
pub(crate) async fn open_to_read(url: &str) -> Result<Database, OpenError> {
    let unsupported = |message| OpenError::UnsupportedUrl { message };
    if is_in_memory(url) {
        return Err(unsupported("nothing is kept in memory".into()));
    }
    let connect = SqliteConnectOptions::from_str(url)
        .map_err(|error| unsupported(error.to_string()))?
        .create_if_missing(false)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "true")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let reading = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(connect)
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    correlation::is_there(&reading).await?;
    Ok(Database::sqlite(SqliteConnections {
        writing: reading.clone(),
        reading,
        in_memory: false,
    }))
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// The connection that writes, with the tables made.
async fn prepare(connect: &SqliteConnectOptions) -> Result<SqlitePool, OpenError> {
    persist(|| try_prepare(connect)).await
}

/// Two processes may prepare one file at the same time, and SQLite has no lock that spans it all:
/// whoever fails looks again.
async fn persist<T, F>(attempt: impl Fn() -> F) -> Result<T, OpenError>
where
    F: Future<Output = Result<T, OpenError>>,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(_) if attempts < OPEN_ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(20) * attempts).await;
                attempts += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn try_prepare(connect: &SqliteConnectOptions) -> Result<SqlitePool, OpenError> {
    // One connection for as long as the store lives: an in-memory database dies with it.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(connect.clone().pragma("cache_size", CACHE_KIB))
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    migrator()
        .run(&pool)
        .await
        .map_err(|source| OpenError::Migration { source })?;
    correlation::fill(&pool)
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    Ok(pool)
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.dangerous_set_table_name("eventstore_migrations");
    // A release may be rolled back over a newer schema: migrations only add.
    migrator.set_ignore_missing(true);
    migrator
}
