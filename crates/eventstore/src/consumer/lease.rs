//! Leases of partitions: taken, renewed, given back, taken over, and the fence in front of every
//! write.

use std::collections::BTreeMap;
use std::time::Duration;

use super::balance::share;
use super::moment::{Clock, length, local, timed, timed_locking};
use crate::database::{Argument, Database, Session, Sql, arguments};
use crate::event::Position;

/// A partition as it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) partition: u32,
    /// Grows with every owner.
    pub(super) epoch: i64,
    pub(super) position: Position,
}

/// What a holder says of a partition when it renews.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) epoch: i64,
    /// The last checkpoint that was surely committed.
    pub(super) durable: Position,
    /// Up to here everything is handled or left out by the filter.
    pub(super) reached: Position,
}

impl Held {
    /// Whether the table still has it as it was left: this epoch, and no checkpoint taken back. A failover
    /// that lost commits puts a checkpoint back, and the owner and the epoch may be the same.
    pub(super) fn is_still(&self, (epoch, stored): (i64, Position)) -> bool {
        epoch == self.epoch && stored >= self.durable
    }
}

/// What came of a round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Others have them now, or their checkpoint was put back.
    pub(super) lost: Vec<u32>,
    /// Checkpoints of those whose leases were renewed; the others' rows were locked.
    pub(super) renewed: BTreeMap<u32, Position>,
    pub(super) taken: Vec<Taken>,
    /// How many to hold.
    pub(super) share: usize,
}

/// One consumer's leases on a subscription.
#[derive(Debug, Clone)]
pub(super) struct Leases {
    pub(super) database: Database,
    pub(super) subscription: String,
    pub(super) owner: String,
    /// Number that this consumer divides the streams by.
    pub(super) partitions: u32,
    pub(super) lease: Duration,
    pub(super) clock: Clock,
}

/// Nobody's, no longer anybody's, or given by a clock that was set back since.
macro_rules! free {
    () => {
        "(owner IS NULL OR lease_until <= :now OR leased_at - :now > lease_until - leased_at)"
    };
}

impl Leases {
    fn arguments(&self, more: Vec<Argument>) -> Vec<Argument> {
        let mut all = arguments![self.subscription.as_str(), self.owner.as_str()];
        all.insert(0, local(self.clock));
        all.extend(more);
        all
    }

    /// Says that this consumer lives, renews what it holds, and takes what falls to it and is free.
    ///
    /// Nothing here waits for the row of a partition: one whose effects are being written is renewed
    /// with them. `at_most` partitions are shared out.
    pub(super) async fn round(
        &self,
        at_most: u32,
        held: &BTreeMap<u32, Held>,
    ) -> Result<Round, sqlx::Error> {
        let partitions = at_most.min(self.partitions);
        let mut transaction = self.database.begin().await?;
        let mut session = transaction.session();
        if !self.is_divided_alike(&mut session).await? {
            let subscription = &self.subscription;
            tracing::error!(
                subscription,
                "it was removed or is divided anew; start it again"
            );
            return Ok(Round {
                lost: held.keys().copied().collect(),
                ..Round::default()
            });
        }
        let members = self.live_members(&mut session).await?;
        let share = share(partitions, &members, &self.owner) as usize;
        let mine = self.mine(&mut session).await?;
        // `held` is older than this look, so a checkpoint of its holder's is never before it.
        let is_mine = |partition: &u32, held: &Held| {
            mine.get(partition)
                .is_some_and(|stored| held.is_still(*stored))
        };
        let lost: Vec<u32> = held
            .iter()
            .filter(|(partition, held)| !is_mine(partition, held))
            .map(|(partition, _)| *partition)
            .collect();
        let renewed = self.renew(&mut session, held).await?;
        let missing = share.saturating_sub(held.len() - lost.len());
        let taken = self.take_free(&mut session, held, missing).await?;
        transaction.commit().await?;
        Ok(Round {
            lost,
            renewed,
            taken,
            share,
        })
    }

