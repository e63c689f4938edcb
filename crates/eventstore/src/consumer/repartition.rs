//! Dividing a subscription into another number of partitions.

use super::error::ConsumerError;
use super::options::MAX_PARTITIONS;
use super::subscriptions::must_be_paused;
use crate::database::{Database, Sql, arguments};

/// See [`Subscriptions::repartition`](super::Subscriptions::repartition).
///
/// Dead letters go by their stream and stay as they are.
pub(super) async fn repartition(
    database: &Database,
    subscription: &str,
    partitions: u32,
) -> Result<(), ConsumerError> {
    let refuse = |message: String| {
        let option = "partitions";
        Err(ConsumerError::InvalidOption { option, message })
    };
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        return refuse(format!("has to be from 1 to {MAX_PARTITIONS}"));
    }
    let mut transaction = database.begin().await?;
    let mut session = transaction.session();
    must_be_paused(&mut session, subscription).await?;
    // Waits for effects that are being written.
    let rows = "SELECT position, epoch FROM event_subscription_partitions \
        WHERE subscription = $1 ORDER BY partition";
    let rows = Sql::each(format!("{rows} FOR UPDATE"), rows);
    let rows = session.fetch(rows, arguments![subscription]).await?;
    let (mut smallest, mut greatest, mut epoch) = (i64::MAX, 0, 0);
    for row in &rows {
        let position = row.int(0)?;
        smallest = smallest.min(position);
        greatest = greatest.max(position);
        epoch = epoch.max(row.int(1)?);
    }
    if smallest < greatest {
        return refuse(format!(
            "can only change where all partitions stand at one place, not from {smallest} to \
             {greatest}; resume it until they do, or reset it to {smallest} if its events may be \
             handled twice"
        ));
    }
    session
        .execute(
            "UPDATE event_subscriptions SET partitions = $2 WHERE subscription = $1",
            arguments![subscription, i64::from(partitions)],
        )
        .await?;
    session
        .execute(
            "DELETE FROM event_subscription_partitions WHERE subscription = $1",
            arguments![subscription],
        )
        .await?;
    for partition in 0..partitions {
        // Former owners are recognised by their epoch.
        session
            .execute(
                "INSERT INTO event_subscription_partitions \
                   (subscription, partition, position, epoch, leased_at, lease_until) \
                 VALUES ($1, $2, $3, $4, 0, 0)",
                arguments![subscription, i64::from(partition), greatest, epoch + 1],
            )
            .await?;
    }
    Ok(transaction.commit().await?)
}
