//! Making a state of events, from the first one or from a state that is known already.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::error::ReplayError;
use super::handle::ReplayHandle;
use super::progress::{Failure, Progress, State};
use super::visitor::{VisitError, Visitor};
use crate::event::{RecordedEvent, StreamKey};

/// A state of a stream at a version, to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartingPoint<S> {
    /// Version of the stream that the state stands for.
    pub version: u64,
    /// The state.
    pub state: S,
}

/// Where states of streams are known from, e.g. snapshots. `()` knows none.
///
/// It is asked only when a whole stream is replayed without filters.
#[async_trait]
pub trait StartingPoints<S>: Send + Sync + 'static {
    /// The newest usable state of the stream at a version or below it. A state that cannot be trusted
    /// is for the implementation to report and to pass over; so is a failure to look, for without a
    /// state the replay only takes longer.
    async fn newest(&self, stream: &StreamKey, at_or_below: u64) -> Option<StartingPoint<S>>;
}

#[async_trait]
impl<S: Send + 'static> StartingPoints<S> for () {
    async fn newest(&self, _: &StreamKey, _: u64) -> Option<StartingPoint<S>> {
        None
    }
}

#[async_trait]
impl<S: Clone + Send + Sync + 'static> StartingPoints<S> for StartingPoint<S> {
    async fn newest(&self, _: &StreamKey, at_or_below: u64) -> Option<Self> {
        (self.version <= at_or_below).then(|| self.clone())
    }
}

/// A state that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded<S> {
    /// The state.
    pub state: S,
    /// Version of the stream that it stands for; when more than a stream was replayed, of the stream
    /// of the last event.
    pub version: u64,
    /// What it took.
    pub progress: Progress,
}

/// What a fold and its owner share.
type Shared<S> = Arc<Mutex<Option<(S, u64)>>>;

/// A fold that runs.
pub struct Folding<S> {
    handle: ReplayHandle,
    state: Shared<S>,
}

impl<S> Folding<S> {
    /// Watches and stops it.
    pub fn handle(&self) -> &ReplayHandle {
        &self.handle
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`ReplayError::Cancelled`], or [`ReplayError::Failed`] with the code of what happened.
    pub async fn finished(self) -> Result<Folded<S>, ReplayError> {
        let progress = self.handle.finished().await;
        let position = progress.position;
        let cancelled = Err(ReplayError::Cancelled { position });
        match progress.state {
            State::Done => {}
            State::Running | State::Cancelled => return cancelled,
            State::Failed => {
                let failure = progress.failure.unwrap_or(Failure {
                    code: "SIGNET-EVENTS-0053",
                    message: "no reason is known".into(),
                });
                return Err(ReplayError::Failed(failure));
            }
        }
        match lock(&self.state).take() {
            Some((state, version)) => Ok(Folded {
                state,
                version,
                progress,
            }),
            None => cancelled,
        }
    }
}

impl<S> fmt::Debug for Folding<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(formatter)
    }
}

fn lock<S>(shared: &Shared<S>) -> std::sync::MutexGuard<'_, Option<(S, u64)>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The visitor behind a fold.
pub(super) struct Fold<S, P, F> {
    from: P,
    fold: F,
    state: Shared<S>,
}

impl<S, P, F> Fold<S, P, F> {
    pub(super) fn new(from: P, initial: S, fold: F) -> Self {
        let state = Arc::new(Mutex::new(Some((initial, 0))));
        Self { from, fold, state }
    }

    pub(super) fn owner(&self) -> impl FnOnce(ReplayHandle) -> Folding<S> + use<S, P, F> {
        let state = Arc::clone(&self.state);
        move |handle| Folding { handle, state }
    }
}

#[async_trait]
impl<S, P, F> Visitor for Fold<S, P, F>
where
    S: Send + 'static,
    P: StartingPoints<S>,
    F: FnMut(S, &RecordedEvent) -> S + Send + 'static,
{
    async fn visit(&mut self, events: &[RecordedEvent]) -> Result<(), VisitError> {
        // Taken out for the page: when the closure panics there is no state, and not half of one.
        let taken = lock(&self.state).take();
        let (mut state, mut version) =
            taken.ok_or_else(|| VisitError("the state is gone".into()))?;
        for event in events {
            state = (self.fold)(state, event);
            version = event.stream_version;
        }
        *lock(&self.state) = Some((state, version));
        Ok(())
    }

    async fn known_version(&mut self, stream: &StreamKey, at_or_below: u64) -> u64 {
        match self.from.newest(stream, at_or_below).await {
            Some(point) if point.version <= at_or_below => {
                let version = point.version;
                *lock(&self.state) = Some((point.state, version));
                version
            }
            _ => 0,
        }
    }
}