    /// Whether the subscription still has the partitions that this consumer knows; it keeps them while
    /// the transaction lasts.
    async fn is_divided_alike(&self, session: &mut Session<'_>) -> Result<bool, sqlx::Error> {
        let stored = "SELECT partitions FROM event_subscriptions WHERE subscription = $1";
        let stored = Sql::each(format!("{stored} FOR SHARE"), stored);
        let arguments = arguments![self.subscription.as_str()];
        let row = session.fetch_one(stored, arguments).await?;
        let stored = row.map(|row| row.int(0)).transpose()?;
        Ok(stored == Some(i64::from(self.partitions)))
    }

    async fn live_members(&self, session: &mut Session<'_>) -> Result<Vec<String>, sqlx::Error> {
        session
            .execute(
                timed(
                    "INSERT INTO event_subscription_members \
                       (subscription, member, seen_at, seen_until) \
                     VALUES ($2, $3, :now, :now + $4) \
                     ON CONFLICT (subscription, member) DO UPDATE SET \
                       seen_at = excluded.seen_at, seen_until = excluded.seen_until",
                ),
                self.arguments(arguments![length(self.lease)]),
            )
            .await?;
        let rows = session
            .fetch(
                timed(
                    "SELECT member FROM event_subscription_members \
                     WHERE subscription = $2 AND (member = $3 OR \
                       (seen_until > :now AND seen_at - :now <= seen_until - seen_at))",
                ),
                self.arguments(Vec::new()),
            )
            .await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Epochs and checkpoints of the partitions that the table says are this consumer's.
    async fn mine(
        &self,
        session: &mut Session<'_>,
    ) -> Result<BTreeMap<u32, (i64, Position)>, sqlx::Error> {
        let rows = session
            .fetch(
                "SELECT partition, epoch, position FROM event_subscription_partitions \
                 WHERE subscription = $1 AND owner = $2",
                arguments![self.subscription.as_str(), self.owner.as_str()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let position = Position(row.int(2)?.unsigned_abs());
                Ok((number(row.int(0)?), (row.int(1)?, position)))
            })
            .collect()
    }

    async fn renew(
        &self,
        session: &mut Session<'_>,
        held: &BTreeMap<u32, Held>,
    ) -> Result<BTreeMap<u32, Position>, sqlx::Error> {
        let mut renewed = BTreeMap::new();
        let own = "SELECT partition, epoch, position FROM event_subscription_partitions \
            WHERE subscription = $2 AND owner = $3 ORDER BY partition";
        let rows = session
            .fetch(timed_locking(own), self.arguments(Vec::new()))
            .await?;
        for row in &rows {
            let (partition, epoch) = (number(row.int(0)?), row.int(1)?);
            let stored = Position(row.int(2)?.unsigned_abs());
            let held = held.get(&partition);
            let Some(held) = held.filter(|held| held.is_still((epoch, stored))) else {
                continue;
            };
            let reached = held.reached.max(stored);
            session
                .execute(
                    timed(
                        "UPDATE event_subscription_partitions \
                         SET position = $6, leased_at = :now, lease_until = :now + $5 \
                         WHERE subscription = $2 AND owner = $3 AND partition = $4",
                    ),
                    self.arguments(arguments![
                        i64::from(partition),
                        length(self.lease),
                        reached.0
                    ]),
                )
                .await?;
            renewed.insert(partition, reached);
        }
        Ok(renewed)
    }

    /// Takes up to `count` partitions that are free, or were this consumer's under an epoch that it
    /// gave up.
    async fn take_free(
        &self,
        session: &mut Session<'_>,
        held: &BTreeMap<u32, Held>,
        count: usize,
    ) -> Result<Vec<Taken>, sqlx::Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let free = concat!(
            "SELECT partition, epoch, position FROM event_subscription_partitions \
             WHERE subscription = $2 AND (owner = $3 OR ",
            free!(),
            ") ORDER BY partition"
        );
        let rows = session
            .fetch(timed_locking(free), self.arguments(Vec::new()))
            .await?;
        let mut taken = Vec::new();
        for row in &rows {
            let (partition, epoch) = (number(row.int(0)?), row.int(1)?);
            let still_held = held.get(&partition).is_some_and(|held| held.epoch == epoch);
            if still_held || taken.len() == count {
                continue;
            }
            session
                .execute(
                    timed(
                        "UPDATE event_subscription_partitions SET owner = $3, epoch = epoch + 1, \
                           leased_at = :now, lease_until = :now + $5 \
                         WHERE subscription = $2 AND partition = $4",
                    ),
                    self.arguments(arguments![i64::from(partition), length(self.lease)]),
                )
                .await?;
            taken.push(Taken {
                partition,
                epoch: epoch + 1,
                position: Position(row.int(2)?.unsigned_abs()),
            });
        }
        Ok(taken)
    }

