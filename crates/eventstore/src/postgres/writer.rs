//! The writing half: one connection, one transaction per group.
//!
//! A group that is decided by what the one before left behind is one message: a statement that checks
//! that, and stores. If that is not so any more, or not known, the transaction is four: take the lane, look
//! up, store, commit.

use std::mem;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity};
use time::OffsetDateTime;

use super::lookup::lookup;
use super::{SESSION, connect_in_time, statements};
use crate::backend::{CommitFailure, Committed, Writer};
use crate::chain;
use crate::database::Session;
use crate::event::Appended;
use crate::guess::Guesses;
use crate::memory::Memory;
use crate::plan::plan;
use crate::projection::{Inline, InlineFailure};
use crate::request::Request;
use crate::snapshot;

/// Settings of the session that writes, beside [`SESSION`].
///
/// `lock_timeout`: the wait for the lane behind another process.
/// `idle_in_transaction_session_timeout`: a process that stalls while it holds the lane is cut off
/// by the server, for it stops everybody.
/// `plan_cache_mode`: there is one good plan of each of its statements, however much is asked; without
/// this the server makes one anew for each group whenever the lists are longer than it guessed.
/// `default_transaction_…`: for the transactions of one message.
const WRITER_SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
    SET idle_in_transaction_session_timeout = '10s'; \
    SET plan_cache_mode = force_generic_plan";

/// Longest time for one group, whatever the network does. Beyond it the connection is given up.
const GROUP_TIMEOUT: Duration = Duration::from_secs(40);

pub(super) struct PostgresWriter {
    connect: PgConnectOptions,
    /// Where commits are announced.
    channel: String,
    inline: Inline,
    /// Kept from group to group; none after a failure.
    connection: Option<PgConnection>,
    guesses: Guesses,
}

/// How far a transaction came, for the case that it is cut off.
enum Stage {
    /// Nobody knows whether the session is in a transaction.
    Beginning,
    Preparing,
    /// With what is answered if it is through.
    Committing(Vec<Option<Appended>>),
}

