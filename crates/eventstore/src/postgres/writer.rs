//! The writing half: one connection, one transaction per group.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use time::OffsetDateTime;

use super::{SESSION, connect_in_time, statements};
use crate::backend::{CommitFailure, Committed, Writer};
use crate::chain::{self, chain_ends};
use crate::database::Session;
use crate::plan::plan;
use crate::projection::{Inline, InlineFailure};
use crate::request::Request;
use crate::snapshot;

/// Settings of the session that writes, beside [`SESSION`].
///
/// `lock_timeout`: the wait for the lane behind another process.
/// `idle_in_transaction_session_timeout`: a process that stalls while it holds the lane is cut off
/// by the server, for it stops everybody.
const WRITER_SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '10s'";

/// Longest time for one group, whatever the network does. Beyond it the connection is given up.
const GROUP_TIMEOUT: Duration = Duration::from_secs(40);

pub(super) struct PostgresWriter {
    connect: PgConnectOptions,
    inline: Inline,
    /// Kept from group to group; none after a failure.
    connection: Option<PgConnection>,
}

/// How far a transaction came, for the case that it is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    Committing,
}

impl PostgresWriter {
    pub(super) fn new(connect: PgConnectOptions, inline: Inline) -> Self {
        Self {
            connect,
            inline,
            connection: None,
        }
    }

    async fn connection(&mut self) -> Result<PgConnection, CommitFailure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let unavailable = |error: sqlx::Error| CommitFailure::Unavailable {
            message: error.to_string(),
        };
        let mut connection = connect_in_time(&self.connect).await.map_err(unavailable)?;
        for settings in [SESSION, WRITER_SESSION] {
            sqlx::raw_sql(settings)
                .execute(&mut connection)
                .await
                .map_err(unavailable)?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl Writer for PostgresWriter {
    async fn commit(
        &mut self,
        requests: &[Request],
        now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        let mut connection = self.connection().await?;
        let mut stage = Stage::Preparing;
        let transaction = transact(&mut connection, &self.inline, requests, now, &mut stage);
        let outcome = tokio::time::timeout(GROUP_TIMEOUT, transaction).await;
        match (outcome, stage) {
            (Ok(Ok(committed)), _) => {
                self.connection = Some(connection);
                Ok(committed)
            }
            (Ok(Err(InlineFailure::Refused { message })), _) => {
                self.connection = Some(connection);
                Err(CommitFailure::Refused { message })
            }
            (Ok(Err(InlineFailure::Database(error))), Stage::Preparing) => {
                let failure = before_commit(&error);
                // The server answered and goes on; the connection begins anew after a rollback.
                if matches!(failure, CommitFailure::Refused { .. }) {
                    self.connection = Some(connection);
                }
                Err(failure)
            }
            (Ok(Err(InlineFailure::Database(error))), Stage::Committing) => {
                Err(during_commit(&error))
            }
            (Err(_), Stage::Preparing) => Err(CommitFailure::Unavailable {
                message: "the database did not answer in time".into(),
            }),
            (Err(_), Stage::Committing) => Err(CommitFailure::Unknown {
                message: "the database did not answer the commit in time".into(),
            }),
        }
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Everything is committed; a broken farewell changes nothing.
            let _ = connection.close().await;
        }
    }
}

async fn transact(
    connection: &mut PgConnection,
    inline: &Inline,
    requests: &[Request],
    now: OffsetDateTime,
    stage: &mut Stage,
) -> Result<Committed, InlineFailure> {
    // Each statement must see what was committed before it began, whatever the database's default:
    // under a snapshot of the whole transaction the wait for the lane would end in a failure.
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        .await?;
    let offered = requests.iter().map(|request| request.events).sum::<usize>() as u64;
    let (head, recorded_at) = statements::take_lane(&mut transaction, offered, now).await?;
    let versions = statements::versions(&mut transaction, requests).await?;
    let known = statements::known(&mut transaction, requests).await?;
    let plan = plan(head, &versions, &known, requests);
    let Some(last) = plan.rows.last() else {
        transaction.rollback().await?;
        return Ok(Committed::from_plan(plan));
    };
    if last.position != head + offered {
        statements::set_head(&mut transaction, last.position).await?;
    }
    let mut session = Session::Postgres(&mut transaction);
    let ends = chain_ends(&mut session, &plan.rows).await?;
    let links = chain::link(&plan.rows, ends, recorded_at);
    for snapshot in plan.snapshots(requests) {
        snapshot::save(&mut session, snapshot).await?;
    }
    statements::insert_and_notify(&mut transaction, &plan.rows, &links, recorded_at).await?;
    let mut session = Session::Postgres(&mut transaction);
    inline
        .apply(&mut session, head, &plan.rows, &links, recorded_at)
        .await?;
    *stage = Stage::Committing;
    transaction.commit().await?;
    Ok(Committed::from_plan(plan))
}

/// SQLSTATE of an answer of the server.
fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Maps a failure of a statement: the transaction is rolled back.
fn before_commit(error: &sqlx::Error) -> CommitFailure {
    let message = error.to_string();
    let Some(state) = sql_state(error) else {
        // The connection broke, perhaps while nobody used it; a new one may work.
        return CommitFailure::Interrupted { message };
    };
    match state.get(..2) {
        // Data exception, integrity constraint violation, program limit exceeded.
        Some("22" | "23" | "54") => CommitFailure::Refused { message },
        // Serialization failure or deadlock; connection exception; the server shuts down or cut
        // the session off.
        Some("40" | "08") => CommitFailure::Interrupted { message },
        _ if matches!(state.as_str(), "57P01" | "57P02" | "25P03") => {
            CommitFailure::Interrupted { message }
        }
        _ => CommitFailure::Unavailable { message },
    }
}

/// Maps a failure of the commit itself. Only an answer that names a rollback is one: a server that
/// shuts down may have committed and fail to say so.
fn during_commit(error: &sqlx::Error) -> CommitFailure {
    let message = error.to_string();
    match sql_state(error).as_deref() {
        // 40003 is "statement completion unknown".
        Some("40000" | "40001" | "40002" | "40P01") => CommitFailure::Interrupted { message },
        Some(state) if state.starts_with("23") => CommitFailure::Refused { message },
        _ => CommitFailure::Unknown { message },
    }
}

#[cfg(test)]
mod tests {
    use super::{before_commit, during_commit};
    use crate::backend::CommitFailure;

    #[test]
    fn a_lost_connection_is_harmless_before_the_commit_and_unknown_during_it() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(
            before_commit(&lost()),
            CommitFailure::Interrupted { .. }
        ));
        assert!(matches!(
            during_commit(&lost()),
            CommitFailure::Unknown { .. }
        ));
    }
}
