//! One partition: what comes next, and one attempt at it; what a batch needs of them, `deliver` says.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::aside::Streams;
use super::attempt::{Outcome, attempt, checkpoint};
use super::breaker::Admission;
use super::handler::{Delivery, HandlerError};
use super::health::PartitionState;
use super::running::{Holding, Running, chance};
use crate::error::ReadError;
use crate::event::{Position, RecordedEvent};

/// A worker that waits looks at the end of the store this many times less often than for a pause.
const LOOKS_AGAIN: u32 = 5;
/// Pause after a failure of the database.
const UNAVAILABLE_PAUSE: Duration = Duration::from_millis(500);
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Why a worker ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Stopped,
    /// The partition is another's, or may be.
    Lost,
    /// It cannot go on without help.
    Failed(String),
}

pub(super) struct Worker {
    pub(super) running: Arc<Running>,
    pub(super) holding: Arc<Holding>,
    /// Asks it to end when the batch at hand is through.
    stop: CancellationToken,
    head: watch::Receiver<Position>,
    /// Those that have dead letters.
    pub(super) streams: Streams,
}

/// Leave to try; says what came of it, or that nothing did.
struct Pass<'a> {
    running: &'a Running,
    trial: bool,
    is_answered: bool,
}

impl Pass<'_> {
    fn answered(&mut self, is_success: bool) {
        self.is_answered = true;
        let mut breaker = self.running.breaker();
        if is_success {
            breaker.succeeded(self.trial);
        } else {
            breaker.failed(self.trial, Instant::now());
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.running.breaker().abandoned(self.trial);
        }
        if self.trial {
            self.running.trial_ended.notify_waiters();
        }
    }
}

/// A failed attempt.
pub(super) struct Failure {
    pub(super) error: HandlerError,
    /// Whether the circuit let only this attempt through.
    pub(super) trial: bool,
}

impl Worker {
    pub(super) fn new(
        running: Arc<Running>,
        holding: Arc<Holding>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            head: running.head.clone(),
            running,
            holding,
            stop,
            streams: Streams::default(),
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        loop {
            if let Err(ended) = self.step().await {
                if ended == Ended::Lost {
                    // Where a checkpoint was put back, the events may have been, too.
                    self.running.pages.forget().await;
                }
                return ended;
            }
        }
    }

    fn note(&self, state: PartitionState) {
        self.running.board.state(self.holding.partition, state);
    }

