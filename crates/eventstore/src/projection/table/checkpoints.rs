//! The rows of checkpoints: how far a partition is, and who may move it.

use super::unsigned;
use crate::database::{Argument, Database, Row, Session, Sql, arguments};

/// A row of `projection_checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) generation: i64,
    pub(crate) partition: u32,
    pub(crate) position: u64,
    pub(crate) documents: u64,
    /// Events applied per second by the last batches.
    pub(crate) rate: u64,
    pub(crate) written_at: i64,
    pub(crate) owner: Option<String>,
    pub(crate) lease_until: i64,
    pub(crate) failed: Option<Failed>,
}

/// The event that a partition cannot get past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) position: u64,
    pub(crate) message: String,
    pub(crate) at: i64,
}

/// The right to move a checkpoint, as long as nobody else has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) generation: i64,
    pub(crate) partition: u32,
    pub(crate) epoch: i64,
}

/// Time now, in microseconds since 1970: the server's on PostgreSQL, for the clocks of replicas differ
/// (and not `now()`, which stands still in a transaction); on SQLite, which is one machine's, ours.
macro_rules! now {
    (postgres) => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// All checkpoints of generations.
pub(crate) async fn look(
    database: &Database,
    generations: Vec<i64>,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    const COLUMNS: &str = "SELECT c.generation, c.partition, c.position, c.documents, c.rate, \
        c.written_at, c.owner, c.lease_until, c.failed_position, c.failure, c.failed_at";
    let rows = database
        .fetch(
            Sql::each(
                format!(
                    "{COLUMNS} FROM projection_checkpoints AS c WHERE c.generation = ANY ($1) \
                     ORDER BY c.generation, c.partition"
                ),
                format!(
                    "{COLUMNS} FROM projection_checkpoints AS c \
                     WHERE c.generation IN (SELECT value FROM json_each($1)) \
                     ORDER BY c.generation, c.partition"
                ),
            ),
            arguments![generations],
        )
        .await?;
    rows.iter().map(checkpoint).collect()
}

fn checkpoint(row: &Row) -> Result<Checkpoint, sqlx::Error> {
    let failed = match (row.optional_int(8)?, row.optional_text(9)?) {
        (Some(position), message) => Some(Failed {
            position: unsigned(position),
            message: message.unwrap_or_default(),
            at: row.optional_int(10)?.unwrap_or_default(),
        }),
        (None, _) => None,
    };
    Ok(Checkpoint {
        generation: row.int(0)?,
        partition: u32::try_from(row.int(1)?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        position: unsigned(row.int(2)?),
        documents: unsigned(row.int(3)?),
        rate: unsigned(row.int(4)?),
        written_at: row.int(5)?,
        owner: row.optional_text(6)?,
        lease_until: row.int(7)?,
        failed,
    })
}

/// A lease that was taken, and where its checkpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) lease: Lease,
    pub(crate) position: u64,
    pub(crate) documents: u64,
}

/// Takes the lease of a partition if it is free, run out, or the taker's own already. Nobody takes one
/// of a partition that failed. `now` counts on SQLite only; both times are microseconds.
pub(crate) async fn acquire(
    session: &mut Session<'_>,
    (generation, partition): (i64, u32),
    owner: &str,
    now: i64,
    lease_for: i64,
) -> Result<Option<Taken>, sqlx::Error> {
    // A lease that runs for longer than any is given out was given before the clock was put back.
    let sql = |now: &str| {
        format!(
            "UPDATE projection_checkpoints \
             SET owner = $3, epoch = epoch + 1, lease_until = {now} + $5 \
             WHERE generation = $1 AND partition = $2 AND failed_position IS NULL \
               AND (owner IS NULL OR owner = $3 OR lease_until <= {now} \
                 OR lease_until > {now} + 10 * $5) \
               AND $4 >= 0 \
             RETURNING epoch, position, documents"
        )
    };
    let row = session
        .fetch_one(
            Sql::each(sql(now!(postgres)), sql("$4")),
            arguments![
                generation,
                i64::from(partition),
                owner,
                now.max(0),
                lease_for
            ],
        )
        .await?;
    let taken = |row: Row| {
        Ok(Taken {
            lease: Lease {
                generation,
                partition,
                epoch: row.int(0)?,
            },
            position: unsigned(row.int(1)?),
            documents: unsigned(row.int(2)?),
        })
    };
    row.map(taken).transpose()
}

/// What a batch leaves at its checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// By how many the number of documents grows.
    pub(crate) grows: i64,
    /// Events per second.
    pub(crate) rate: u64,
}

