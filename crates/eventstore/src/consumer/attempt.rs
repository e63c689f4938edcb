//! One attempt: the handler called, its effects and the checkpoint written.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::handler::{Delivery, HandlerError};
use super::running::{Holding, Running};
use crate::event::{Position, RecordedEvent};

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Handled, and the checkpoint with it.
    Done,
    /// The handler failed; nothing is written.
    Failed(HandlerError),
    /// The partition is another's, or its checkpoint was put back.
    Lost,
    /// The database failed, not the handler. Whether its transaction was committed, the next look at
    /// the checkpoint tells.
    Unavailable(sqlx::Error),
}

impl From<sqlx::Error> for Outcome {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// Has the handler handle a batch; with it everything up to `upto` is done.
pub(super) async fn attempt(
    running: &Running,
    holding: &Holding,
    batch: &[RecordedEvent],
    upto: Position,
) -> Outcome {
    let outcome = match &running.delivery {
        Delivery::AtLeastOnce(handler) => {
            let limit = running.options.batch_timeout;
            match guarded(limit, handler.handle(batch)).await {
                // Its effects are there; the checkpoint follows, whatever it takes.
                Ok(()) => return Outcome::Done,
                Err(error) => Err(Outcome::Failed(error)),
            }
        }
        Delivery::ExactlyOnce(_) => in_transaction(running, holding, batch, upto).await,
    };
    outcome.err().unwrap_or(Outcome::Done)
}

async fn in_transaction(
    running: &Running,
    holding: &Holding,
    batch: &[RecordedEvent],
    upto: Position,
) -> Result<(), Outcome> {
    let Delivery::ExactlyOnce(handler) = &running.delivery else {
        return Ok(());
    };
    let (partition, epoch) = (holding.partition, holding.epoch);
    let mut transaction = running.database.begin().await?;
    let checkpoint = running
        .leases
        .fence(&mut transaction.session(), partition, epoch)
        .await?
        .ok_or(Outcome::Lost)?;
    if !holding.is_as_left(checkpoint, upto) {
        return Err(Outcome::Lost);
    }
    if checkpoint == upto {
        // An earlier attempt was committed, and its answer got lost.
        transaction.rollback().await?;
        holding.stored(upto);
        return Ok(());
    }
    let call = handler.handle(batch, &mut transaction);
    if let Err(error) = guarded(running.options.batch_timeout, call).await {
        // A connection that is lost rolls back, too.
        let _ = transaction.rollback().await;
        return Err(Outcome::Failed(error));
    }
    let asked = Instant::now();
    let fence = (epoch, holding.durable());
    let is_ours = running
        .leases
        .checkpoint(&mut transaction.session(), partition, fence, upto)
        .await
        .map_err(by_handler)?;
    if !is_ours {
        return Err(Outcome::Lost);
    }
    transaction.commit().await.map_err(by_handler)?;
    holding.stored(upto);
    holding.extend(asked + running.leases.lease);
    Ok(())
}

/// Writes the checkpoint of what has its effects elsewhere.
pub(super) async fn checkpoint(running: &Running, holding: &Holding, upto: Position) -> Outcome {
    let write = async {
        let asked = Instant::now();
        let mut transaction = running.database.begin().await?;
        let is_ours = running
            .leases
            .checkpoint(
                &mut transaction.session(),
                holding.partition,
                (holding.epoch, holding.durable()),
                upto,
            )
            .await?;
        transaction.commit().await?;
        if is_ours {
            holding.stored(upto);
            holding.extend(asked + running.leases.lease);
        }
        Ok::<_, sqlx::Error>(is_ours)
    };
    match write.await {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Lost,
        Err(error) => Outcome::Unavailable(error),
    }
}

/// Whose fault a failure at the end of a transaction is: the handler's, if the database did not
/// accept what it wrote, or if it went on after a statement that had failed.
pub(super) fn by_handler(error: sqlx::Error) -> Outcome {
    const DEFERRED_TRIGGER: &str = "P0001";
    const IN_FAILED_TRANSACTION: &str = "25P02";
    let is_refusal = error.as_database_error().is_some_and(|refusal| {
        let code = refusal.code().unwrap_or_default();
        refusal.is_unique_violation()
            || refusal.is_foreign_key_violation()
            || refusal.is_check_violation()
            || code.starts_with("23")
            || [DEFERRED_TRIGGER, IN_FAILED_TRANSACTION].contains(&code.as_ref())
    });
    if is_refusal {
        let message = format!("its transaction could not be committed: {error}");
        return Outcome::Failed(HandlerError::retryable(message));
    }
    Outcome::Unavailable(error)
}

/// Waits for a handler, but not for ever, and survives its panic.
pub(super) async fn guarded(
    limit: Option<Duration>,
    call: impl Future<Output = Result<(), HandlerError>>,
) -> Result<(), HandlerError> {
    let call = AssertUnwindSafe(call).catch_unwind();
    let outcome = match limit {
        None => call.await,
        Some(limit) => match tokio::time::timeout(limit, call).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("the handler did not end within {limit:?}");
                return Err(HandlerError::retryable(message));
            }
        },
    };
    outcome.unwrap_or_else(|panic| {
        let message = format!("the handler panicked: {}", text(&*panic));
        Err(HandlerError::retryable(message))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic
        .downcast_ref::<String>()
        .map_or("without a text", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::guarded;
    use crate::consumer::{Backoff, HandlerError};

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_its_time_and_no_more() {
        let limit = Some(Duration::from_secs(30));
        let takes = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        };
        let began = Instant::now();
        assert_eq!(guarded(limit, takes(29)).await, Ok(()));
        let late = guarded(limit, takes(3600)).await.unwrap_err();
        assert!(late.retry && late.message.contains("30s"), "{late}");
        assert_eq!(began.elapsed(), Duration::from_secs(59));
        assert_eq!(guarded(None, takes(3600)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_whatever_it_carries() {
        let with_text = guarded(None, async { panic!("number {}", 7) }).await;
        let text = "the handler panicked: number 7";
        assert_eq!(with_text, Err(HandlerError::retryable(text)));
        let with_number = guarded(None, async { std::panic::panic_any(7) }).await;
        let text = "the handler panicked: without a text";
        assert_eq!(with_number, Err(HandlerError::retryable(text)));
    }

    // As a worker does it: the waits add up to what the settings say, the jitter drawn at its most.
    #[tokio::test(start_paused = true)]
    async fn the_waits_between_attempts_grow_to_the_cap() {
        let backoff = Backoff {
            attempts: 6,
            base: Duration::from_secs(1),
            factor: 3.0,
            cap: Duration::from_secs(10),
        };
        let began = Instant::now();
        let mut at = Vec::new();
        for failures in 1..backoff.attempts {
            tokio::time::sleep(backoff.wait(failures, 1.0)).await;
            at.push(began.elapsed().as_secs());
        }
        assert_eq!(at, [1, 4, 13, 23, 33]);
    }
}
