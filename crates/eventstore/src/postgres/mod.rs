//! PostgreSQL: one connection that writes, one that listens, a pool that reads.

mod listener;
mod statements;
mod writer;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::backend::LANE;
use crate::database::Database;
use crate::error::OpenError;
use crate::head::Head;
use crate::identity;
use crate::options::Options;
use crate::reader::Reader;
use crate::store::Store;
use writer::PostgresWriter;

/// Channel of the notifications; their payload is the new head. Channels belong to one database, in
/// which several stores may lie: the position of another one must not be taken for our own.
fn channel(store: Uuid) -> String {
    format!("eventstore_{}_{LANE}", store.simple())
}

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait before the first attempt to listen again.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Settings of every session.
///
/// `enable_seqscan`: all our statements go by an index, and the planner must not think otherwise
/// while a table is empty or was never analysed; a plan made then is kept by the session.
const SESSION: &str = "SET enable_seqscan = off; SET statement_timeout = '30s'";

/// Settings of the sessions that write beside the lane: checkpoints, effects, read models.
const WRITING_SESSION: &str = "SET enable_seqscan = off; SET statement_timeout = '60s'; \
    SET synchronous_commit = on; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '60s'";

pub(crate) async fn open(url: &str, options: &Options) -> Result<Store, OpenError> {
    let mut connect = PgConnectOptions::from_str(url)
        .map_err(|error| OpenError::UnsupportedUrl {
            message: error.to_string(),
        })?
        .disable_statement_logging();
    if connect.get_application_name().is_none() {
        connect = connect.application_name("signet-eventstore");
    }
    migrate(&connect).await?;
    let reading = pool(options.read_connections, SESSION).connect_lazy_with(connect.clone());
    // A connection that fell silent within a transaction is not waited for when it is given back.
    let writing = pool(options.write_connections, WRITING_SESSION)
        .after_release(|connection, _| {
            Box::pin(async move {
                let answer = timeout(CONNECT_TIMEOUT, connection.ping()).await;
                answer
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                    .map(|()| true)
            })
        })
        .connect_lazy_with(connect.clone());
    let reader = Reader::new(Database::postgres(reading, writing));
    let id = identity::prepare(reader.database())
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    let head = reader
        .head()
        .await
        .map_err(|error| OpenError::Unavailable {
            source: sqlx::Error::Protocol(error.to_string()),
        })?;
    let head = Head::new(head);
    let (tasks, cancelled) = (TaskTracker::new(), CancellationToken::new());
    let listen = listener::listen(
        connect.clone(),
        channel(id),
        reader.clone(),
        head.clone(),
        options.poll_interval.min(LONGEST_FIRST_PAUSE),
    );
    let until = cancelled.clone();
    tasks.spawn(async move {
        until.run_until_cancelled(listen).await;
    });
    let writer = PostgresWriter::new(connect, channel(id));
    Ok(Store::start(
        id, writer, reader, head, options, tasks, cancelled,
    ))
}

/// Connections that are made when they are needed.
fn pool(connections: u32, settings: &'static str) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        })
}

/// Brings the tables up to date; an advisory lock of the migrator lets one process do it at a time.
async fn migrate(connect: &PgConnectOptions) -> Result<(), OpenError> {
    // Not a session of the readers: waiting for the lock and migrating may take long.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(connect.clone())
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.dangerous_set_table_name("eventstore_migrations");
    // A release may be rolled back over a newer schema: migrations only add.
    migrator.set_ignore_missing(true);
    migrator
        .run(&pool)
        .await
        .map_err(|source| OpenError::Migration { source })?;
    pool.close().await;
    Ok(())
}

async fn connect_in_time(connect: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    match timeout(CONNECT_TIMEOUT, connect.connect()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
