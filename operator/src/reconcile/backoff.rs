//! How long to wait before an object is tried again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Counts failures object by object; kube itself keeps no such count.
#[derive(Debug)]
pub(super) struct Backoff<K> {
    failures: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// The object failed: how long to wait. `random` is uniform in 0..1.
    pub(super) fn failed(&self, object: K, random: f64) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(object).or_insert(0);
        *count = count.saturating_add(1);
        delay(*count, random)
    }

    /// The object succeeded, or is gone: its next failure counts as the first.
    pub(super) fn reset(&self, object: &K) {
        self.lock().remove(object);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 1 s, 2 s, 4 s … 5 min, of which the upper half is jitter.
fn delay(failures: u32, random: f64) -> Duration {
    let full = FIRST
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST);
    full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// `interval`, a tenth more or less.
pub(super) fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + random.clamp(0.0, 1.0) / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_success() {
        let backoff = Backoff::default();
        let mut waits = (0..12).map(|_| backoff.failed("a", 1.0).as_secs());
        let first: Vec<_> = waits.by_ref().take(4).collect();
        assert_eq!(first, [1, 2, 4, 8]);
        assert_eq!(waits.last(), Some(300));
        assert_eq!(backoff.failed("b", 1.0).as_secs(), 1);
        backoff.reset(&"a");
        assert_eq!(backoff.failed("a", 1.0).as_secs(), 1);
    }

    #[test]
    fn jitter_keeps_at_least_half() {
        assert_eq!(delay(3, 0.0), Duration::from_secs(2));
        assert_eq!(delay(3, 1.0), Duration::from_secs(4));
        assert_eq!(delay(u32::MAX, 0.0), LONGEST / 2);
    }

    #[test]
    fn resyncs_spread_around_the_interval() {
        let interval = Duration::from_secs(600);
        assert_eq!(jittered(interval, 0.0), Duration::from_secs(540));
        assert_eq!(jittered(interval, 1.0), Duration::from_secs(660));
    }
}