/// Moves a checkpoint and prolongs its lease. False: somebody else has it, or moved it.
pub(crate) async fn advance(
    session: &mut Session<'_>,
    lease: Lease,
    step: Step,
    now: i64,
    lease_for: i64,
) -> Result<bool, sqlx::Error> {
    let sql = |server_now: &str| {
        format!(
            "UPDATE projection_checkpoints SET position = $5, documents = documents + $6, \
               rate = $7, written_at = $8, lease_until = {server_now} + $9 \
             WHERE generation = $1 AND partition = $2 AND epoch = $3 AND position = $4"
        )
    };
    let arguments: Vec<Argument> = arguments![
        lease.generation,
        i64::from(lease.partition),
        lease.epoch,
        step.from,
        step.to,
        step.grows,
        step.rate,
        now,
        lease_for,
    ];
    let touched = session
        .execute(Sql::each(sql(now!(postgres)), sql("$8")), arguments)
        .await?;
    Ok(touched == 1)
}

/// Prolongs a lease. False: somebody else has it.
pub(crate) async fn renew(
    session: &mut Session<'_>,
    lease: Lease,
    now: i64,
    lease_for: i64,
) -> Result<bool, sqlx::Error> {
    let sql = |now: &str| {
        format!(
            "UPDATE projection_checkpoints SET lease_until = {now} + $5 \
             WHERE generation = $1 AND partition = $2 AND epoch = $3 AND $4 >= 0"
        )
    };
    let touched = session
        .execute(
            Sql::each(sql(now!(postgres)), sql("$4")),
            arguments![
                lease.generation,
                i64::from(lease.partition),
                lease.epoch,
                now.max(0),
                lease_for,
            ],
        )
        .await?;
    Ok(touched == 1)
}

/// Gives a lease back.
pub(crate) async fn release(session: &mut Session<'_>, lease: Lease) -> Result<(), sqlx::Error> {
    session
        .execute(
            "UPDATE projection_checkpoints SET owner = NULL, lease_until = 0 \
             WHERE generation = $1 AND partition = $2 AND epoch = $3",
            arguments![lease.generation, i64::from(lease.partition), lease.epoch],
        )
        .await?;
    Ok(())
}

/// Notes that a partition cannot get past an event, and gives the lease back.
pub(crate) async fn fail(
    session: &mut Session<'_>,
    lease: Lease,
    failed: &Failed,
) -> Result<(), sqlx::Error> {
    session
        .execute(
            "UPDATE projection_checkpoints SET failed_position = $4, failure = $5, \
               failed_at = $6, owner = NULL, lease_until = 0 \
             WHERE generation = $1 AND partition = $2 AND epoch = $3",
            arguments![
                lease.generation,
                i64::from(lease.partition),
                lease.epoch,
                failed.position,
                failed.message.as_str(),
                failed.at,
            ],
        )
        .await?;
    Ok(())
}

/// Lets the partitions of a generation try again; gives the number of those that had failed.
pub(crate) async fn clear_failures(
    session: &mut Session<'_>,
    generation: i64,
) -> Result<u64, sqlx::Error> {
    let sql = "UPDATE projection_checkpoints \
        SET failed_position = NULL, failure = NULL, failed_at = NULL \
        WHERE generation = $1 AND failed_position IS NOT NULL";
    session.execute(sql, arguments![generation]).await
}

/// How far the partitions of a generation are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) least: u64,
    pub(crate) greatest: u64,
    /// Whether one of them cannot get past an event.
    pub(crate) failed: bool,
}

pub(crate) async fn span(session: &mut Session<'_>, generation: i64) -> Result<Span, sqlx::Error> {
    let row = session
        .fetch_one(
            "SELECT min(position), max(position), count(failed_position) \
             FROM projection_checkpoints WHERE generation = $1",
            arguments![generation],
        )
        .await?;
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    let position = |column| Ok::<_, sqlx::Error>(row.optional_int(column)?.map_or(0, unsigned));
    Ok(Span {
        least: position(0)?,
        greatest: position(1)?,
        failed: row.int(2)? > 0,
    })
}
