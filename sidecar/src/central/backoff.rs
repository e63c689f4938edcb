//! How long to wait before the next try.

use std::time::Duration;

use rand::RngExt;

/// Exponential backoff with full jitter: each wait is drawn between zero and a bound that doubles up
/// to a limit, so that a fleet whose central came back does not return in one wave.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `base`, no wait is longer than `limit`.
    #[must_use]
    pub fn new(base: Duration, limit: Duration) -> Self {
        Self {
            base,
            limit,
            failures: 0,
        }
    }

    /// A try succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A try failed: how long to wait.
    pub fn after_failure(&mut self) -> Duration {
        self.bounded_wait(rand::rng().random_range(0.0..=1.0))
    }

    fn bounded_wait(&mut self, share: f64) -> Duration {
        let bound = self
            .base
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.limit);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let bounds: Vec<u128> = (0..6)
            .map(|_| backoff.bounded_wait(1.0).as_millis())
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.bounded_wait(1.0).as_millis(), 100);
    }

    #[test]
    fn a_wait_is_a_share_of_the_bound() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        assert_eq!(backoff.bounded_wait(0.0), Duration::ZERO);
        assert_eq!(backoff.bounded_wait(0.25), Duration::from_millis(250));
        for _ in 0..100 {
            assert!(backoff.after_failure() <= Duration::from_secs(1));
        }
    }
}
