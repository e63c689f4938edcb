//! Making a subscription known when its name is used for the first time.

use super::error::ConsumerError;
use super::options::{ConsumerOptions, Start};
use crate::database::{Database, Session, arguments};
use crate::error::ReadError;
use crate::event::Position;
use crate::reader::{self, Source};

/// Registers the subscription, or checks that it is as it was.
///
/// # Errors
/// [`ConsumerError::PartitionsChanged`]; [`ReadError::AheadOfStore`] if it is, or is to begin, beyond
/// the end of the store.
pub(super) async fn register(
    database: &Database,
    options: &ConsumerOptions,
    head: Position,
) -> Result<(), ConsumerError> {
    let start = match options.start {
        Start::Beginning => Position::START,
        Start::Now => head,
        Start::After(position) => position,
    };
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    let name = options.name.as_str();
    let made = session
        .execute(
            "INSERT INTO event_subscriptions (subscription, partitions, paused) \
             VALUES ($1, $2, false) ON CONFLICT (subscription) DO NOTHING",
            arguments![name, i64::from(options.partitions)],
        )
        .await?;
    if made == 1 {
        for partition in 0..options.partitions {
            session
                .execute(
                    "INSERT INTO event_subscription_partitions \
                       (subscription, partition, position, epoch, leased_at, lease_until) \
                     VALUES ($1, $2, $3, 0, 0, 0)",
                    arguments![name, i64::from(partition), start.0],
                )
                .await?;
        }
    } else {
        check_partitions(&mut session, options).await?;
    }
    let furthest = session
        .fetch_one(
            "SELECT max(position) FROM event_subscription_partitions WHERE subscription = $1",
            arguments![name],
        )
        .await?;
    let furthest = match furthest {
        Some(row) => Position(row.optional_int(0)?.unwrap_or(0).unsigned_abs()),
        None => Position::START,
    };
    // Read after the checkpoints: others may have appended and handled since the caller looked.
    let head = reader::head(&mut Source::Session(session)).await?;
    if furthest > head {
        let cursor = furthest;
        return Err(ReadError::AheadOfStore { cursor, head }.into());
    }
    transaction.commit().await?;
    Ok(())
}

async fn check_partitions(
    session: &mut Session<'_>,
    options: &ConsumerOptions,
) -> Result<(), ConsumerError> {
    let row = session
        .fetch_one(
            "SELECT partitions FROM event_subscriptions WHERE subscription = $1",
            arguments![options.name.as_str()],
        )
        .await?
        // Removed since the insert.
        .ok_or_else(|| ConsumerError::NotFound {
            subscription: options.name.clone(),
        })?;
    let stored = u32::try_from(row.int(0)?).unwrap_or(u32::MAX);
    if stored == options.partitions {
        return Ok(());
    }
    Err(ConsumerError::PartitionsChanged {
        subscription: options.name.clone(),
        stored,
        asked: options.partitions,
    })
}
