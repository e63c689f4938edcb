//! What all workers of a process share, and what one of them is about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Projection;
use super::partition::Share;
use super::table::Mode;
use crate::chain::microseconds;
use crate::database::Database;

/// Bounds of one batch and of what is kept between batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Events read at once.
    pub(crate) page_events: u64,
    /// Events written by one transaction, about.
    pub(crate) batch_events: u64,
    /// Documents written by one transaction, about.
    pub(crate) batch_documents: usize,
    /// Documents kept in memory between batches.
    pub(crate) cached_documents: usize,
}

/// Shared by the workers of a process.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) database: Database,
    pub(crate) clock: fn() -> OffsetDateTime,
    /// Who holds the leases.
    pub(crate) owner: String,
    pub(crate) lease: Duration,
    pub(crate) limits: Limits,
    pub(crate) signals: Arc<Signals>,
}

/// Wake-ups within this process; other processes look now and then.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Counts batches.
    progress: watch::Sender<u64>,
    /// How far the partitions of generations are that are worked on here.
    reached: Mutex<HashMap<(i64, u32), u64>>,
    /// Counts changes of what is to be worked on.
    control: watch::Sender<u64>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            progress: watch::Sender::new(0),
            reached: Mutex::default(),
            control: watch::Sender::new(0),
        }
    }
}

impl Signals {
    /// Tells that a checkpoint moved.
    pub(crate) fn progressed(&self, (generation, partition): (i64, u32), position: u64) {
        self.positions().insert((generation, partition), position);
        self.progress.send_modify(|count| *count += 1);
    }

    /// Tells that something else is to be done than before, and that what was known may be of the past.
    pub(crate) fn controlled(&self) {
        self.positions().clear();
        self.control.send_modify(|count| *count += 1);
        self.progress.send_modify(|count| *count += 1);
    }

    /// Whether all partitions between two are worked on here, and one of them is not as far as that. It
    /// spares the many who wait a look at the database for every batch.
    pub(crate) fn knows_better(
        &self,
        generation: i64,
        (first, last): (u32, u32),
        wanted: u64,
    ) -> bool {
        let positions = self.positions();
        let of = |partition| positions.get(&(generation, partition)).copied();
        let known: Option<Vec<u64>> = (first..=last).map(of).collect();
        known.is_some_and(|known| known.iter().any(|position| *position < wanted))
    }

    fn positions(&self) -> MutexGuard<'_, HashMap<(i64, u32), u64>> {
        let locked = self.reached.lock();
        locked.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    pub(crate) fn control(&self) -> watch::Receiver<u64> {
        self.control.subscribe()
    }
}

impl Engine {
    /// Microseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        microseconds((self.clock)())
    }

    /// Length of a lease in microseconds.
    pub(crate) fn lease_for(&self) -> i64 {
        i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX / 16)
    }
}

/// One partition of one generation, to be worked on.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) generation: i64,
    pub(crate) share: Share,
    pub(crate) mode: Mode,
    /// As it was when the worker began: its documents in memory are of that time.
    pub(crate) cache_epoch: i64,
    /// Whether it is built beside the active one.
    pub(crate) building: bool,
}

impl Task {
    pub(crate) fn name(&self) -> &str {
        self.projection.name()
    }

    /// Whether a worker of this task may go on with the other.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.generation, self.share, self.mode) == (other.generation, other.share, other.mode)
            && (self.cache_epoch, self.building) == (other.cache_epoch, other.building)
    }
}

/// Waits, unless it is cancelled: then it gives false, at once.
pub(crate) async fn pause(cancelled: &CancellationToken, duration: Duration) -> bool {
    let sleep = tokio::time::sleep(duration);
    cancelled.run_until_cancelled(sleep).await.is_some()
}
