//! The writing half: one transaction per group.
//!
//! A group that is decided by what the one before left behind is sent with all that it needs at once, and
//! checked as it is stored. Otherwise the lane is taken first, and things are looked up.

use std::mem;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use super::insertion::{insert, insert_behind};
use super::lookup::lookup;
use crate::backend::{CommitFailure, Committed, LANE, Writer, to_i64};
use crate::chain::{self, ChainEnd, microseconds};
use crate::database::{Database, Session, from_microseconds};
use crate::guess::{Guess, Guesses};
use crate::memory::Memory;
use crate::plan::{Known, Plan, plan};
use crate::projection::{Inline, InlineFailure};
use crate::request::Request;
use crate::snapshot;

/// SQLite's result codes (sqlite.org/rescode.html), extended ones reduced to their low byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_FULL: i32 = 13;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;

pub(super) struct SqliteWriter {
    database: Database,
    inline: Inline,
    /// Kept from group to group.
    guesses: Guesses,
}

impl SqliteWriter {
    pub(super) fn new(database: Database, inline: Inline) -> Self {
        Self {
            database,
            inline,
            guesses: Guesses::default(),
        }
    }

    /// Stores a group if it is as it was thought to be, and says whether it did.
    async fn store_behind(&self, guess: &Guess<'_>) -> Result<bool, CommitFailure> {
        let mut connection = self.database.sqlite_writing().await.map_err(failure)?;
        let Err(error) = insert_behind(&mut connection, guess).await else {
            return Ok(true);
        };
        // SQLite may have ended the transaction by itself, or not have begun it.
        let rollback = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        match (code(&error), rollback) {
            // Which of the requests it is for is found out by looking things up.
            (Some(SQLITE_CONSTRAINT), Ok(_)) => Ok(false),
            (Some(SQLITE_BUSY | SQLITE_FULL), _) | (_, Ok(_)) => Err(failure(error)),
            (_, Err(_)) => Err(CommitFailure::Unknown {
                message: error.to_string(),
                planned: guess.plan.planned(),
            }),
        }
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(
        &mut self,
        requests: &[Request],
        now: OffsetDateTime,
    ) -> Result<Committed, CommitFailure> {
        let mut guesses = mem::take(&mut self.guesses);
        if let Some(guess) = guesses.next(&self.inline, requests, now) {
            if self.store_behind(&guess).await? {
                let committed = guesses.hit(guess);
                self.guesses = guesses;
                return Ok(committed);
            }
            guesses.miss();
        }
        let mut transaction = self.database.begin().await.map_err(failure)?;
        let Some(connection) = transaction.sqlite() else {
            let message = "not a connection to SQLite".into();
            return Err(CommitFailure::Unavailable { message });
        };
        let memory = &mut guesses.memory;
        let stored = store(connection, &self.inline, requests, now, memory);
        let group = stored.await.map_err(|error| match error {
            InlineFailure::Database(error) => failure(error),
            InlineFailure::Refused { message } => CommitFailure::Refused { message },
        })?;
        let plan = group.plan;
        if plan.rows.is_empty() {
            transaction.rollback().await.map_err(failure)?;
            self.guesses = guesses;
            return Ok(Committed::from_plan(plan));
        }
        transaction
            .commit()
            .await
            .map_err(|error| match code(&error) {
                // Nothing of it is in the log then that a reader would take for committed.
                Some(SQLITE_BUSY | SQLITE_FULL) => failure(error),
                _ => CommitFailure::Unknown {
                    message: error.to_string(),
                    planned: plan.planned(),
                },
            })?;
        memory.take_in(group.known, &plan.rows, &group.links, group.recorded_at);
        self.guesses = guesses;
        Ok(Committed::from_plan(plan))
    }

    async fn close(&mut self) {}
}

/// A group whose rows are written, if there are any.
struct Group<'a> {
    plan: Plan<'a>,
    known: Known,
    recorded_at: OffsetDateTime,
    /// One for each row.
    links: Vec<ChainEnd>,
}

/// Decides the requests and writes what is to be stored; nothing if no request is.
async fn store<'a>(
    connection: &mut SqliteConnection,
    inline: &Inline,
    requests: &'a [Request],
    now: OffsetDateTime,
    memory: &mut Memory,
) -> Result<Group<'a>, InlineFailure> {
    let offered = requests.iter().map(|request| request.events).sum::<usize>() as u64;
    let (head, recorded_at) = take_lane(connection, offered, now).await?;
    let mut known = lookup(connection, requests, head, memory).await?;
    let plan = plan(head, &known.versions, &known.events, requests);
    let Some(last) = plan.rows.last() else {
        return Ok(Group {
            plan,
            known,
            recorded_at,
            links: Vec::new(),
        });
    };
    if last.position != head + offered {
        set_head(connection, last.position).await?;
    }
    let links = chain::link(&plan.rows, mem::take(&mut known.chain_ends), recorded_at);
    let mut session = Session::Sqlite(connection);
    for snapshot in plan.snapshots(requests) {
        snapshot::save(&mut session, snapshot).await?;
    }
    insert(connection, &plan.rows, &links, recorded_at).await?;
    let mut session = Session::Sqlite(connection);
    inline
        .apply(&mut session, head, &plan.rows, &links, recorded_at)
        .await?;
    Ok(Group {
        plan,
        known,
        recorded_at,
        links,
    })
}

/// Takes the lane and `offered` positions: the first statement of the transaction. Gives the
/// position before them, and the time to record.
async fn take_lane(
    connection: &mut SqliteConnection,
    offered: u64,
    now: OffsetDateTime,
) -> Result<(u64, OffsetDateTime), sqlx::Error> {
    let row = sqlx::query(
        "UPDATE event_lanes SET head = head + ?2, recorded_at = max(recorded_at, ?3) \
         WHERE lane = ?1 RETURNING head - ?2, recorded_at",
    )
    .bind(LANE)
    .bind(to_i64(offered))
    .bind(microseconds(now))
    .fetch_one(connection)
    .await?;
    let head: i64 = row.try_get(0)?;
    Ok((head.unsigned_abs(), from_microseconds(row.try_get(1)?)?))
}

/// Gives back the positions that refused requests do not need.
async fn set_head(connection: &mut SqliteConnection, head: u64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE event_lanes SET head = ?2 WHERE lane = ?1")
        .bind(LANE)
        .bind(to_i64(head))
        .execute(connection)
        .await?;
    Ok(())
}

/// Maps a failure before the commit; the transaction is rolled back when it is dropped.
fn failure(error: sqlx::Error) -> CommitFailure {
    let message = error.to_string();
    match code(&error) {
        // Another process writes all the time, and SQLite keeps no queue.
        Some(SQLITE_BUSY) => CommitFailure::Interrupted { message },
        Some(SQLITE_TOOBIG | SQLITE_CONSTRAINT) => CommitFailure::Refused { message },
        _ => CommitFailure::Unavailable { message },
    }
}

fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
