//! Events that a handler could not handle: kept with what is known about the failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::ConsumerError;
use super::moment::{Clock, length, local, timed};
use crate::database::{Argument, Database, Row, Session, arguments};
use crate::event::{Position, StreamKey};

/// Most dead letters that are given at once.
const MAX_PAGE: usize = 1000;

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Whose handler failed.
    pub subscription: String,
    /// Partition that the event was in when it was given up.
    pub partition: u32,
    /// Position of the event.
    pub position: Position,
    /// Stream of the event, with its tenant.
    pub stream: StreamKey,
    /// Id of the event.
    pub event_id: Uuid,
    /// Name of what happened.
    pub event_type: String,
    /// What the last failure was.
    pub error: String,
    /// Position of the dead letter of its stream that it waits behind, as it was when the event came;
    /// none once it failed itself. See [`AfterDeadLetter`](super::AfterDeadLetter).
    pub held_behind: Option<Position>,
    /// Failures, those of replays included; none of an event that only waits.
    pub attempts: u32,
    /// When it failed for the first time, or began to wait.
    #[serde(with = "time::serde::rfc3339")]
    pub first_failed_at: OffsetDateTime,
    /// When it failed for the last time, or began to wait.
    #[serde(with = "time::serde::rfc3339")]
    pub last_failed_at: OffsetDateTime,
}

/// Which dead letters to list; they come by subscription, then by position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Only those of this subscription.
    pub subscription: Option<String>,
    /// Only those of this tenant.
    pub tenant: Option<String>,
    /// Only those behind this one.
    pub after: Option<DeadLetterCursor>,
    /// How many, from 1 to 1000.
    pub limit: usize,
}

/// Place of a dead letter in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterCursor {
    /// Its subscription.
    pub subscription: String,
    /// Its position.
    pub position: Position,
}

/// Some dead letters, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterPage {
    /// The dead letters.
    pub letters: Vec<DeadLetter>,
    /// Cursor of the last one, if there may be more.
    pub next: Option<DeadLetterCursor>,
}

/// A text that PostgreSQL takes, and not an endless one.
pub(super) fn storable(message: &str) -> String {
    const LONGEST: usize = 4000;
    message
        .replace('\0', "\u{fffd}")
        .chars()
        .take(LONGEST)
        .collect()
}

/// Conditions on the subscription and the tenant, as `$1` and `$2` if both are given.
fn scope(subscription: Option<&str>, tenant: Option<&str>) -> (String, Vec<Argument>) {
    let mut arguments = Vec::new();
    let mut condition = String::from("true");
    for (column, value) in [("subscription", subscription), ("tenant", tenant)] {
        if let Some(value) = value {
            arguments.push(Argument::from(value));
            condition.push_str(&format!(" AND {column} = ${}", arguments.len()));
        }
    }
    (condition, arguments)
}

pub(super) async fn list(
    database: &Database,
    query: &DeadLetterQuery,
) -> Result<DeadLetterPage, ConsumerError> {
    let limit = query.limit.clamp(1, MAX_PAGE);
    let (mut condition, mut arguments) =
        scope(query.subscription.as_deref(), query.tenant.as_deref());
    if let Some(after) = &query.after {
        let number = arguments.len();
        condition.push_str(&format!(
            " AND (subscription, position) > (${}, ${})",
            number + 1,
            number + 2
        ));
        arguments.extend(arguments![after.subscription.as_str(), after.position.0]);
    }
    let sql = format!(
        "SELECT subscription, position, partition, tenant, stream_type, stream_id, event_id, \
           event_type, error, attempts, first_failed_at, last_failed_at, held_behind \
         FROM event_dead_letters WHERE {condition} \
         ORDER BY subscription, position LIMIT {limit}"
    );
    let rows = database.fetch(sql, arguments).await?;
    let letters: Vec<DeadLetter> = rows.iter().map(letter).collect::<Result<_, _>>()?;
    let next = letters.last().filter(|_| letters.len() == limit);
    let next = next.map(|last| DeadLetterCursor {
        subscription: last.subscription.clone(),
        position: last.position,
    });
    Ok(DeadLetterPage { letters, next })
}

