//! The ring of ranges: where a sidecar's ids wait.
//!
//! One block is open at a time; taking from it is one atomic addition. Behind it ranges queue under a
//! lock that is held only when the block changes, when a request spans blocks, and by `push`.
//!
//! **Invariants.** A block changes only once every id of it is claimed, and only under the lock.
//! Whatever leaves the queue leaves it under the lock. So each id is claimed exactly once, by an
//! addition or under the lock. `before` of the open block counts what was claimed earlier; with the
//! claims of the block itself it makes [`Ring::taken`] exact without a counter of its own.

mod block;
mod guard;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::Range;
use block::Block;
use guard::Guard;

/// Most ranges that may wait. A generator with tiny steps reaches it before its capacity.
const MAX_WAITING_RANGES: usize = 4096;
/// However fast ids go, more are asked for only when at least this part of a ring is free.
const HIGHEST_REFILL_PERCENT: u64 = 90;

/// How much a ring holds, and when it wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSettings {
    /// Ids when full. At least 1.
    pub capacity: u64,
    /// Percentage of the capacity at which more are asked for.
    pub refill_at_percent: u8,
    /// How long the ring should last, at the rate it sees, when nothing arrives.
    pub outage_budget: Duration,
}

/// Why a ring did not take a range. The range's ids are then given to nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeRefused {
    /// Its numbers make no range.
    #[error("the range is not one: {0}")]
    Invalid(#[from] crate::InvalidRange),
    /// An id of it may have been held before.
    #[error("the range {range:?} overlaps {held:?}, which this ring held before")]
    Overlap {
        /// What was pushed.
        range: Range,
        /// What it overlaps.
        held: Range,
    },
    /// It is older than what the ring remembers, so that nobody can say whether it was held.
    #[error("the range {range:?} is older than what this ring remembers: allocate a new one")]
    Stale {
        /// What was pushed.
        range: Range,
    },
    /// The ring has its capacity, or thousands of ranges wait.
    #[error("the ring is full: it holds {level} ids of {capacity}; ask for what `demand` says")]
    Full {
        /// Ids it holds.
        level: u64,
        /// Ids when full.
        capacity: u64,
    },
}

/// Gives out ids of the ranges it holds, each once, to any number of threads. Share it by `Arc`.
pub struct Ring {
    settings: RingSettings,
    open: ArcSwap<Block>,
    /// Ids ever pushed. Written under the lock.
    pushed: AtomicU64,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    ranges: VecDeque<Range>,
    /// Ids in `ranges`.
    ids: u64,
    guard: Guard,
}

impl Ring {
    /// An empty ring. A capacity of 0 is taken as 1, a percentage above 100 as 100.
    #[must_use]
    pub fn new(settings: RingSettings) -> Self {
        let settings = RingSettings {
            capacity: settings.capacity.max(1),
            refill_at_percent: settings.refill_at_percent.min(100),
            ..settings
        };
        let waiting = Waiting {
            ranges: VecDeque::new(),
            ids: 0,
            guard: Guard::default(),
        };
        Self {
            settings,
            open: ArcSwap::from_pointee(Block::empty()),
            pushed: AtomicU64::new(0),
            waiting: Mutex::new(waiting),
        }
    }

    /// Puts a range behind the others. The cost does not grow with what was pushed before.
    ///
    /// A ring that is not full takes a range of any length: its ids are committed already, and would
    /// be lost otherwise. A generator's step may well be larger than what was asked for.
    ///
    /// # Errors
    /// [`RangeRefused`]; above all when an id of the range may have been held before.
    pub fn push(&self, range: Range) -> Result<(), RangeRefused> {
        let range = Range::new(range.start, range.end, range.stride, range.epoch)?;
        let mut waiting = self.lock();
        let level = self.level();
        let capacity = self.capacity();
        let full = RangeRefused::Full { level, capacity };
        if level >= capacity || waiting.ranges.len() >= MAX_WAITING_RANGES {
            return Err(full);
        }
        let pushed = self
            .pushed
            .load(Ordering::Acquire)
            .checked_add(range.len())
            .ok_or(full)?;
        waiting.guard.admit(range)?;
        waiting.ids += range.len();
        waiting.ranges.push_back(range);
        self.pushed.store(pushed, Ordering::Release);
        Ok(())
    }

