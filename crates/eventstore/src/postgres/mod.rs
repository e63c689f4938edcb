//! PostgreSQL: one connection that writes, one that listens, a pool that reads.

mod listener;
mod lookup;
mod statements;
mod writer;

use std::str::FromStr;
use std::sync::Arc;
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
use crate::projection::Inline;
use crate::reader::Reader;
use crate::replica::{ASK_TIMEOUT, Replica};
use crate::store::Store;
use writer::PostgresWriter;

/// Channel of the notifications; their payload is the new head. Channels belong to one database, in
/// which several stores may lie: the position of another one must not be taken for our own.
fn channel(store: Uuid) -> String {
    format!("eventstore_{}_{LANE}", store.simple())
}

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection for reading that nobody uses is believed to be alive.
const TRUSTED: Duration = Duration::from_millis(500);

/// Longest wait before the first attempt to listen again.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Settings of every session.
///
/// `enable_seqscan`: all our statements go by an index, and the planner must not think otherwise
/// while a table is empty or was never analysed; a plan made then is kept by the session.
///
/// `jit`: a plan that cannot do without what is switched off counts as costly beyond measure, and
/// would be compiled for longer than it runs.
const SESSION: &str = "SET enable_seqscan = off; SET jit = off; SET statement_timeout = '30s'";

macro_rules! reading_session {
    () => {
        "SET enable_seqscan = off; SET jit = off; SET statement_timeout = '30s'; \
         SET enable_bitmapscan = off; SET enable_sort = off"
    };
}

/// Settings of the sessions that read, beside [`SESSION`].
///
/// A bitmap and a sort read everything that matches before they give the first row; an index that
/// has the order already stops at the limit. The planner takes the former where it believes that few
/// match, and may be wrong.
pub(crate) const READING_SESSION: &str = reading_session!();

/// Settings of sessions that must not write, whatever they are asked.
const READ_ONLY_SESSION: &str = concat!(
    "SET default_transaction_read_only = on; ",
    reading_session!()
);

/// Settings of the sessions that write beside the lane: checkpoints, effects, read models.
const WRITING_SESSION: &str = "SET enable_seqscan = off; SET jit = off; SET statement_timeout = '60s'; \
    SET synchronous_commit = on; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '60s'";

pub(crate) async fn open(url: &str, options: &Options) -> Result<Store, OpenError> {
    let connect = parse(url).map_err(|error| OpenError::UnsupportedUrl {
        message: error.to_string(),
    })?;
    let replica = match &options.read_replica_url {
        Some(url) => Some(replica_address(url.reveal())?),
        None => None,
    };
    migrate(&connect).await?;
    let reading = pool(options.read_connections, READING_SESSION, CONNECT_TIMEOUT)
        // To ask each time would double what a short read costs. One that was in use a moment ago is
        // as good as one that was just asked, and a read that finds it broken is repeated.
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(connect.clone());
    // A connection that fell silent within a transaction is not waited for when it is given back.
    let writing = pool(options.write_connections, WRITING_SESSION, CONNECT_TIMEOUT)
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
    let reader = match replica {
        Some(address) => {
            let pool = |connections| {
                pool(connections, READING_SESSION, ASK_TIMEOUT).connect_lazy_with(address.clone())
            };
            let replica = Replica::new(pool(options.read_connections), pool(1), id);
            reader.with_replica(replica)
        }
        None => reader,
    };
    let head = reader
        .head()
        .await
        .map_err(|error| OpenError::Unavailable {
            source: sqlx::Error::Protocol(error.to_string()),
        })?;
    let head = Head::new(head);
    let (tasks, cancelled) = (TaskTracker::new(), CancellationToken::new());
    if let Some(replica) = reader.replica() {
        let watch = Arc::clone(replica).watch(options.poll_interval);
        let until = cancelled.clone();
        tasks.spawn(async move {
            until.run_until_cancelled(watch).await;
        });
    }
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
    let inline = Inline::new(&options.inline_projections);
    inline
        .start(reader.database(), options.clock, &tasks, &cancelled)
        .await?;
    let writer = PostgresWriter::new(connect, channel(id), inline);
    Ok(Store::start(
        id, writer, reader, head, options, tasks, cancelled,
    ))
}

/// A database as it is: no table is made, and no statement on it writes.
pub(crate) async fn open_to_read(url: &str) -> Result<Database, OpenError> {
    let connect = parse(url).map_err(|error| OpenError::UnsupportedUrl {
        message: error.to_string(),
    })?;
    let reading = pool(1, READ_ONLY_SESSION, CONNECT_TIMEOUT)
        .connect_with(connect.clone())
        .await
        .map_err(|source| OpenError::Unavailable { source })?;
    // A transaction that says it writes would do so in any session.
    let writing = pool(1, READ_ONLY_SESSION, CONNECT_TIMEOUT).connect_lazy_with(connect);
    writing.close().await;
    Ok(Database::postgres(reading, writing))
}

fn parse(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let connect = PgConnectOptions::from_str(url)?.disable_statement_logging();
    Ok(match connect.get_application_name() {
        Some(_) => connect,
        None => connect.application_name("signet-eventstore"),
    })
}

fn replica_address(url: &str) -> Result<PgConnectOptions, OpenError> {
    let invalid = |message| OpenError::InvalidOption {
        option: "read_replica_url",
        message,
    };
    match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => {
            parse(url).map_err(|error| invalid(error.to_string()))
        }
        _ => Err(invalid("give postgres://user@host/database".into())),
    }
}

/// Connections that are made when they are needed.
fn pool(connections: u32, settings: &'static str, patience: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
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
