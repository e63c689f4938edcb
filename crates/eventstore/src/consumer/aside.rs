//! Putting an event aside: because it failed, or because it has to wait behind one that did.
//!
//! Only the owner of a partition adds dead letters to it, behind the fence; anybody may take them away.
//! Whether an event has to wait is therefore decided in the transaction that puts it aside, with the row of
//! the partition in hand. Whoever takes a dead letter away after a replay takes that row, too, and looks for
//! more of the stream afterwards: so no event begins to wait for one that is gone without being found.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::dead_letter::storable;
use super::error::ConsumerError;
use super::handler::HandlerError;
use super::running::{Holding, Running};
use crate::chain::microseconds;
use crate::database::{Database, Session, Sql, arguments};
use crate::event::{Position, RecordedEvent, StreamKey};

/// Why an event is put aside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason<'a> {
    Failed {
        error: &'a HandlerError,
        failures: u32,
        first_failed_at: OffsetDateTime,
        last_failed_at: OffsetDateTime,
    },
    /// Its stream has a dead letter, if it still has one.
    Waits { since: OffsetDateTime },
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Aside,
    /// There is no dead letter that it would have to wait behind. Nothing is written.
    Free,
    /// The partition is another's, or its checkpoint was put back.
    Lost,
}

/// Stores a dead letter and moves the checkpoint past it, as one.
pub(super) async fn put(
    running: &Running,
    holding: &Holding,
    event: &RecordedEvent,
    upto: Position,
    reason: Reason<'_>,
) -> Result<Put, sqlx::Error> {
    let (partition, epoch) = (holding.partition, holding.epoch);
    let subscription = running.options.name.as_str();
    let mut transaction = running.database.begin().await?;
    let mut session = transaction.session();
    let fence = running.leases.fence(&mut session, partition, epoch).await?;
    let Some(checkpoint) = fence else {
        return Ok(Put::Lost);
    };
    if !holding.is_as_left(checkpoint, upto) {
        return Ok(Put::Lost);
    }
    if checkpoint == upto {
        // An earlier attempt was committed, and its answer got lost.
        transaction.rollback().await?;
        holding.stored(upto);
        return Ok(Put::Aside);
    }
    let (message, behind, failures, first, last) = match reason {
        Reason::Failed {
            error,
            failures,
            first_failed_at,
            last_failed_at,
        } => {
            let message = storable(&error.message);
            (message, None, failures, first_failed_at, last_failed_at)
        }
        Reason::Waits { since } => {
            let (stream, before) = (&event.stream, event.position);
            let first = first(&mut session, subscription, stream, before).await?;
            let Some(behind) = first else {
                return transaction.rollback().await.map(|()| Put::Free);
            };
            let message = format!("held back behind the dead letter at {behind}");
            (message, Some(behind), 0, since, since)
        }
    };
    session
        .execute(
            "INSERT INTO event_dead_letters (subscription, position, partition, tenant, \
               stream_type, stream_id, event_id, event_type, error, attempts, first_failed_at, \
               last_failed_at, claimed_at, claimed_until, held_behind) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13) \
             ON CONFLICT (subscription, position) DO UPDATE SET error = excluded.error, \
               attempts = event_dead_letters.attempts + excluded.attempts, \
               last_failed_at = excluded.last_failed_at, held_behind = excluded.held_behind",
            arguments![
                subscription,
                event.position.0,
                i64::from(partition),
                event.stream.tenant.as_str(),
                event.stream.stream_type.as_str(),
                event.stream.stream_id.as_str(),
                event.id.hyphenated().to_string(),
                event.event_type.as_str(),
                message,
                i64::from(failures),
                microseconds(first),
                microseconds(last),
                behind.map(|behind| crate::backend::to_i64(behind.0)),
            ],
        )
        .await?;
    let (leases, fence) = (&running.leases, (epoch, holding.durable()));
    if !leases
        .checkpoint(&mut session, partition, fence, upto)
        .await?
    {
        return Ok(Put::Lost);
    }
    transaction.commit().await?;
    holding.stored(upto);
    Ok(Put::Aside)
}

/// The first dead letter of a stream, if it is before a position.
pub(super) async fn first(
    session: &mut Session<'_>,
    subscription: &str,
    stream: &StreamKey,
    before: Position,
) -> Result<Option<Position>, sqlx::Error> {
    let row = session
        .fetch_one(
            "SELECT position FROM event_dead_letters \
             WHERE subscription = $1 AND stream_id = $2 AND position < $3 \
               AND tenant = $4 AND stream_type = $5 \
             ORDER BY position LIMIT 1",
            arguments![
                subscription,
                stream.stream_id.as_str(),
                before.0,
                stream.tenant.as_str(),
                stream.stream_type.as_str()
            ],
        )
        .await?;
    row.map(|row| Ok(Position(row.int(0)?.unsigned_abs())))
        .transpose()
}

