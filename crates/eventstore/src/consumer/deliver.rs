//! A batch, handled in order: as a whole, one by one if that fails, and what cannot be handled put aside.

use super::aside::{Put, Reason, put};
use super::handler::HandlerError;
use super::options::{AfterDeadLetter, Exhausted};
use super::worker::{Ended, Failure, Worker};
use crate::event::{Position, RecordedEvent};

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Handled,
    PutAside,
}

impl Worker {
    /// Handles a batch. If that fails, its events go one by one, so that the guilty one is found.
    pub(super) async fn deliver(
        &mut self,
        batch: &[RecordedEvent],
        upto: Position,
    ) -> Result<(), Ended> {
        let holds = self.running.options.after_dead_letter == AfterDeadLetter::HoldStream;
        if holds {
            self.look_for_dead_letters(batch).await?;
        }
        let mut one_by_one = batch.len() == 1;
        let mut index = 0;
        while let Some(event) = batch.get(index) {
            let rest = &batch[index..];
            let waits = |event: &&RecordedEvent| self.streams.may_have_one(event);
            let free = rest.iter().position(|event| waits(&event));
            let count = match free {
                // The first one waits, unless its dead letter is gone by now.
                Some(0) => 1,
                _ if one_by_one => 1,
                Some(free) => free,
                None => rest.len(),
            };
            let reached = match batch.get(index + count) {
                Some(_) => rest[count - 1].position,
                None => upto,
            };
            if free == Some(0) && self.hold_back(event, reached).await? == Put::Aside {
                self.holding.reach(reached);
                index += 1;
                continue;
            }
            if count > 1 {
                if let Some(failure) = self.attempt(&rest[..count], reached).await? {
                    one_by_one = true;
                    if failure.error.retry {
                        self.back_off(1, &failure.error).await?;
                    }
                    continue;
                }
            } else {
                let is_retry = one_by_one && batch.len() > 1;
                let fate = self.deliver_one(event, reached, is_retry).await?;
                if holds && fate == Fate::PutAside {
                    self.streams.has_one(event);
                }
            }
            self.holding.reach(reached);
            index += count;
        }
        Ok(())
    }

    async fn look_for_dead_letters(&mut self, batch: &[RecordedEvent]) -> Result<(), Ended> {
        while let Err(error) = self.streams.look(&self.running, batch).await {
            self.database_failed(&error.to_string()).await?;
        }
        Ok(())
    }

    async fn deliver_one(
        &self,
        event: &RecordedEvent,
        upto: Position,
        mut is_retry: bool,
    ) -> Result<Fate, Ended> {
        let allowed = self.running.options.backoff.attempts;
        let mut failures = 0;
        let mut first_failed_at = None;
        loop {
            if is_retry {
                self.running.board.retried();
            }
            is_retry = true;
            let one = std::slice::from_ref(event);
            let Some(Failure { error, trial }) = self.attempt(one, upto).await? else {
                return Ok(Fate::Handled);
            };
            failures += 1;
            let now = (self.running.clock)();
            let first_failed_at = *first_failed_at.get_or_insert(now);
            // The attempt that opens the circuit decides nothing about the event: what fails may be
            // what the handler needs. A later one, let through alone, does.
            let may_decide = trial || self.running.breaker().is_closed();
            if !error.retry || (failures >= allowed && may_decide) {
                let reason = Reason::Failed {
                    error: &error,
                    failures,
                    first_failed_at,
                    last_failed_at: now,
                };
                self.give_up(event, upto, &error, reason).await?;
                return Ok(Fate::PutAside);
            }
            self.back_off(failures, &error).await?;
        }
    }

    async fn give_up(
        &self,
        event: &RecordedEvent,
        upto: Position,
        error: &HandlerError,
        reason: Reason<'_>,
    ) -> Result<(), Ended> {
        let (subscription, position) = (&self.running.options.name, event.position);
        if self.running.options.exhausted == Exhausted::Stop {
            let reason = format!("event {position} cannot be handled: {error}");
            return Err(Ended::Failed(reason));
        }
        self.put_aside(event, upto, reason).await?;
        tracing::warn!(subscription, %position, %error, "an event became a dead letter");
        Ok(())
    }

    /// Has an event wait behind the dead letter of its stream, if there still is one.
    async fn hold_back(&mut self, event: &RecordedEvent, upto: Position) -> Result<Put, Ended> {
        self.unless_paused().await?;
        let since = (self.running.clock)();
        let put = self.put_aside(event, upto, Reason::Waits { since }).await?;
        if put == Put::Aside {
            let (subscription, position) = (&self.running.options.name, event.position);
            tracing::debug!(subscription, %position, "an event waits behind a dead letter");
        } else {
            self.streams.has_none(event);
        }
        Ok(put)
    }

    async fn put_aside(
        &self,
        event: &RecordedEvent,
        upto: Position,
        reason: Reason<'_>,
    ) -> Result<Put, Ended> {
        loop {
            match put(&self.running, &self.holding, event, upto, reason).await {
                Ok(Put::Lost) => return Err(Ended::Lost),
                Ok(put) => {
                    if put == Put::Aside {
                        self.running.board.dead_lettered();
                    }
                    return Ok(put);
                }
                Err(error) => self.database_failed(&error.to_string()).await?,
            }
        }
    }
}