impl PostgresWriter {
    pub(super) fn new(connect: PgConnectOptions, channel: String, inline: Inline) -> Self {
        Self {
            connect,
            channel,
            inline,
            connection: None,
            guesses: Guesses::default(),
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
        let mut stage = Stage::Beginning;
        let way = Way {
            inline: &self.inline,
            channel: &self.channel,
        };
        let mut guesses = mem::take(&mut self.guesses);
        let transaction = store(
            &mut connection,
            way,
            requests,
            now,
            &mut guesses,
            &mut stage,
        );
        let outcome = tokio::time::timeout(GROUP_TIMEOUT, transaction).await;
        match (outcome, stage) {
            (Ok(Ok(committed)), _) => {
                self.connection = Some(connection);
                self.guesses = guesses;
                Ok(committed)
            }
            (Ok(Err(InlineFailure::Refused { message })), _) => {
                self.connection = Some(connection);
                Err(CommitFailure::Refused { message })
            }
            (Ok(Err(InlineFailure::Database(error))), Stage::Beginning) => {
                Err(before_commit(&error))
            }
            (Ok(Err(InlineFailure::Database(error))), Stage::Preparing) => {
                let failure = before_commit(&error);
                // The server answered and goes on; the connection begins anew after a rollback.
                if matches!(failure, CommitFailure::Refused { .. }) {
                    self.connection = Some(connection);
                }
                Err(failure)
            }
            (Ok(Err(InlineFailure::Database(error))), Stage::Committing(planned)) => {
                Err(during_commit(&error, planned))
            }
            (Err(_), Stage::Beginning | Stage::Preparing) => Err(CommitFailure::Unavailable {
                message: "the database did not answer in time".into(),
            }),
            (Err(_), Stage::Committing(planned)) => Err(CommitFailure::Unknown {
                message: "the database did not answer the commit in time".into(),
                planned,
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

/// What every group meets on its way.
#[derive(Clone, Copy)]
struct Way<'w> {
    inline: &'w Inline,
    channel: &'w str,
}

async fn store(
    connection: &mut PgConnection,
    way: Way<'_>,
    requests: &[Request],
    now: OffsetDateTime,
    guesses: &mut Guesses,
    stage: &mut Stage,
) -> Result<Committed, InlineFailure> {
    if let Some(guess) = guesses.next(way.inline, requests, now) {
        // The statement ends with its commit.
        *stage = Stage::Committing(guess.plan.planned());
        match statements::store_behind(connection, &guess, way.channel).await {
            Ok(true) => return Ok(guesses.hit(guess)),
            Ok(false) => {}
            // Which of the requests it is for is found out below.
            Err(error) if is_of_content(&error) => {}
            Err(error) => {
                if is_taken_back(&error) {
                    *stage = Stage::Preparing;
                }
                return Err(error.into());
            }
        }
        *stage = Stage::Beginning;
        guesses.miss();
    }
    let memory = &mut guesses.memory;
    transact(connection, way, requests, now, memory, stage).await
}

async fn transact(
    connection: &mut PgConnection,
    way: Way<'_>,
    requests: &[Request],
    now: OffsetDateTime,
    memory: &mut Memory,
    stage: &mut Stage,
) -> Result<Committed, InlineFailure> {
    let offered = requests.iter().map(|request| request.events).sum::<usize>() as u64;
    let mut transaction = statements::take_lane(connection, offered, now).await?;
    *stage = Stage::Preparing;
    let last = memory.last();
    let found = lookup(&mut transaction, requests, last.map(|last| last.position)).await?;
    let mut known = found.known;
    let recorded_at = found.recorded_at.ok_or(sqlx::Error::RowNotFound)?;
    let head = found.head.saturating_sub(offered);
    if !memory.is_of(head) || found.hash != last.map(|last| last.hash) {
        memory.forget();
    }
    let plan = plan(head, &known.versions, &known.events, requests);
    let Some(last) = plan.rows.last() else {
        if plan.repeats() {
            // The session that stored it may have been ended while it waited for a standby: stored
            // here, but not there. A commit of our own waits for everything before it.
            statements::set_head(&mut transaction, head).await?;
            *stage = Stage::Committing(plan.planned());
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        return Ok(Committed::from_plan(plan));
    };
    if last.position != found.head {
        statements::set_head(&mut transaction, last.position).await?;
    }
    let links = chain::link(&plan.rows, mem::take(&mut known.chain_ends), recorded_at);
    let mut session = Session::Postgres(&mut transaction);
    for snapshot in plan.snapshots(requests) {
        snapshot::save(&mut session, snapshot).await?;
    }
    let channel = way.channel;
    statements::store_and_notify(&mut transaction, &plan.rows, &links, recorded_at, channel)
        .await?;
    let mut session = Session::Postgres(&mut transaction);
    way.inline
        .apply(&mut session, head, &plan.rows, &links, recorded_at)
        .await?;
    *stage = Stage::Committing(plan.planned());
    transaction.commit().await?;
    memory.take_in(known, &plan.rows, &links, recorded_at);
    Ok(Committed::from_plan(plan))
}

/// Whether the server took a transaction of one message back: it answers by an error that leaves the session
/// alive. When it ends the session, or what is between lost it, the commit may be behind that.
fn is_taken_back(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error();
    let answer = answer.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    answer.is_some_and(|answer| {
        let of_connection = answer.code().starts_with("08") || answer.code().starts_with("57P");
        answer.severity() == PgSeverity::Error && !of_connection
    })
}

/// Whether it did so for what the transaction has in it, or for what others did meanwhile.
fn is_of_content(error: &sqlx::Error) -> bool {
    let state = sql_state(error).unwrap_or_default();
    let of_content = matches!(
        state.get(..2),
        Some("0A" | "22" | "23" | "26" | "40" | "54")
    );
    of_content && is_taken_back(error)
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
        // Serialization failure or deadlock; connection exception.
        Some("40" | "08") => CommitFailure::Interrupted { message },
        // The server shuts down, or ended the session: for idling outside (57P05) or inside of a
        // transaction, or for one that took long.
        _ if matches!(
            state.as_str(),
            "57P01" | "57P02" | "57P05" | "25P03" | "25P04"
        ) =>
        {
            CommitFailure::Interrupted { message }
        }
        _ => CommitFailure::Unavailable { message },
    }
}

/// Maps a failure of the commit itself. Only an answer that names a rollback is one: a server that
/// shuts down may have committed and fail to say so.
fn during_commit(error: &sqlx::Error, planned: Vec<Option<Appended>>) -> CommitFailure {
    let message = error.to_string();
    match sql_state(error).as_deref() {
        // 40003 is "statement completion unknown".
        Some("40000" | "40001" | "40002" | "40P01") => CommitFailure::Interrupted { message },
        Some(state) if state.starts_with("23") => CommitFailure::Refused { message },
        _ => CommitFailure::Unknown { message, planned },
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
            during_commit(&lost(), Vec::new()),
            CommitFailure::Unknown { .. }
        ));
    }
}