    /// Takes the row of a partition and gives its checkpoint; none if it is another's by now. From
    /// here until the transaction ends nobody takes the partition over, whatever the time.
    pub(super) async fn fence(
        &self,
        session: &mut Session<'_>,
        partition: u32,
        epoch: i64,
    ) -> Result<Option<Position>, sqlx::Error> {
        let own = "SELECT position FROM event_subscription_partitions \
            WHERE subscription = $1 AND owner = $2 AND partition = $3 AND epoch = $4";
        let row = session
            .fetch_one(
                Sql::each(format!("{own} FOR UPDATE"), own),
                arguments![
                    self.subscription.as_str(),
                    self.owner.as_str(),
                    i64::from(partition),
                    epoch
                ],
            )
            .await?;
        row.map(|row| Ok(Position(row.int(0)?.unsigned_abs())))
            .transpose()
    }

    /// Moves the checkpoint and renews the lease; false if the partition is another's by now, or its
    /// checkpoint is before `durable`.
    pub(super) async fn checkpoint(
        &self,
        session: &mut Session<'_>,
        partition: u32,
        (epoch, durable): (i64, Position),
        position: Position,
    ) -> Result<bool, sqlx::Error> {
        let touched = session
            .execute(
                timed(
                    "UPDATE event_subscription_partitions SET position = $7, moved_at = :now, \
                       leased_at = :now, lease_until = :now + $6 \
                     WHERE subscription = $2 AND owner = $3 AND partition = $4 AND epoch = $5 \
                       AND position >= $8",
                ),
                self.arguments(arguments![
                    i64::from(partition),
                    epoch,
                    length(self.lease),
                    position.0,
                    durable.0
                ]),
            )
            .await?;
        Ok(touched == 1)
    }

    /// Gives partitions back; those that are another's by now are left alone, and so is a checkpoint
    /// that was put back.
    pub(super) async fn release(&self, released: Vec<(u32, Held)>) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let mut session = transaction.session();
        for (partition, held) in released {
            session
                .execute(
                    "UPDATE event_subscription_partitions \
                     SET owner = NULL, leased_at = 0, lease_until = 0, \
                       position = CASE WHEN position >= $6 AND position < $5 THEN $5 ELSE position END \
                     WHERE subscription = $1 AND owner = $2 AND partition = $3 AND epoch = $4",
                    arguments![
                        self.subscription.as_str(),
                        self.owner.as_str(),
                        i64::from(partition),
                        held.epoch,
                        held.reached.0,
                        held.durable.0
                    ],
                )
                .await?;
        }
        transaction.commit().await
    }

    /// Ends the membership, and forgets members that died long ago.
    pub(super) async fn leave(&self) -> Result<(), sqlx::Error> {
        let leave = timed(
            "DELETE FROM event_subscription_members \
             WHERE subscription = $2 AND (member = $3 OR seen_until < :now - $4)",
        );
        let long_ago = length(self.lease).saturating_mul(100);
        self.database
            .execute(leave, self.arguments(arguments![long_ago]))
            .await?;
        Ok(())
    }
}

/// Partitions are numbered from 0 to 255.
fn number(partition: i64) -> u32 {
    u32::try_from(partition).unwrap_or(u32::MAX)
}
