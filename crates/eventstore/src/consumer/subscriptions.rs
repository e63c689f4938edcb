//! Looking after subscriptions from anywhere: where they stand, pause, resume, reset, dead letters.

use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;

use super::dead_letter::{self, DeadLetterPage, DeadLetterQuery};
use super::error::ConsumerError;
use crate::backend::LANE;
use crate::database::{Database, Row, Session, arguments};
use crate::error::ReadError;
use crate::event::Position;
use crate::reader::Reader;
use crate::store::EventStore;

/// Where a partition stands, as its table says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionStatus {
    /// Its number, from 0.
    pub partition: u32,
    /// Everything up to here is handled, a dead letter, or left out by the filter. For events that are
    /// left out it follows at a third of the lease.
    pub position: Position,
    /// Consumer that has it.
    pub owner: Option<String>,
    /// Counts the owners.
    pub epoch: u64,
    /// When events of it were handled for the last time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub moved_at: Option<OffsetDateTime>,
    /// Events of the store that are behind `position`, whatever the filter says to them.
    pub lag_events: u64,
    /// Age of the first of them in seconds; 0 if there is none.
    pub lag_seconds: f64,
}

/// Where a subscription stands, over all processes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriptionStatus {
    /// Its name.
    pub subscription: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Number of its dead letters.
    pub dead_letters: u64,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// Where a reset puts a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Everything above this position is handled (again).
    After(Position),
    /// Everything that was recorded at this time or later is handled (again).
    Time(OffsetDateTime),
}

/// All subscriptions of a store, whoever runs them.
#[derive(Clone)]
pub struct Subscriptions(Arc<dyn EventStore>);

