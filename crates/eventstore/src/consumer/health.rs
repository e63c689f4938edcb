//! How the subscriptions of a process do: health by partition, and what was counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::rate::Rate;
use crate::event::Position;

/// What a partition is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PartitionState {
    /// It handles events.
    Running,
    /// It has handled everything and waits for more.
    Waiting,
    /// Somebody paused the subscription.
    Paused,
    /// The last attempt failed; another one follows.
    Retrying {
        /// Failures of what it is trying, so far.
        failures: u32,
        /// What the last one was.
        reason: String,
    },
    /// Too many attempts failed in a row; nothing is tried for a while.
    CircuitOpen {
        /// What the last one was, of whichever partition.
        reason: String,
    },
    /// It has stopped and needs help; it tries again when the subscription is
    /// [resumed](super::Subscriptions::resume).
    Failed {
        /// Why.
        reason: String,
    },
}

/// How one partition does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionHealth {
    /// Its number, from 0.
    pub partition: u32,
    /// What it is doing.
    #[serde(flatten)]
    pub state: PartitionState,
    /// Everything up to here is done.
    pub position: Position,
    /// Events of the store that are behind it, those included that its filter will leave out.
    pub lag_events: u64,
    /// Age of the first event that waits, in seconds; 0 if none does.
    pub lag_seconds: f64,
    /// When it handled events for the last time, in this process.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_success: Option<OffsetDateTime>,
}

/// How a subscription does in this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsumerHealth {
    /// Its name.
    pub subscription: String,
    /// Whether it is paused, everywhere.
    pub paused: bool,
    /// Partitions that this process holds.
    pub partitions: Vec<PartitionHealth>,
}

/// What a subscription did in this process since it was started here.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ConsumerStatistics {
    /// Its name.
    pub subscription: String,
    /// Events that were handled.
    pub handled: u64,
    /// Calls of the handler that succeeded.
    pub batches: u64,
    /// Calls of the handler that failed.
    pub failed: u64,
    /// Calls of the handler after a failure.
    pub retried: u64,
    /// Events that became dead letters.
    pub dead_lettered: u64,
    /// Events handled per second, over the last minute.
    pub handled_per_second: f64,
    /// Mean time of a successful call, in seconds.
    pub batch_seconds_mean: f64,
    /// Longest time of a successful call, in seconds.
    pub batch_seconds_longest: f64,
}

/// Where the workers of a subscription write down how they do.
#[derive(Debug)]
pub(super) struct Board(Mutex<Notes>);

#[derive(Debug)]
struct Notes {
    partitions: BTreeMap<u32, Note>,
    counted: ConsumerStatistics,
    batch_time: Duration,
    rate: Rate,
    last_failure: String,
}

#[derive(Debug, Clone)]
struct Note {
    state: PartitionState,
    position: Position,
    /// When the first event that waits was recorded.
    oldest: Option<OffsetDateTime>,
    last_success: Option<OffsetDateTime>,
}

impl Board {
    pub(super) fn new(subscription: &str, now: Instant) -> Self {
        Self(Mutex::new(Notes {
            partitions: BTreeMap::new(),
            counted: ConsumerStatistics {
                subscription: subscription.to_owned(),
                ..ConsumerStatistics::default()
            },
            batch_time: Duration::ZERO,
            rate: Rate::new(now),
            last_failure: String::new(),
        }))
    }

    /// Nothing that holds the lock can panic half-way.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition is held from now on, at this position.
    pub(super) fn taken(&self, partition: u32, position: Position) {
        let note = Note {
            state: PartitionState::Waiting,
            position,
            oldest: None,
            last_success: None,
        };
        self.notes().partitions.insert(partition, note);
    }

    /// The partition is no longer held.
    pub(super) fn gone(&self, partition: u32) {
        self.notes().partitions.remove(&partition);
    }

    pub(super) fn state(&self, partition: u32, state: PartitionState) {
        if let Some(note) = self.notes().partitions.get_mut(&partition) {
            note.state = state;
        }
    }

    /// Everything up to `position` is done; `oldest` is when the next event was recorded, if it is
    /// known.
    pub(super) fn reached(
        &self,
        partition: u32,
        position: Position,
        oldest: Option<OffsetDateTime>,
    ) {
        if let Some(note) = self.notes().partitions.get_mut(&partition) {
            (note.position, note.oldest) = (position, oldest);
        }
    }

    pub(super) fn handled(
        &self,
        partition: u32,
        events: usize,
        took: Duration,
        (now, at): (Instant, OffsetDateTime),
    ) {
        let mut notes = self.notes();
        notes.rate.add(now, events as u64);
        notes.batch_time += took;
        let counted = &mut notes.counted;
        counted.handled += events as u64;
        counted.batches += 1;
        counted.batch_seconds_longest = counted.batch_seconds_longest.max(took.as_secs_f64());
        if let Some(note) = notes.partitions.get_mut(&partition) {
            note.last_success = Some(at);
        }
    }

    pub(super) fn failed(&self, reason: &str) {
        let mut notes = self.notes();
        notes.counted.failed += 1;
        reason.clone_into(&mut notes.last_failure);
    }

    /// Why the last attempt failed, of whichever partition.
    pub(super) fn last_failure(&self) -> String {
        self.notes().last_failure.clone()
    }

    pub(super) fn retried(&self) {
        self.notes().counted.retried += 1;
    }

    pub(super) fn dead_lettered(&self) {
        self.notes().counted.dead_lettered += 1;
    }

    pub(super) fn health(
        &self,
        paused: bool,
        head: Position,
        now: OffsetDateTime,
    ) -> ConsumerHealth {
        let notes = self.notes();
        let partitions = notes.partitions.iter().map(|(partition, note)| {
            let lag_events = head.0.saturating_sub(note.position.0);
            let age = note.oldest.map(|oldest| (now - oldest).as_seconds_f64());
            PartitionHealth {
                partition: *partition,
                state: match note.state {
                    PartitionState::Waiting if paused => PartitionState::Paused,
                    _ => note.state.clone(),
                },
                position: note.position,
                lag_events,
                lag_seconds: age.unwrap_or(0.0).max(0.0),
                last_success: note.last_success,
            }
        });
        ConsumerHealth {
            subscription: notes.counted.subscription.clone(),
            paused,
            partitions: partitions.collect(),
        }
    }

    pub(super) fn statistics(&self, now: Instant) -> ConsumerStatistics {
        let mut notes = self.notes();
        let mut counted = notes.counted.clone();
        counted.handled_per_second = notes.rate.per_second(now);
        if counted.batches > 0 {
            counted.batch_seconds_mean = notes.batch_time.as_secs_f64() / counted.batches as f64;
        }
        counted
    }
}
