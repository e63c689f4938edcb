//! Settings of a subscription.

use std::time::Duration;

use super::backoff::Backoff;
use super::breaker::CircuitBreaker;
use super::error::ConsumerError;
use crate::event::{Position, RecordedEvent};

/// Most partitions that a subscription may have; each is a task and a row.
pub(super) const MAX_PARTITIONS: u32 = 256;
const MAX_NAME_BYTES: usize = 128;
const MAX_BATCH: usize = 10_000;

/// Which events a subscription is about. An empty list leaves nothing out.
///
/// It is not stored: another filter for an existing name holds from the checkpoint on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events of this tenant.
    pub tenant: Option<String>,
    /// Only events of streams of these types.
    pub stream_types: Vec<String>,
    /// Only events of these types.
    pub event_types: Vec<String>,
}

impl EventFilter {
    /// Whether an event is one of them.
    pub fn selects(&self, event: &RecordedEvent) -> bool {
        let among = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        self.tenant
            .as_ref()
            .is_none_or(|tenant| *tenant == event.stream.tenant)
            && among(&self.stream_types, &event.stream.stream_type)
            && among(&self.event_types, &event.event_type)
    }
}

/// Where a subscription begins when its name is used for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first event of the store.
    #[default]
    Beginning,
    /// With the first event that is appended from now on.
    Now,
    /// With the first event above a position, which must not be beyond the end of the store.
    After(Position),
}

/// What becomes of an event whose attempts are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exhausted {
    /// It is stored as a dead letter, and the partition goes on behind it.
    #[default]
    DeadLetter,
    /// The partition stops and says why. It goes on when the subscription is resumed or reset, or the
    /// consumer started again.
    Stop,
}

/// What becomes of the later events of a stream that has a dead letter.
///
/// Events of one stream build on each other: whoever is told that an order was paid, but not that it was
/// placed, handles something that never was. So the default keeps the order and has more wait; a handler
/// to which every event is complete in itself may go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterDeadLetter {
    /// They become dead letters, too, without being tried, for as long as the stream has one. When
    /// the first is replayed with success, those behind it follow in order, up to one that fails. When it
    /// is dropped, they wait to be replayed or dropped. All other streams go on.
    #[default]
    HoldStream,
    /// They are handled as if nothing had happened, and the dead letter perhaps after them.
    Continue,
}

/// Settings of a durable subscription; the defaults suit production.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Name that checkpoints are kept under; 1 to 128 bytes, no NUL.
    pub name: String,
    /// Which events it is about.
    pub filter: EventFilter,
    /// Where it begins, the first time.
    pub start: Start,
    /// Events handed to the handler at once, at most.
    pub batch_size: usize,
    /// Parts that are handled side by side, by one process or several; see
    /// [`partition_of`](super::partition_of). Fixed when the name is used for the first time,
    /// until [`Subscriptions::repartition`](super::Subscriptions::repartition); as many as there may ever
    /// be processes is a good number, and more cost little.
    pub partitions: u32,
    /// When failed events are tried again.
    pub backoff: Backoff,
    /// When to stop trying at all for a while.
    pub breaker: CircuitBreaker,
    /// What becomes of an event whose attempts are used up.
    pub exhausted: Exhausted,
    /// What becomes of later events of its stream, if it is a dead letter. It is not stored, and should
    /// be the same wherever the subscription runs.
    pub after_dead_letter: AfterDeadLetter,
    /// Whose handler gets a free place first, if several wait: the greater one's.
    pub priority: i32,
    /// Longest time for one batch; beyond it the handler is given up and has failed. While it works
    /// in a transaction, SQLite appends nothing; PostgreSQL ends a transaction that is idle for a
    /// minute.
    pub batch_timeout: Option<Duration>,
    /// How long a consumer that says nothing keeps its partitions. It says something at a third of it.
    pub lease: Duration,
    /// How often it looks whether the subscription was paused or resumed; five times as long goes by
    /// until it looks at the store without having been told of an event.
    pub poll: Duration,
}

impl ConsumerOptions {
    /// The defaults, under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filter: EventFilter::default(),
            start: Start::default(),
            batch_size: 100,
            partitions: 4,
            backoff: Backoff::default(),
            breaker: CircuitBreaker::default(),
            exhausted: Exhausted::default(),
            after_dead_letter: AfterDeadLetter::default(),
            priority: 0,
            batch_timeout: Some(Duration::from_secs(30)),
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
        }
    }

    /// Refuses settings that no subscription could run with.
    pub(super) fn check(&self) -> Result<(), ConsumerError> {
        let refuse = |option: &'static str, message: String| {
            Err(ConsumerError::InvalidOption { option, message })
        };
        let name = &self.name;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
            let message = format!("has to have 1 to {MAX_NAME_BYTES} bytes and no NUL");
            return refuse("name", message);
        }
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return refuse("batch_size", format!("has to be from 1 to {MAX_BATCH}"));
        }
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            let message = format!("has to be from 1 to {MAX_PARTITIONS}");
            return refuse("partitions", message);
        }
        let positive = [
            ("backoff.attempts", self.backoff.attempts == 0),
            ("breaker.failures", self.breaker.failures == 0),
            ("batch_timeout", self.batch_timeout == Some(Duration::ZERO)),
            ("lease", self.lease < Duration::from_millis(10)),
            ("poll", self.poll.is_zero()),
        ];
        if let Some((option, _)) = positive.into_iter().find(|(_, too_small)| *too_small) {
            return refuse(option, "must be more than zero (a lease, 10 ms)".into());
        }
        if self.backoff.factor.is_nan() || self.backoff.factor < 1.0 {
            return refuse("backoff.factor", "must be at least 1".into());
        }
        Ok(())
    }
}