impl Subscriptions {
    /// Looks after the subscriptions of `store`.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self(store)
    }

    fn database(&self) -> &Database {
        self.0.database()
    }

    /// Where all subscriptions stand, by name. `now` is what ages are counted to.
    ///
    /// # Errors
    /// [`ConsumerError::Database`] and [`ConsumerError::Read`].
    pub async fn all(&self, now: OffsetDateTime) -> Result<Vec<SubscriptionStatus>, ConsumerError> {
        let names = "SELECT subscription, paused FROM event_subscriptions ORDER BY subscription";
        let rows = self.database().fetch(names, Vec::new()).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            all.push(self.status_of(row.text(0)?, row.flag(1)?, now).await?);
        }
        Ok(all)
    }

    /// Where one subscription stands.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], and as [`all`](Self::all).
    pub async fn status(
        &self,
        subscription: &str,
        now: OffsetDateTime,
    ) -> Result<SubscriptionStatus, ConsumerError> {
        let paused = "SELECT paused FROM event_subscriptions WHERE subscription = $1";
        let rows = self.database().fetch(paused, arguments![subscription]);
        let rows = rows.await?;
        let row = rows.first().ok_or_else(|| not_found(subscription))?;
        self.status_of(subscription.to_owned(), row.flag(0)?, now)
            .await
    }

    async fn status_of(
        &self,
        subscription: String,
        paused: bool,
        now: OffsetDateTime,
    ) -> Result<SubscriptionStatus, ConsumerError> {
        let name = subscription.as_str();
        let count = "SELECT count(*) FROM event_dead_letters WHERE subscription = $1";
        let counted = self.database().fetch(count, arguments![name]).await?;
        let dead_letters = match counted.first() {
            Some(row) => row.int(0)?.unsigned_abs(),
            None => 0,
        };
        let head = self.0.head().await?;
        let partitions = "SELECT p.partition, p.position, p.owner, p.epoch, p.moved_at, \
              (SELECT e.recorded_at FROM events e \
               WHERE e.lane = $2 AND e.position = p.position + 1) \
            FROM event_subscription_partitions p \
            WHERE p.subscription = $1 ORDER BY p.partition";
        let arguments = arguments![name, i64::from(LANE)];
        let rows = self.database().fetch(partitions, arguments).await?;
        let partitions = rows.iter().map(|row| partition(row, head, now));
        Ok(SubscriptionStatus {
            partitions: partitions.collect::<Result<_, _>>()?,
            subscription,
            paused,
            dead_letters,
        })
    }

    /// Has all processes stop handling, when the batches at hand are through; until it is resumed,
    /// over restarts, too. They see it within their `poll`.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Database`].
    pub async fn pause(&self, subscription: &str) -> Result<(), ConsumerError> {
        let pause = "UPDATE event_subscriptions SET paused = true WHERE subscription = $1";
        self.set(subscription, pause).await
    }

    /// Has all processes go on, also with the partitions that have
    /// [stopped](super::PartitionState::Failed), whether the subscription was paused or not: what they
    /// could not get past is read and handled anew. They see it within their `poll`.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, subscription: &str) -> Result<(), ConsumerError> {
        let resume = "UPDATE event_subscriptions SET paused = false, resumed = resumed + 1 \
            WHERE subscription = $1";
        self.set(subscription, resume).await
    }

    async fn set(&self, subscription: &str, set: &str) -> Result<(), ConsumerError> {
        let set = self.database().execute(set, arguments![subscription]);
        match set.await? {
            0 => Err(not_found(subscription)),
            _ => Ok(()),
        }
    }

    /// Puts a paused subscription to another place, forward or back. What is handled at this moment
    /// is not committed any more. Its dead letters behind that place are dropped, for these events
    /// come again.
    ///
    /// # Errors
    /// [`ConsumerError::NotPaused`], [`ReadError::AheadOfStore`] for a place beyond the end of the
    /// store, and as [`pause`](Self::pause).
    pub async fn reset(&self, subscription: &str, to: Reset) -> Result<Position, ConsumerError> {
        let head = self.0.head().await?;
        let position = match to {
            Reset::After(position) => position,
            Reset::Time(time) => before(self.database(), head, time).await?,
        };
        if position > head {
            let cursor = position;
            return Err(ReadError::AheadOfStore { cursor, head }.into());
        }
        let mut transaction = self.database().begin().await?;
        let mut session = transaction.session();
        must_be_paused(&mut session, subscription).await?;
        // The epoch tells the owners that what they know of the partition is no longer so.
        session
            .execute(
                "UPDATE event_subscription_partitions \
                 SET position = $2, owner = NULL, epoch = epoch + 1, lease_until = 0 \
                 WHERE subscription = $1",
                arguments![subscription, position.0],
            )
            .await?;
        session
            .execute(
                "DELETE FROM event_dead_letters WHERE subscription = $1 AND position > $2",
                arguments![subscription, position.0],
            )
            .await?;
        transaction.commit().await?;
        Ok(position)
    }

    /// Divides a paused subscription into another number of partitions. Consumers that still run it
    /// with the former number handle nothing any more; they have to be started anew with this one.
    ///
    /// All partitions have to stand at the same place, for a checkpoint says nothing about the streams
    /// of another division: let them catch up while nothing is appended. Where that cannot be had, and
    /// it does no harm to handle events twice, [`reset`](Self::reset) it to its smallest checkpoint.
    ///
    /// # Errors
    /// [`ConsumerError::InvalidOption`] for a number that cannot be, or if the partitions do not stand
    /// at the same place; [`ConsumerError::NotPaused`], and as [`pause`](Self::pause).
    pub async fn repartition(
        &self,
        subscription: &str,
        partitions: u32,
    ) -> Result<(), ConsumerError> {
        super::repartition::repartition(self.database(), subscription, partitions).await
    }

    /// Forgets a paused subscription with its checkpoints and dead letters. Consumers that still run
    /// it handle nothing any more.
    ///
    /// # Errors
    /// [`ConsumerError::NotPaused`], and as [`pause`](Self::pause).
    pub async fn remove(&self, subscription: &str) -> Result<(), ConsumerError> {
        let mut transaction = self.database().begin().await?;
        let mut session = transaction.session();
        must_be_paused(&mut session, subscription).await?;
        for table in [
            "event_subscription_partitions",
            "event_subscription_members",
            "event_dead_letters",
            "event_subscriptions",
        ] {
            let delete = format!("DELETE FROM {table} WHERE subscription = $1");
            session.execute(delete, arguments![subscription]).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Dead letters, page by page.
    ///
    /// # Errors
    /// [`ConsumerError::Database`].
    pub async fn dead_letters(
        &self,
        query: &DeadLetterQuery,
    ) -> Result<DeadLetterPage, ConsumerError> {
        dead_letter::list(self.database(), query).await
    }

    /// Drops one dead letter: its event will not be handled.
    ///
    /// # Errors
    /// [`ConsumerError::NoDeadLetter`], [`ConsumerError::Database`].
    pub async fn drop_dead_letter(
        &self,
        subscription: &str,
        position: Position,
    ) -> Result<(), ConsumerError> {
        let one = dead_letter::drop_all(self.database(), subscription, None, Some(position));
        match one.await? {
            0 => Err(ConsumerError::NoDeadLetter {
                subscription: subscription.to_owned(),
                position,
            }),
            _ => Ok(()),
        }
    }

    /// Drops all dead letters of a subscription, or those of one tenant, and says how many.
    ///
    /// # Errors
    /// [`ConsumerError::Database`].
    pub async fn drop_dead_letters(
        &self,
        subscription: &str,
        tenant: Option<&str>,
    ) -> Result<u64, ConsumerError> {
        dead_letter::drop_all(self.database(), subscription, tenant, None).await
    }
}

fn not_found(subscription: &str) -> ConsumerError {
    ConsumerError::NotFound {
        subscription: subscription.to_owned(),
    }
}

fn partition(
    row: &Row,
    head: Position,
    now: OffsetDateTime,
) -> Result<PartitionStatus, sqlx::Error> {
    let position = Position(row.int(1)?.unsigned_abs());
    let waits = position < head;
    let age = match waits.then(|| row.time(5)) {
        Some(Ok(recorded_at)) => (now - recorded_at).as_seconds_f64().max(0.0),
        // The event is archived, or only just committed.
        Some(Err(_)) | None => 0.0,
    };
    Ok(PartitionStatus {
        partition: u32::try_from(row.int(0)?).unwrap_or(u32::MAX),
        position,
        owner: row.optional_text(2)?,
        epoch: row.int(3)?.unsigned_abs(),
        moved_at: row
            .optional_int(4)?
            .map(crate::database::from_microseconds)
            .transpose()?,
        lag_events: head.0.saturating_sub(position.0),
        lag_seconds: age,
    })
}

/// Also takes the row, so that nobody resumes it meanwhile.
pub(super) async fn must_be_paused(
    session: &mut Session<'_>,
    subscription: &str,
) -> Result<(), ConsumerError> {
    let take = "UPDATE event_subscriptions SET paused = paused WHERE subscription = $1 \
        RETURNING paused";
    let row = session.fetch_one(take, arguments![subscription]).await?;
    if row.ok_or_else(|| not_found(subscription))?.flag(0)? {
        return Ok(());
    }
    Err(ConsumerError::NotPaused {
        subscription: subscription.to_owned(),
    })
}

/// What was last said about a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) is_paused: bool,
    /// How often it was resumed.
    pub(super) resumed: i64,
}

/// None of one that was removed.
pub(super) async fn said(
    database: &Database,
    subscription: &str,
) -> Result<Option<Said>, sqlx::Error> {
    let said = "SELECT paused, resumed FROM event_subscriptions WHERE subscription = $1";
    let rows = database.fetch(said, arguments![subscription]).await?;
    let said = |row: &Row| {
        Ok(Said {
            is_paused: row.flag(0)?,
            resumed: row.int(1)?,
        })
    };
    rows.first().map(said).transpose()
}

/// Position of the last event recorded before `time`: times never decrease along the positions, so
/// halving finds it.
async fn before(
    database: &Database,
    head: Position,
    time: OffsetDateTime,
) -> Result<Position, ConsumerError> {
    let reader = Reader::new(database.clone());
    let (mut low, mut high) = (0, head.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let event = reader.read_all(Position(middle - 1), 1).await?;
        if event.first().is_some_and(|event| event.recorded_at < time) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Position(low))
}
