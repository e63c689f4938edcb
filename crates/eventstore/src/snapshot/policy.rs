//! When a snapshot is taken, and how long one stays.

use std::num::NonZeroU32;
use std::time::Duration;

use time::OffsetDateTime;

use super::Pruning;

/// When to take a snapshot: as soon as any of its conditions holds. Without any: never.
///
/// ```
/// use eventstore::snapshot::SnapshotPolicy;
/// use std::time::Duration;
///
/// let policy = SnapshotPolicy::OFF
///     .or_every(50)
///     .or_tail_bytes(256 * 1024)
///     .or_age(Duration::from_secs(24 * 3600));
/// assert!(SnapshotPolicy::default() == SnapshotPolicy::OFF.or_every(10));
/// # let _ = policy;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    every: Option<u64>,
    tail_bytes: Option<u64>,
    age: Option<Duration>,
}

/// What lies behind the last snapshot of a stream, or all of the stream when it has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tail {
    /// Number of events.
    pub events: u64,
    /// Size of their data as JSON.
    pub bytes: u64,
    /// When the snapshot was taken; without one, when the first of the events was recorded.
    pub since: Option<OffsetDateTime>,
}

impl SnapshotPolicy {
    /// Never.
    pub const OFF: Self = Self {
        every: None,
        tail_bytes: None,
        age: None,
    };

    /// Also when so many events lie behind the last one; 0 means the same as 1.
    #[must_use]
    pub const fn or_every(mut self, events: u64) -> Self {
        self.every = Some(events);
        self
    }

    /// Also when the events behind the last one have so many bytes of data as JSON.
    #[must_use]
    pub const fn or_tail_bytes(mut self, bytes: u64) -> Self {
        self.tail_bytes = Some(bytes);
        self
    }

    /// Also when the last one is so old. It is looked at when something is appended, not by a timer.
    #[must_use]
    pub const fn or_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Whether it is time to take one behind `tail`.
    pub fn is_due(&self, tail: &Tail, now: OffsetDateTime) -> bool {
        let aged = |age: Duration| tail.since.is_some_and(|since| now - since >= age);
        tail.events > 0
            && (self.every.is_some_and(|every| tail.events >= every)
                || self.tail_bytes.is_some_and(|bytes| tail.bytes >= bytes)
                || self.age.is_some_and(aged))
    }

    /// Whether sizes count, which cost something to measure.
    pub(crate) fn counts_bytes(&self) -> bool {
        self.tail_bytes.is_some()
    }
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self::OFF.or_every(10)
    }
}

/// How many snapshots of a stream stay, and for how long. The newest stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest ones stay. More than one, because the newest may turn out corrupt.
    pub keep: NonZeroU32,
    /// How old one that is not the newest may become.
    pub most_age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep: NonZeroU32::MIN.saturating_add(1),
            most_age: None,
        }
    }
}

impl Retention {
    pub(crate) fn pruning(&self, now: OffsetDateTime) -> Pruning {
        let most_age = self.most_age.and_then(|age| age.try_into().ok());
        Pruning {
            keep: self.keep,
            not_before: most_age.and_then(|age| now.checked_sub(age)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;

    use super::{SnapshotPolicy, Tail};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn tail(events: u64, bytes: u64, age: Duration) -> Tail {
        Tail {
            events,
            bytes,
            since: Some(NOW - age),
        }
    }

    #[test]
    fn any_condition_is_enough() {
        let hour = Duration::from_secs(3600);
        let policy = SnapshotPolicy::default().or_tail_bytes(100).or_age(hour);
        for due in [
            tail(10, 0, Duration::ZERO),
            tail(1, 100, Duration::ZERO),
            tail(1, 0, hour),
        ] {
            assert!(policy.is_due(&due, NOW), "{due:?}");
        }
        assert!(!policy.is_due(&tail(9, 99, hour / 2), NOW));
    }

    #[test]
    fn nothing_is_due_behind_the_last_event_or_when_off() {
        let always = SnapshotPolicy::OFF
            .or_every(0)
            .or_tail_bytes(0)
            .or_age(Duration::ZERO);
        assert!(always.is_due(&tail(1, 0, Duration::ZERO), NOW));
        assert!(!always.is_due(&tail(0, 0, Duration::from_secs(1 << 30)), NOW));
        assert!(!SnapshotPolicy::OFF.is_due(&tail(1_000_000, 1 << 40, Duration::ZERO), NOW));
    }
}
