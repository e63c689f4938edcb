//! What the workers of one subscription share in a process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::breaker::Breaker;
use super::handler::Delivery;
use super::health::Board;
use super::lease::{Held, Leases, Taken};
use super::moment::Clock;
use super::options::ConsumerOptions;
use super::pages::Pages;
use super::slots::Slots;
use crate::database::Database;
use crate::event::Position;

/// One subscription at work in this process.
pub(super) struct Running {
    pub(super) options: ConsumerOptions,
    pub(super) delivery: Delivery,
    pub(super) database: Database,
    pub(super) pages: Pages,
    pub(super) slots: Slots,
    pub(super) leases: Leases,
    pub(super) breaker: Mutex<Breaker>,
    /// Told when the breaker changes for those who wait for a trial.
    pub(super) trial_ended: Notify,
    pub(super) board: Board,
    pub(super) paused: watch::Sender<bool>,
    pub(super) head: watch::Receiver<Position>,
    pub(super) clock: Clock,
}

impl Running {
    /// Nothing that holds the lock can panic half-way.
    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A partition that is held: what its worker and the keeper of the leases tell each other.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) partition: u32,
    pub(super) epoch: i64,
    reached: AtomicU64,
    /// The last checkpoint that was surely committed.
    durable: AtomicU64,
    valid_until: Mutex<Instant>,
}

impl Holding {
    /// `valid_until` is counted from before the lease was asked for.
    pub(super) fn new(taken: Taken, valid_until: Instant) -> Self {
        Self {
            partition: taken.partition,
            epoch: taken.epoch,
            reached: AtomicU64::new(taken.position.0),
            durable: AtomicU64::new(taken.position.0),
            valid_until: Mutex::new(valid_until),
        }
    }

    /// Everything up to here is handled, a dead letter, or left out by the filter.
    pub(super) fn reached(&self) -> Position {
        Position(self.reached.load(Ordering::Acquire))
    }

    pub(super) fn reach(&self, position: Position) {
        self.reached.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Where the stored checkpoint stands at least. If it is found before that, the database was put
    /// back, and what was reached here are positions of a tail that is no more.
    pub(super) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// This checkpoint was committed.
    pub(super) fn stored(&self, position: Position) {
        self.durable.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Whether a stored checkpoint is one that this holder wrote on its way to `upto`: the last that
    /// was answered, what the keeper moved it on to since, or an attempt whose answer got lost.
    pub(super) fn is_as_left(&self, stored: Position, upto: Position) -> bool {
        stored == upto || (self.durable()..=self.reached()).contains(&stored)
    }

    /// Whether the lease surely holds, by this process's own steady clock. It only spares a handler
    /// that could not be finished; the fence in front of the checkpoint decides.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        now < *self.valid_until()
    }

    pub(super) fn extend(&self, until: Instant) {
        let mut valid_until = self.valid_until();
        *valid_until = until.max(*valid_until);
    }

    fn valid_until(&self) -> MutexGuard<'_, Instant> {
        self.valid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> Held {
        Held {
            epoch: self.epoch,
            durable: self.durable(),
            reached: self.reached(),
        }
    }
}

/// A number drawn evenly from [0, 1).
pub(super) fn chance() -> f64 {
    // The lower half of a random UUID has 62 random bits; a f64 holds 53.
    let bits = Uuid::new_v4().as_u128() as u64 & ((1 << 53) - 1);
    bits as f64 / (1_u64 << 53) as f64
}