    /// The next id, or `None` when there is none.
    #[must_use]
    pub fn take(&self) -> Option<u64> {
        if let Some(id) = self.open.load().claim_one() {
            return Some(id);
        }
        let mut waiting = self.lock();
        loop {
            if let Some(id) = self.open.load().claim_one() {
                return Some(id);
            }
            self.open_next(&mut waiting)?;
        }
    }

    /// Up to `n` ids, as ranges; fewer when there are fewer.
    #[must_use]
    pub fn take_many(&self, n: u64) -> Vec<Range> {
        self.claim(n, false).unwrap_or_default()
    }

    /// Exactly `n` ids, as ranges, or none at all and `None`.
    #[must_use]
    pub fn take_exact(&self, n: u64) -> Option<Vec<Range>> {
        self.claim(n, true)
    }

    /// Ids that can be taken. Exact when nobody takes or pushes meanwhile.
    #[must_use]
    pub fn level(&self) -> u64 {
        // In this order what was taken was pushed before, so that the difference is never below 0.
        let taken = self.taken();
        self.pushed.load(Ordering::Acquire).saturating_sub(taken)
    }

    /// Ids when full.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.settings.capacity
    }

    /// Ids taken since the ring was made.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.open.load().taken()
    }

    /// How many ids to ask for now: 0 while the level is above the threshold, else what is missing to
    /// the capacity.
    ///
    /// The threshold is the larger of the refill percentage and of what the outage budget needs at
    /// this rate, the latter at most 90% of the capacity. A rate that is not a positive number counts
    /// as 0.
    #[must_use]
    pub fn demand(&self, rate_per_second: f64) -> u64 {
        let level = self.level();
        if level > self.threshold(rate_per_second) {
            return 0;
        }
        self.capacity().saturating_sub(level)
    }

    fn threshold(&self, rate_per_second: f64) -> u64 {
        let by_percent = percent(self.capacity(), self.settings.refill_at_percent.into());
        let by_outage = rate_per_second.max(0.0) * self.settings.outage_budget.as_secs_f64();
        // The conversion saturates, and takes what is not a number as 0.
        let by_outage = by_outage.ceil() as u64;
        by_percent.max(by_outage.min(percent(self.capacity(), HIGHEST_REFILL_PERCENT)))
    }

    fn claim(&self, n: u64, exactly: bool) -> Option<Vec<Range>> {
        if n == 0 {
            return Some(Vec::new());
        }
        if let Some(range) = self.open.load().claim_if_enough(n) {
            return Some(vec![range]);
        }
        let mut waiting = self.lock();
        loop {
            let open = self.open.load();
            let position = open.position();
            let here = open.remaining_at(position);
            let available = here.saturating_add(waiting.ids);
            if exactly && available < n {
                return None;
            }
            let wanted = n.min(available);
            let from_open = wanted.min(here);
            // Others may take from the open block meanwhile; then everything is counted anew.
            let Ok(first) = open.claim_at(position, from_open) else {
                continue;
            };
            let mut ranges: Vec<Range> = first.into_iter().collect();
            if wanted > from_open {
                // The open block is used up, and under the lock nobody else opens the next.
                ranges.extend(waiting.split_off_front(wanted - from_open));
                self.open
                    .store(Block::nothing_left(open.taken() + (wanted - from_open)).into());
            }
            return Some(ranges);
        }
    }

    /// Opens the next range that waits. Call it under the lock, when the open block is used up.
    fn open_next(&self, waiting: &mut Waiting) -> Option<()> {
        let range = waiting.ranges.pop_front()?;
        waiting.ids -= range.len();
        let taken = self.open.load().taken();
        self.open.store(Block::new(range, taken).into());
        Some(())
    }

    /// Nothing under the lock can leave the queue half changed, so that a panic elsewhere in a
    /// holding thread is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The first `n` ids, which must be there.
    fn split_off_front(&mut self, mut n: u64) -> Vec<Range> {
        let mut taken = Vec::new();
        while n > 0 {
            let Some(front) = self.ranges.front_mut() else {
                break;
            };
            let Some(piece) = front.split_off_front(n) else {
                break;
            };
            if front.is_empty() {
                self.ranges.pop_front();
            }
            n -= piece.len();
            self.ids -= piece.len();
            taken.push(piece);
        }
        taken
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ring")
            .field("settings", &self.settings)
            .field("level", &self.level())
            .field("taken", &self.taken())
            .finish_non_exhaustive()
    }
}

fn percent(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
