//! Counting where reads go.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::event::Position;

/// Where the reads of a store went since it was opened. Subscriptions and what the store reads for
/// itself are not counted; they stay on the primary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReadStatistics {
    /// Answered by the replica.
    pub replica: u64,
    /// Asked of the primary in the first place.
    pub primary: u64,
    /// Meant for the replica, which did not have the position in time; sent to the primary.
    pub behind: u64,
    /// Meant for the replica, which was away or failed; sent to the primary.
    pub away: u64,
    /// Where the replica was last seen; none when it is away or there is none.
    pub replica_head: Option<Position>,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    replica: AtomicU64,
    primary: AtomicU64,
    behind: AtomicU64,
    away: AtomicU64,
}

impl Reads {
    pub(crate) fn by_replica(&self) {
        self.replica.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn by_primary(&self) {
        self.primary.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn behind(&self) {
        self.behind.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn away(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn statistics(&self, replica_head: Option<Position>) -> ReadStatistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadStatistics {
            replica: count(&self.replica),
            primary: count(&self.primary),
            behind: count(&self.behind),
            away: count(&self.away),
            replica_head,
        }
    }
}
