//! Handling dead letters again, by the same handler and with the same promise.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::aside::{hold_partition, next};
use super::attempt::{Outcome, by_handler, guarded};
use super::dead_letter::{Claim, DeadLetterQuery, list};
use super::dispatch::partition_of;
use super::error::ConsumerError;
use super::handler::{Delivery, HandlerError};
use super::options::AfterDeadLetter;
use super::running::Running;
use crate::database::Transaction;
use crate::event::{Position, RecordedEvent, StreamKey};
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
    /// Not tried, because one before it in its stream is still a dead letter.
    pub held_back: u64,
    /// Replayed by somebody else, or gone meanwhile.
    pub skipped: u64,
}

impl Replayed {
    /// Counts one; true if it was handled.
    ///
    /// # Errors
    /// What is not about this dead letter.
    fn count(&mut self, outcome: Result<StreamKey, ConsumerError>) -> Result<bool, ConsumerError> {
        match outcome {
            Ok(_) => self.handled += 1,
            Err(ConsumerError::ReplayFailed { .. }) => self.failed += 1,
            Err(ConsumerError::DeadLetterHeldBack { .. }) => self.held_back += 1,
            Err(ConsumerError::DeadLetterBusy { .. } | ConsumerError::NoDeadLetter { .. }) => {
                self.skipped += 1;
            }
            Err(error) => return Err(error),
        }
        Ok(outcome.is_ok())
    }
}

/// Replays one, and if it succeeds, those that wait behind it, in order, up to one that fails.
pub(super) async fn one(running: &Running, position: Position) -> Result<Replayed, ConsumerError> {
    let mut replayed = Replayed {
        handled: 1,
        ..Replayed::default()
    };
    let stream = single(running, position).await?;
    // The one that was asked for is done: what comes of the others is told beside it.
    if let Err(error) = follow(running, &stream, position, &mut replayed, |_| {}).await {
        let subscription = &running.options.name;
        tracing::warn!(subscription, %position, %error, "what waits behind it was not replayed");
    }
    Ok(replayed)
}

/// Replays what waits in a stream behind a dead letter that is gone.
async fn follow(
    running: &Running,
    stream: &StreamKey,
    mut after: Position,
    replayed: &mut Replayed,
    mut tried: impl FnMut(Position),
) -> Result<(), ConsumerError> {
    let (database, name) = (&running.database, &running.options.name);
    while let Some((position, true)) = next(database, name, stream, after).await? {
        tried(position);
        if !replayed.count(single(running, position).await)? {
            break;
        }
        after = position;
    }
    Ok(())
}

/// Replays one and none behind it; gives its stream.
async fn single(running: &Running, position: Position) -> Result<StreamKey, ConsumerError> {
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
        Ok(_) => {}
        Err(ConsumerError::ReplayFailed { message, .. }) => claim.keep(message).await?,
        Err(_) => claim.give_back().await?,
    }
    outcome
}

async fn claimed(running: &Running, claim: &Claim<'_>) -> Result<StreamKey, ConsumerError> {
    let event = event_at(running, claim.position).await?;
    if let Some(behind) = claim.held_behind(&event.stream).await? {
        let position = claim.position;
        return Err(ConsumerError::DeadLetterHeldBack { position, behind });
    }
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
            // Asked before, too, so that nothing is handled whose dead letter cannot be removed then.
            let mut transaction = running.database.begin().await?;
            hold_stream(running, &event.stream, &mut transaction).await?;
            transaction.rollback().await?;
            guarded(limit, handler.handle(batch))
                .await
                .map_err(failed)?;
            let mut transaction = running.database.begin().await?;
            hold_stream(running, &event.stream, &mut transaction).await?;
            claim.remove(&mut transaction.session()).await?;
            transaction.commit().await?;
        }
        Delivery::ExactlyOnce(handler) => {
            let mut transaction = running.database.begin().await?;
            // Before anything of the handler's, as the worker does it: else they could wait for each
            // other.
            hold_stream(running, &event.stream, &mut transaction).await?;
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
    Ok(event.stream)
}

/// Nothing of the stream is put aside from here to the end of the transaction, so that what comes after
/// it either finds the dead letter gone or is found behind it.
async fn hold_stream(
    running: &Running,
    stream: &StreamKey,
    transaction: &mut Transaction,
) -> Result<(), ConsumerError> {
    let options = &running.options;
    if options.after_dead_letter == AfterDeadLetter::Continue {
        return Ok(());
    }
    let partition = partition_of(stream, options.partitions);
    let divided = (partition, options.partitions);
    hold_partition(&mut transaction.session(), &options.name, divided).await
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
    let mut tried = HashSet::new();
    loop {
        let page = list(&running.database, &query).await?;
        for letter in &page.letters {
            // It was, behind another one.
            if tried.remove(&letter.position) {
                continue;
            }
            let outcome = single(running, letter.position).await;
            if replayed.count(outcome)? {
                let (stream, after) = (&letter.stream, letter.position);
                let note = |position| {
                    tried.insert(position);
                };
                follow(running, stream, after, &mut replayed, note).await?;
            }
        }
        if page.next.is_none() {
            return Ok(replayed);
        }
        query.after = page.next;
    }
}