/// The dead letter that comes next in a stream, and whether it waits or failed itself.
pub(super) async fn next(
    database: &Database,
    subscription: &str,
    stream: &StreamKey,
    after: Position,
) -> Result<Option<(Position, bool)>, sqlx::Error> {
    let rows = database
        .fetch(
            "SELECT position, held_behind FROM event_dead_letters \
             WHERE subscription = $1 AND stream_id = $2 AND position > $3 \
               AND tenant = $4 AND stream_type = $5 \
             ORDER BY position LIMIT 1",
            arguments![
                subscription,
                stream.stream_id.as_str(),
                after.0,
                stream.tenant.as_str(),
                stream.stream_type.as_str()
            ],
        )
        .await?;
    let next = rows.first().map(|row| {
        let position = Position(row.int(0)?.unsigned_abs());
        Ok((position, row.optional_int(1)?.is_some()))
    });
    next.transpose()
}

/// Keeps the owner of a partition from deciding anything about it until the transaction ends, and the
/// subscription divided as it is.
///
/// # Errors
/// [`ConsumerError::PartitionsChanged`] if it is divided otherwise, [`ConsumerError::NotFound`] if it is
/// gone.
pub(super) async fn hold_partition(
    session: &mut Session<'_>,
    subscription: &str,
    (partition, partitions): (u32, u32),
) -> Result<(), ConsumerError> {
    let row = "SELECT position FROM event_subscription_partitions \
        WHERE subscription = $1 AND partition = $2";
    let own = arguments![subscription, i64::from(partition)];
    let row = Sql::each(format!("{row} FOR UPDATE"), row);
    let is_held = session.fetch_one(row, own).await?.is_some();
    // Who divides anew takes the rows of all partitions first, so with one in hand this stays as it is;
    // the row of the subscription is left alone, for pausing has not to wait for a replay.
    let stored = "SELECT partitions FROM event_subscriptions WHERE subscription = $1";
    let stored = session.fetch_one(stored, arguments![subscription]).await?;
    let stored = stored.map(|row| row.int(0)).transpose()?;
    let subscription = subscription.to_owned();
    match stored.map(|stored| u32::try_from(stored).unwrap_or(u32::MAX)) {
        Some(stored) if stored != partitions => Err(ConsumerError::PartitionsChanged {
            subscription,
            stored,
            asked: partitions,
        }),
        Some(_) if is_held => Ok(()),
        _ => Err(ConsumerError::NotFound { subscription }),
    }
}

/// What a worker knows of the streams of its partition that have dead letters.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Surely none; only the worker itself adds the first one of its streams.
    is_clear: bool,
    of_batch: HashSet<StreamKey>,
}

impl Streams {
    /// Looks which streams of a batch may have one.
    pub(super) async fn look(
        &mut self,
        running: &Running,
        batch: &[RecordedEvent],
    ) -> Result<(), sqlx::Error> {
        const OF_THESE: [&str; 2] = [
            "SELECT s FROM unnest($2) AS s WHERE EXISTS (SELECT 1 FROM event_dead_letters \
               WHERE subscription = $1 AND stream_id = s)",
            "SELECT s.value FROM json_each($2) AS s WHERE EXISTS (SELECT 1 FROM event_dead_letters \
               WHERE subscription = $1 AND stream_id = s.value)",
        ];
        const ANY: &str = "SELECT position FROM event_dead_letters WHERE subscription = $1 LIMIT 1";
        self.of_batch.clear();
        if self.is_clear {
            return Ok(());
        }
        let (database, subscription) = (&running.database, running.options.name.as_str());
        let known = arguments![subscription];
        let ids: HashSet<&str> = batch
            .iter()
            .map(|event| event.stream.stream_id.as_str())
            .collect();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        let mut all = known.clone();
        all.push(ids.into());
        let [postgres, sqlite] = OF_THESE;
        let rows = database.fetch(Sql::each(postgres, sqlite), all).await?;
        if rows.is_empty() {
            self.is_clear = database.fetch(ANY, known).await?.is_empty();
            return Ok(());
        }
        let found: HashSet<String> = rows
            .iter()
            .map(|row| row.text(0))
            .collect::<Result<_, _>>()?;
        let of_batch = batch.iter().map(|event| &event.stream);
        let of_batch = of_batch.filter(|stream| found.contains(&stream.stream_id));
        self.of_batch.extend(of_batch.cloned());
        Ok(())
    }

    pub(super) fn may_have_one(&self, event: &RecordedEvent) -> bool {
        self.of_batch.contains(&event.stream)
    }

    pub(super) fn has_one(&mut self, event: &RecordedEvent) {
        self.is_clear = false;
        self.of_batch.insert(event.stream.clone());
    }

    pub(super) fn has_none(&mut self, event: &RecordedEvent) {
        self.of_batch.remove(&event.stream);
    }
}
