//! Handling dead letters again, by the same handler and with the same promise.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::attempt::{Outcome, by_handler, guarded};
use super::dead_letter::{Claim, DeadLetterQuery, list};
use super::error::ConsumerError;
use super::handler::{Delivery, HandlerError};
use super::running::Running;
use crate::event::{Position, RecordedEvent};
use crate::reader::Reader;

/// How long a replay without a time-out keeps others away.
const UNBOUNDED_CLAIM: Duration = Duration::from_secs(600);
/// Dead letters that are looked up at once.
const PAGE: usize = 100;

/// What came of replaying many dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Handled now, and removed.
    pub handled: u64,
    /// Failed again, and kept.
    pub failed: u64,
    /// Replayed by somebody else, or gone meanwhile.
    pub skipped: u64,
}

/// Replays one.
pub(super) async fn one(running: &Running, position: Position) -> Result<(), ConsumerError> {
    let limit = running.options.batch_timeout;
    let claim = Claim {
        database: &running.database,
        clock: running.clock,
        subscription: &running.options.name,
        position,
        token: Uuid::new_v4().to_string(),
    };
    // The wait for a place does not count, so the claim comes after it.
    let slot = running.slots.take(running.options.priority).await;
    let during = limit.map_or(UNBOUNDED_CLAIM, |limit| limit * 2);
    claim.take(during.max(running.options.lease)).await?;
    let outcome = claimed(running, &claim).await;
    drop(slot);
    match &outcome {
        Ok(()) => {}
        Err(ConsumerError::ReplayFailed { message, .. }) => claim.keep(message).await?,
        Err(_) => claim.give_back().await?,
    }
    outcome
}

async fn claimed(running: &Running, claim: &Claim<'_>) -> Result<(), ConsumerError> {
    let event = event_at(running, claim.position).await?;
    let batch = std::slice::from_ref(&event);
    let limit = running.options.batch_timeout;
    let failed = |error: HandlerError| ConsumerError::ReplayFailed {
        position: claim.position,
        message: error.message,
    };
    let busy = ConsumerError::DeadLetterBusy {
        position: claim.position,
    };
    match &running.delivery {
        Delivery::AtLeastOnce(handler) => {
            guarded(limit, handler.handle(batch))
                .await
                .map_err(failed)?;
            let mut transaction = running.database.begin().await?;
            claim.remove(&mut transaction.session()).await?;
            transaction.commit().await?;
        }
        Delivery::ExactlyOnce(handler) => {
            let mut transaction = running.database.begin().await?;
            if !claim.remove(&mut transaction.session()).await? {
                return Err(busy);
            }
            let call = handler.handle(batch, &mut transaction);
            if let Err(error) = guarded(limit, call).await {
                // A connection that is lost rolls back, too.
                let _ = transaction.rollback().await;
                return Err(failed(error));
            }
            match transaction.commit().await.map_err(by_handler) {
                Ok(()) => {}
                Err(Outcome::Failed(error)) => return Err(failed(error)),
                Err(Outcome::Unavailable(error)) => return Err(error.into()),
                Err(Outcome::Done | Outcome::Lost) => return Err(busy),
            }
        }
    }
    Ok(())
}

async fn event_at(running: &Running, position: Position) -> Result<RecordedEvent, ConsumerError> {
    let before = Position(position.0.saturating_sub(1));
    let events = Reader::new(running.database.clone())
        .read_all(before, 1)
        .await?;
    let found = events.into_iter().find(|event| event.position == position);
    found.ok_or_else(|| ConsumerError::ReplayFailed {
        position,
        message: "the event is no longer in the store".into(),
    })
}

/// Replays all of a subscription, or those of one tenant, each once and in the order of positions.
pub(super) async fn all(
    running: &Running,
    tenant: Option<&str>,
) -> Result<Replayed, ConsumerError> {
    let mut replayed = Replayed::default();
    let mut query = DeadLetterQuery {
        subscription: Some(running.options.name.clone()),
        tenant: tenant.map(str::to_owned),
        after: None,
        limit: PAGE,
    };
    loop {
        let page = list(&running.database, &query).await?;
        for letter in &page.letters {
            match one(running, letter.position).await {
                Ok(()) => replayed.handled += 1,
                Err(ConsumerError::ReplayFailed { .. }) => replayed.failed += 1,
                Err(ConsumerError::DeadLetterBusy { .. } | ConsumerError::NoDeadLetter { .. }) => {
                    replayed.skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        if page.next.is_none() {
            return Ok(replayed);
        }
        query.after = page.next;
    }
}
