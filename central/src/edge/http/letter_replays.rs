//! Replays of dead letters, which may take longer than a call.
//!
//! The work goes on by itself: were it dropped with a call, a letter that is being handled would stay
//! claimed, so that nobody replays it for a while, and what came of the others would be told to nobody.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eventstore::{
    Position, StreamKey,
    consumer::{
        ConsumerError, DeadLetter, DeadLetterCursor, DeadLetterQuery, Replayed, Subscriptions,
    },
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::Instrument as _;

use crate::{edge::Application, error::ServiceError};

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

/// Replays the letters that a query asks for, up to its limit, each once; what came of it so far, and
/// whether one is still being handled.
pub(super) async fn replay_all(
    application: Arc<Application>,
    query: DeadLetterQuery,
) -> Result<(Progress, bool), ServiceError> {
    let (tell, told) = watch::channel(Progress {
        next: query.after.clone(),
        ..Progress::default()
    });
    let round = Round {
        subscriptions: Subscriptions::new(Arc::clone(&application.store)),
        application,
        left: query.limit,
        query,
        until: Instant::now() + ROUND,
        passed_over: HashSet::new(),
    };
    let is_over = detached(round.run(tell), PATIENCE).await?.is_some();
    let progress = told.borrow().clone();
    Ok((progress, !is_over))
}

struct Round {
    application: Arc<Application>,
    subscriptions: Subscriptions,
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
            match self.step(&mut progress).await {
                Ok(()) => tell.send_replace(progress.clone()),
                Err(error) if progress.replayed == Replayed::default() => return Err(error),
                // What was done has to be told; whoever goes on is told the error.
                Err(error) => {
                    tracing::warn!(%error, "not all dead letters could be replayed");
                    return Ok(());
                }
            };
        }
        Ok(())
    }

    /// One letter. They are looked up one by one, for a replay takes those behind it along.
    async fn step(&mut self, progress: &mut Progress) -> Result<(), ServiceError> {
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
            let subscription = &behind.subscription;
            let replay = self.application.consumers.replay(subscription, position);
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
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::detached;

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_than_the_wait_for_it_is_done_all_the_same() {
        let (go, gone) = oneshot::channel();
        let (say, said) = oneshot::channel();
        let work = async move {
            gone.await.unwrap();
            say.send(7).unwrap();
            Ok(())
        };

        let outcome = detached(work, Duration::from_secs(1)).await.unwrap();
        assert_eq!(outcome, None);

        go.send(()).unwrap();
        assert_eq!(said.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let work = async { panic!("of a handler") };
        let outcome = detached::<()>(work, Duration::from_secs(1)).await;
        assert_eq!(outcome.unwrap_err().code(), "SIGNET-CENTRAL-0016");
    }
}
