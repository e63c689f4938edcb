//! One run of a migration at a time.
//!
//! Whoever takes the lease raises its epoch, and all that is written down about the migration is written
//! under an epoch, in a transaction that holds the lease's row: one that was overtaken writes nothing
//! there. Its appends it may still get through, and they do no harm: they have the ids and expected
//! versions that the other run gives them, too.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::error::MigrationError;
use crate::chain::microseconds;
use crate::database::{Argument, Database, Session, Sql, arguments, from_microseconds};

/// A lease that ends more of its lengths from now than this was given before the clock was set back: none
/// is given out for so long.
const LONGEST: u32 = 10;

/// The right to run a migration.
pub(super) struct Lease {
    database: Database,
    name: String,
    epoch: i64,
    length: Duration,
    clock: fn() -> OffsetDateTime,
    renewed: Instant,
}

impl Lease {
    /// Takes the lease of a migration, if nobody has it.
    pub(super) async fn take(
        database: &Database,
        name: &str,
        length: Duration,
        clock: fn() -> OffsetDateTime,
    ) -> Result<Self, MigrationError> {
        let renewed = Instant::now();
        let mut transaction = database.begin().await?;
        let mut session = transaction.session();
        // Makes the row if need be, and holds it.
        let row = session
            .fetch_one(
                "INSERT INTO event_migrations (name, epoch, lease_until, begun_at) \
                 VALUES ($1, 0, 0, 0) \
                 ON CONFLICT (name) DO UPDATE SET name = excluded.name \
                 RETURNING epoch, lease_until",
                arguments![name],
            )
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        let (epoch, until) = (row.int(0)? + 1, row.int(1)?);
        let now = now(&mut session, clock).await?;
        if until > now && until <= end(now, length.saturating_mul(LONGEST)) {
            return Err(MigrationError::Leased {
                name: name.to_owned(),
                until: from_microseconds(until)?,
            });
        }
        session
            .execute(
                "UPDATE event_migrations SET epoch = $2, lease_until = $3, begun_at = $4, \
                   ended_at = NULL WHERE name = $1",
                arguments![name, epoch, end(now, length), now],
            )
            .await?;
        transaction.commit().await?;
        Ok(Self {
            database: database.clone(),
            name: name.to_owned(),
            epoch,
            length,
            clock,
            renewed,
        })
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Renews the lease when a third of it is over.
    pub(super) async fn keep(&mut self) -> Result<(), MigrationError> {
        if self.renewed.elapsed() < self.length / 3 {
            return Ok(());
        }
        self.write(None).await
    }

    /// Writes a statement down under this epoch, and renews the lease.
    pub(super) async fn write(
        &mut self,
        statement: Option<(Sql<'_>, Vec<Argument>)>,
    ) -> Result<(), MigrationError> {
        let renewed = Instant::now();
        let mut transaction = self.database.begin().await?;
        let mut session = transaction.session();
        // Holds the row before the time is asked for.
        let mine = session
            .execute(
                "UPDATE event_migrations SET epoch = epoch WHERE name = $1 AND epoch = $2",
                arguments![self.name.as_str(), self.epoch],
            )
            .await?;
        if mine == 0 {
            let name = self.name.clone();
            return Err(MigrationError::LeaseLost { name });
        }
        let until = end(now(&mut session, self.clock).await?, self.length);
        session
            .execute(
                "UPDATE event_migrations SET lease_until = $2 WHERE name = $1",
                arguments![self.name.as_str(), until],
            )
            .await?;
        if let Some((sql, arguments)) = statement {
            session.execute(sql, arguments).await?;
        }
        transaction.commit().await?;
        self.renewed = renewed;
        Ok(())
    }

    /// Gives the lease back, with the report of a run that came to its end.
    pub(super) async fn give_back(mut self, report: Option<String>) -> Result<(), MigrationError> {
        let (name, epoch) = (self.name.clone(), self.epoch);
        let ended = microseconds((self.clock)());
        let statement = match report {
            Some(report) => (
                "UPDATE event_migrations SET lease_until = 0, ended_at = $3, report = $4 \
                 WHERE name = $1 AND epoch = $2"
                    .into(),
                arguments![name, epoch, ended, report],
            ),
            None => (
                "UPDATE event_migrations SET lease_until = 0 WHERE name = $1 AND epoch = $2".into(),
                arguments![name, epoch],
            ),
        };
        self.write(Some(statement)).await
    }
}

fn end(now: i64, length: Duration) -> i64 {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    now.saturating_add(length)
}

/// The time that a lease is judged by: the server's, since many machines use it; on SQLite the caller's.
async fn now(session: &mut Session<'_>, clock: fn() -> OffsetDateTime) -> Result<i64, sqlx::Error> {
    // Not `now()`, which is when the transaction began, before it waited for the row.
    const NOW: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)";
    match session {
        Session::Postgres(_) => {
            let row = session.fetch_one(NOW, Vec::new()).await?;
            row.ok_or(sqlx::Error::RowNotFound)?.int(0)
        }
        Session::Sqlite(_) => Ok(microseconds(clock())),
    }
}