    /// Waits, unless the worker is to stop.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, Ended> {
        let outcome = self.stop.run_until_cancelled(wait).await;
        outcome.ok_or(Ended::Stopped)
    }

    /// The next batch from the page at hand, or the wait for one.
    async fn step(&mut self) -> Result<(), Ended> {
        self.unless_paused().await?;
        let (running, partition) = (Arc::clone(&self.running), self.holding.partition);
        let after = self.holding.reached();
        // Looked at before reading: a commit between the two ends the wait below.
        let known_head = *self.head.borrow_and_update();
        match self.unless_stopped(running.pages.after(after)).await? {
            Ok(Some(page)) => {
                if let Some(error) = page.stops(partition) {
                    // Mended, it is read anew.
                    running.pages.forget().await;
                    return Err(Ended::Failed(error.to_string()));
                }
                let (batch, upto) = page.batch(partition, after, running.options.batch_size);
                if let Some(first) = batch.first() {
                    let oldest = Some(first.recorded_at);
                    running.board.reached(partition, after, oldest);
                    self.deliver(batch, upto).await?;
                }
                self.holding.reach(upto);
                running.board.reached(partition, upto, None);
                Ok(())
            }
            Ok(None) => self.wait_for_more(after, known_head).await,
            Err(ReadError::Unavailable { message }) => self.database_failed(&message).await,
            Err(error) => {
                running.pages.forget().await;
                Err(Ended::Failed(error.to_string()))
            }
        }
    }

    pub(super) async fn unless_paused(&self) -> Result<(), Ended> {
        let mut paused = self.running.paused.subscribe();
        if *paused.borrow_and_update() {
            self.note(PartitionState::Paused);
            let resumed = paused.wait_for(|paused| !paused);
            // The sender lives as long as `running`.
            let _ = self.unless_stopped(resumed).await?;
        }
        Ok(())
    }

    async fn wait_for_more(&mut self, after: Position, known: Position) -> Result<(), Ended> {
        self.note(PartitionState::Waiting);
        if known > after {
            // Announced, but not to be read yet.
            return self.unless_stopped(tokio::time::sleep(SHORT_PAUSE)).await;
        }
        let look_again = self.running.options.poll.saturating_mul(LOOKS_AGAIN);
        let more = tokio::time::timeout(look_again, self.head.wait_for(|head| *head > after));
        let stop = self.stop.clone();
        let is_gone = match stop.run_until_cancelled(more).await {
            None => return Err(Ended::Stopped),
            Some(outcome) => outcome.is_ok_and(|seen| seen.is_err()),
        };
        if is_gone {
            // The store is closed, and reading will say so.
            return self.unless_stopped(tokio::time::sleep(SHORT_PAUSE)).await;
        }
        Ok(())
    }

    pub(super) async fn database_failed(&self, message: &str) -> Result<(), Ended> {
        let (subscription, partition) = (&self.running.options.name, self.holding.partition);
        tracing::warn!(
            subscription,
            partition,
            message,
            "a consumer's database failed"
        );
        self.note(PartitionState::Retrying {
            failures: 0,
            reason: message.to_owned(),
        });
        let pause = UNAVAILABLE_PAUSE.mul_f64(0.5 + chance());
        self.unless_stopped(tokio::time::sleep(pause)).await
    }

    pub(super) async fn back_off(&self, failures: u32, error: &HandlerError) -> Result<(), Ended> {
        self.note(PartitionState::Retrying {
            failures,
            reason: error.message.clone(),
        });
        let pause = self.running.options.backoff.wait(failures, chance());
        self.unless_stopped(tokio::time::sleep(pause)).await
    }

    /// One attempt that the handler answers; none if it succeeded.
    pub(super) async fn attempt(
        &self,
        batch: &[RecordedEvent],
        upto: Position,
    ) -> Result<Option<Failure>, Ended> {
        let running = &*self.running;
        loop {
            let mut pass = self.admitted().await?;
            let slot = running.slots.take(running.options.priority);
            let slot = self.unless_stopped(slot).await?;
            if !self.holding.is_valid(Instant::now()) {
                return Err(Ended::Lost);
            }
            self.note(PartitionState::Running);
            let began = Instant::now();
            let outcome = attempt(running, &self.holding, batch, upto).await;
            drop(slot);
            let took = began.elapsed();
            match outcome {
                Outcome::Done => {
                    pass.answered(true);
                    drop(pass);
                    if let Delivery::AtLeastOnce(_) = running.delivery {
                        self.checkpoint(upto).await?;
                    }
                    let now = (Instant::now(), (running.clock)());
                    let partition = self.holding.partition;
                    running.board.handled(partition, batch.len(), took, now);
                    return Ok(None);
                }
                Outcome::Failed(error) => {
                    // That an event will never be handled says that the handler is well.
                    pass.answered(!error.retry);
                    running.board.failed(&error.message);
                    let trial = pass.trial;
                    if !running.breaker().is_closed() {
                        let subscription = &running.options.name;
                        tracing::warn!(subscription, %error, "the circuit is open, nothing is tried for a while");
                    }
                    return Ok(Some(Failure { error, trial }));
                }
                Outcome::Lost => return Err(Ended::Lost),
                Outcome::Unavailable(error) => {
                    drop(pass);
                    self.database_failed(&error.to_string()).await?;
                }
            }
        }
    }

    /// The effects are done, so the checkpoint is tried until it is written or cannot be.
    async fn checkpoint(&self, upto: Position) -> Result<(), Ended> {
        loop {
            match checkpoint(&self.running, &self.holding, upto).await {
                Outcome::Unavailable(error) => self.database_failed(&error.to_string()).await?,
                Outcome::Lost => return Err(Ended::Lost),
                Outcome::Done | Outcome::Failed(_) => return Ok(()),
            }
        }
    }

    fn note_open(&self) {
        let reason = self.running.board.last_failure();
        self.note(PartitionState::CircuitOpen { reason });
    }

    /// Waits until nothing stands against an attempt.
    async fn admitted(&self) -> Result<Pass<'_>, Ended> {
        loop {
            self.unless_paused().await?;
            if self.stop.is_cancelled() {
                return Err(Ended::Stopped);
            }
            let admission = self.running.breaker().admit(Instant::now());
            match admission {
                Admission::Granted { trial } => {
                    return Ok(Pass {
                        running: &self.running,
                        trial,
                        is_answered: false,
                    });
                }
                Admission::WaitUntil(until) => {
                    self.note_open();
                    self.unless_stopped(tokio::time::sleep_until(until)).await?;
                }
                Admission::WaitForTrial => {
                    self.note_open();
                    let ended = self.running.trial_ended.notified();
                    // The trial may have ended before this listened.
                    let ended = tokio::time::timeout(SHORT_PAUSE, ended);
                    let _ = self.unless_stopped(ended).await?;
                }
            }
        }
    }
}
