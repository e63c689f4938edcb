//! All replays of a process: those that run, and for a while those that ended.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::ReplayError;
use super::fold::{Fold, Folding, StartingPoints};
use super::handle::{ReplayHandle, ReplayStatus};
use super::progress::{Failure, Meter, Progress, State};
use super::request::Replay;
use super::run::Run;
use super::visitor::Visitor;
use crate::event::RecordedEvent;
use crate::reader::Reader;
use crate::store::EventStore;

/// Settings of a set of replays.
#[derive(Debug, Clone)]
pub struct ReplaysOptions {
    /// How many may run at once; one more is refused.
    pub most_at_once: usize,
    /// How many that ended are kept to be looked at.
    pub keep_ended: usize,
    /// For how long they are kept.
    pub keep_for: Duration,
    /// Events read at once. Three pages of a replay are in memory at most.
    pub page_len: usize,
    /// Source of the times that are shown.
    pub clock: fn() -> OffsetDateTime,
}

impl Default for ReplaysOptions {
    fn default() -> Self {
        Self {
            most_at_once: 4,
            keep_ended: 100,
            keep_for: Duration::from_secs(3600),
            page_len: 256,
            clock: OffsetDateTime::now_utc,
        }
    }
}

/// The replays of a process on one store. Dropping the set cancels those that run.
pub struct Replays {
    store: Arc<dyn EventStore>,
    options: ReplaysOptions,
    cancelled: CancellationToken,
    /// The oldest first.
    entries: Mutex<VecDeque<Entry>>,
}

struct Entry {
    handle: ReplayHandle,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
}

impl Entry {
    fn runs(&self) -> bool {
        self.handle.progress.borrow().state == State::Running
    }
}

impl Replays {
    /// An empty set.
    pub fn new(store: Arc<dyn EventStore>, options: ReplaysOptions) -> Self {
        Self {
            store,
            options,
            cancelled: CancellationToken::new(),
            entries: Mutex::new(VecDeque::new()),
        }
    }

    /// Starts a replay on the Tokio runtime that it is called in, and does not wait for anything.
    ///
    /// # Errors
    /// [`ReplayError::Busy`], [`ReplayError::Invalid`]. What happens later is in the progress.
    pub fn start<V: Visitor>(
        &self,
        replay: Replay,
        visitor: V,
    ) -> Result<ReplayHandle, ReplayError> {
        replay.check()?;
        let mut entries = self.pruned();
        let running = entries.iter().filter(|entry| entry.runs()).count();
        if running >= self.options.most_at_once {
            return Err(ReplayError::Busy { running });
        }
        let meter = Meter::new((self.options.clock)(), Instant::now());
        let (progress, watched) = watch::channel(meter.progress().clone());
        let handle = ReplayHandle {
            id: Uuid::now_v7(),
            replay: Arc::new(replay),
            progress: watched,
            cancelled: self.cancelled.child_token(),
        };
        let run = Run {
            reader: Reader::new(self.store.database().clone()),
            replay: Arc::clone(&handle.replay),
            page_len: self.options.page_len.max(1),
            clock: self.options.clock,
            progress: progress.clone(),
            meter,
            cancelled: handle.cancelled.clone(),
        };
        let clock = self.options.clock;
        tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(run.run(visitor)).catch_unwind().await {
                progress.send_modify(|progress| panicked(progress, clock(), &*panic));
            }
        });
        entries.push_back(Entry {
            handle: handle.clone(),
            ended: None,
        });
        Ok(handle)
    }

    /// Makes a state of the events. If a whole stream is replayed without filters, `from` is asked for
    /// a state to start from instead of `initial` and the first events.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn fold<S, P, F>(
        &self,
        replay: Replay,
        from: P,
        initial: S,
        fold: F,
    ) -> Result<Folding<S>, ReplayError>
    where
        S: Send + 'static,
        P: StartingPoints<S>,
        F: FnMut(S, &RecordedEvent) -> S + Send + 'static,
    {
        let fold = Fold::new(from, initial, fold);
        let owner = fold.owner();
        Ok(owner(self.start(replay, fold)?))
    }

    /// A replay that runs or ended a while ago.
    ///
    /// # Errors
    /// [`ReplayError::Unknown`].
    pub fn get(&self, id: Uuid) -> Result<ReplayHandle, ReplayError> {
        self.pruned()
            .iter()
            .find(|entry| entry.handle.id == id)
            .map(|entry| entry.handle.clone())
            .ok_or(ReplayError::Unknown { id })
    }

    /// Cancels a replay; see [`ReplayHandle::cancel`].
    ///
    /// # Errors
    /// [`ReplayError::Unknown`].
    pub fn cancel(&self, id: Uuid) -> Result<(), ReplayError> {
        self.get(id).map(|handle| handle.cancel())
    }

    /// Up to `limit` replays, the youngest first, of one tenant or of all; those that go over all
    /// tenants are of none. `before` is the id of the last one of the page before.
    pub fn list(
        &self,
        tenant: Option<&str>,
        before: Option<Uuid>,
        limit: usize,
    ) -> Vec<ReplayStatus> {
        self.pruned()
            .iter()
            .rev()
            .map(|entry| &entry.handle)
            .filter(|handle| tenant.is_none() || handle.replay.tenant_name() == tenant)
            .filter(|handle| before.is_none_or(|before| handle.id < before))
            .take(limit)
            .map(ReplayHandle::status)
            .collect()
    }

    /// What is kept, without what was kept for long enough.
    fn pruned(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for entry in entries.iter_mut() {
            if entry.ended.is_none() && !entry.runs() {
                entry.ended = Some(now);
            }
        }
        let keep_for = self.options.keep_for;
        entries.retain(|entry| {
            entry
                .ended
                .is_none_or(|ended| now.duration_since(ended) < keep_for)
        });
        let ended = entries.iter().filter(|entry| entry.ended.is_some()).count();
        let mut superfluous = ended.saturating_sub(self.options.keep_ended);
        entries.retain(|entry| {
            let goes = superfluous > 0 && entry.ended.is_some();
            superfluous -= usize::from(goes);
            !goes
        });
        entries
    }
}

fn panicked(
    progress: &mut Progress,
    at: OffsetDateTime,
    panic: &(dyn std::any::Any + Send + 'static),
) {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    let error = ReplayError::Visitor {
        after: progress.position,
        message: format!("it panicked: {said}"),
    };
    progress.state = State::Failed;
    progress.ended_at = Some(at);
    progress.seconds_left = None;
    progress.failure = Some(Failure {
        code: error.code(),
        message: error.to_string(),
    });
}

impl Drop for Replays {
    fn drop(&mut self) {
        self.cancelled.cancel();
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Replays")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
