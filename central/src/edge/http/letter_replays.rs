//! Replays of dead letters, which may take longer than a call.
//!
//! The work goes on by itself: were it dropped with a call, a letter that is being handled would stay
//! claimed, so that nobody replays it for a while, and what came of the others would be told to nobody.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eventstore::{
    Position, StreamKey,
    consumer::{
        ConsumerError, Consumers, DeadLetter, DeadLetterCursor, DeadLetterQuery, Replayed,
        Subscriptions,
    },
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::Instrument as _;

use crate::error::ServiceError;

/// No further letter is begun after this time.
const ROUND: Duration = Duration::from_secs(20);

/// Longest wait for a letter that is being handled, within the time limit of every call.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// Behind all letters of a subscription.
const LAST: Position = Position(i64::MAX.unsigned_abs());

/// What came of a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) replayed: Replayed,
    /// Subscriptions with letters that do not run in this replica.
    pub(super) elsewhere: Vec<String>,
    /// The letter that is being handled now.
    pub(super) replaying: Option<DeadLetterCursor>,
    /// The last letter that was looked at, to go on behind it.
    pub(super) next: Option<DeadLetterCursor>,
    /// Whether there are no more.
    pub(super) end: bool,
}

/// Does it to its end whether anybody waits or not; its outcome, if it comes soon enough.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    patience: Duration,
) -> Result<Option<T>, ServiceError> {
    let work = tokio::spawn(work.in_current_span());
    match timeout(patience, work).await {
        Ok(Ok(outcome)) => outcome.map(Some),
        Ok(Err(error)) => Err(ServiceError::Internal(error.to_string())),
        Err(_) => Ok(None),
    }
}

/// Replays the letters that a query asks for, up to its limit, each once; what came of it so far. One
/// that is still being handled when nobody waits any longer is named, and what is behind it is next.
pub(super) async fn replay_all(
    subscriptions: Subscriptions,
    consumers: Arc<Consumers>,
    query: DeadLetterQuery,
    patience: Duration,
) -> Result<Progress, ServiceError> {
    let (tell, told) = watch::channel(Progress {
        next: query.after.clone(),
        ..Progress::default()
    });
    let round = Round {
        subscriptions,
        consumers,
        left: query.limit,
        query,
        until: Instant::now() + ROUND,
        passed_over: HashSet::new(),
    };
    detached(round.run(tell), patience).await?;
    let progress = told.borrow().clone();
    Ok(progress)
}

struct Round {
    subscriptions: Subscriptions,
    consumers: Arc<Consumers>,
    query: DeadLetterQuery,
    left: usize,
    until: Instant,
    /// Streams whose next letter was tried behind another one of the stream.
    passed_over: HashSet<(String, StreamKey)>,
}

impl Round {
    async fn run(mut self, tell: watch::Sender<Progress>) -> Result<(), ServiceError> {
        let mut progress = tell.borrow().clone();
        while self.left > 0 && !progress.end && Instant::now() < self.until {
            self.left -= 1;
            let before = progress.next.clone();
            let outcome = self.step(&mut progress, &tell).await;
            progress.replaying = None;
            match outcome {
                Ok(()) => tell.send_replace(progress.clone()),
                Err(error) if progress.replayed == Replayed::default() => return Err(error),
                // What was done has to be told; whoever goes on is told the error.
                Err(error) => {
                    tracing::warn!(%error, "not all dead letters could be replayed");
                    progress.next = before;
                    tell.send_replace(progress);
                    return Ok(());
                }
            };
        }
        Ok(())
    }

    /// One letter. They are looked up one by one, for a replay takes those behind it along.
    async fn step(
        &mut self,
        progress: &mut Progress,
        tell: &watch::Sender<Progress>,
    ) -> Result<(), ServiceError> {
        let query = DeadLetterQuery {
            after: progress.next.clone(),
            limit: 1,
            ..self.query.clone()
        };
        let page = self.subscriptions.dead_letters(&query).await?;
        let Some(letter) = page.letters.into_iter().next() else {
            progress.end = true;
            progress.next = None;
            return Ok(());
        };
        let DeadLetter {
            subscription,
            position,
            stream,
            ..
        } = letter;
        let mut behind = DeadLetterCursor {
            subscription: subscription.clone(),
            position,
        };
        let stream = (subscription, stream);
        if !self.passed_over.remove(&stream) {
            progress.replaying = Some(behind.clone());
            progress.next.clone_from(&progress.replaying);
            tell.send_replace(progress.clone());
            let subscription = &behind.subscription;
            let replay = self.consumers.replay(subscription, position);
            match replay.await {
                Err(ConsumerError::NotFound { subscription })
                    if self.query.subscription.is_none() =>
                {
                    progress.elsewhere.push(subscription);
                    behind.position = LAST;
                }
                outcome => {
                    if count(&mut progress.replayed, outcome)? {
                        self.passed_over.insert(stream);
                    }
                }
            }
        }
        progress.next = Some(behind);
        Ok(())
    }
}

/// Counts one and those behind it; true if one of those was tried and is still there.
fn count(
    all: &mut Replayed,
    outcome: Result<Replayed, ConsumerError>,
) -> Result<bool, ServiceError> {
    match outcome {
        Ok(replayed) => {
            all.handled += replayed.handled;
            all.failed += replayed.failed;
            all.held_back += replayed.held_back;
            all.skipped += replayed.skipped;
            return Ok(replayed.failed + replayed.held_back + replayed.skipped > 0);
        }
        Err(ConsumerError::ReplayFailed { .. }) => all.failed += 1,
        Err(ConsumerError::DeadLetterHeldBack { .. }) => all.held_back += 1,
        Err(ConsumerError::DeadLetterBusy { .. } | ConsumerError::NoDeadLetter { .. }) => {
            all.skipped += 1;
        }
        Err(error) => return Err(runs_elsewhere(error)),
    }
    Ok(false)
}

/// A subscription that is known, but not to this process.
pub(super) fn runs_elsewhere(error: ConsumerError) -> ServiceError {
    match error {
        ConsumerError::NotFound { subscription } => ServiceError::Conflict(format!(
            "subscription {subscription} does not run in this replica; ask one that runs it"
        )),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests;