fn letter(row: &Row) -> Result<DeadLetter, sqlx::Error> {
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let position = |number: i64| Position(number.unsigned_abs());
    Ok(DeadLetter {
        subscription: row.text(0)?,
        position: position(row.int(1)?),
        partition: number(row.int(2)?),
        stream: StreamKey {
            tenant: row.text(3)?,
            stream_type: row.text(4)?,
            stream_id: row.text(5)?,
        },
        event_id: Uuid::parse_str(&row.text(6)?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        event_type: row.text(7)?,
        error: row.text(8)?,
        attempts: number(row.int(9)?),
        first_failed_at: row.microseconds(10)?,
        last_failed_at: row.microseconds(11)?,
        held_behind: row.optional_int(12)?.map(position),
    })
}

/// Deletes dead letters and gives their number.
pub(super) async fn drop_all(
    database: &Database,
    subscription: &str,
    tenant: Option<&str>,
    position: Option<Position>,
) -> Result<u64, ConsumerError> {
    let (mut condition, mut arguments) = scope(Some(subscription), tenant);
    if let Some(position) = position {
        arguments.push(Argument::from(position.0));
        condition.push_str(&format!(" AND position = ${}", arguments.len()));
    }
    let sql = format!("DELETE FROM event_dead_letters WHERE {condition}");
    Ok(database.execute(sql, arguments).await?)
}

/// Whoever replays a dead letter claims it first, so that nobody else does meanwhile.
pub(super) struct Claim<'a> {
    pub(super) database: &'a Database,
    pub(super) clock: Clock,
    pub(super) subscription: &'a str,
    pub(super) position: Position,
    pub(super) token: String,
}

impl Claim<'_> {
    /// Claims it for a time: whoever dies in a replay does not keep it.
    pub(super) async fn take(&self, during: Duration) -> Result<(), ConsumerError> {
        let claim = timed(
            "UPDATE event_dead_letters \
             SET claim = $4, claimed_at = :now, claimed_until = :now + $5 \
             WHERE subscription = $2 AND position = $3 AND (claim IS NULL \
               OR claimed_until <= :now OR claimed_at - :now > claimed_until - claimed_at)",
        );
        let arguments = arguments![
            local(self.clock),
            self.subscription,
            self.position.0,
            self.token.as_str(),
            length(during)
        ];
        if self.database.execute(claim, arguments).await? == 1 {
            return Ok(());
        }
        let there = "SELECT partition FROM event_dead_letters \
            WHERE subscription = $1 AND position = $2";
        let arguments = arguments![self.subscription, self.position.0];
        let position = self.position;
        if self.database.fetch(there, arguments).await?.is_empty() {
            let subscription = self.subscription.to_owned();
            return Err(ConsumerError::NoDeadLetter {
                subscription,
                position,
            });
        }
        Err(ConsumerError::DeadLetterBusy { position })
    }

    /// The first dead letter of its stream, if this one waits behind it.
    pub(super) async fn held_behind(
        &self,
        stream: &StreamKey,
    ) -> Result<Option<Position>, sqlx::Error> {
        let first = "SELECT min(other.position) \
            FROM event_dead_letters own JOIN event_dead_letters other \
              ON other.subscription = own.subscription \
                AND other.stream_id = own.stream_id AND other.position < own.position \
            WHERE own.subscription = $1 AND own.position = $2 AND own.held_behind IS NOT NULL \
              AND other.tenant = $3 AND other.stream_type = $4";
        let arguments = arguments![
            self.subscription,
            self.position.0,
            stream.tenant.as_str(),
            stream.stream_type.as_str()
        ];
        let rows = self.database.fetch(first, arguments).await?;
        let position = rows.first().map(|row| row.optional_int(0)).transpose()?;
        Ok(position.flatten().map(|at| Position(at.unsigned_abs())))
    }

    /// Removes it; false if the claim ran out and somebody else took it. The row is locked from here to
    /// the end of the transaction.
    pub(super) async fn remove(&self, session: &mut Session<'_>) -> Result<bool, sqlx::Error> {
        let remove = "DELETE FROM event_dead_letters \
            WHERE subscription = $1 AND position = $2 AND claim = $3";
        let arguments = arguments![self.subscription, self.position.0, self.token.as_str()];
        Ok(session.execute(remove, arguments).await? == 1)
    }

    /// Keeps it, with one failure more; the claim ends. What waited before has failed itself now.
    pub(super) async fn keep(&self, message: &str) -> Result<(), sqlx::Error> {
        let keep = "UPDATE event_dead_letters SET claim = NULL, error = $5, held_behind = NULL, \
              attempts = attempts + 1, last_failed_at = $4 \
            WHERE subscription = $1 AND position = $2 AND claim = $3";
        let arguments = arguments![
            self.subscription,
            self.position.0,
            self.token.as_str(),
            local(self.clock),
            storable(message)
        ];
        self.database.execute(keep, arguments).await.map(drop)
    }

    /// Ends the claim without a verdict.
    pub(super) async fn give_back(&self) -> Result<(), sqlx::Error> {
        let back = "UPDATE event_dead_letters SET claim = NULL \
            WHERE subscription = $1 AND position = $2 AND claim = $3";
        let arguments = arguments![self.subscription, self.position.0, self.token.as_str()];
        self.database.execute(back, arguments).await.map(drop)
    }
}
