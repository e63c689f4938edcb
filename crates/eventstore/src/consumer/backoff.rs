//! How long to wait before the next attempt: exponential, with full jitter.

use std::time::Duration;

/// When a failed event is tried again, and how often.
///
/// The wait before attempt *n + 1* is drawn evenly from zero to `base · factorⁿ⁻¹`, but at most
/// `cap` ("full jitter": consumers that failed together do not come back together).
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// Attempts for one event, the first one included; at least 1.
    pub attempts: u32,
    /// Longest wait after the first failure.
    pub base: Duration,
    /// What each further failure multiplies it by; at least 1.
    pub factor: f64,
    /// Longest wait of all.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            attempts: 8,
            base: Duration::from_millis(200),
            factor: 2.0,
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (from 1); `chance` is drawn evenly from [0, 1).
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        let exponent = f64::from(failures.saturating_sub(1));
        let longest = self.base.as_secs_f64() * self.factor.powf(exponent);
        // Infinity is capped as any other number.
        let longest = longest.min(self.cap.as_secs_f64());
        Duration::from_secs_f64(longest * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Backoff;

    #[test]
    fn the_longest_wait_doubles_until_the_cap() {
        let backoff = Backoff {
            attempts: 10,
            base: Duration::from_millis(100),
            factor: 2.0,
            cap: Duration::from_millis(700),
        };
        let longest: Vec<_> = (1..=6)
            .map(|failures| backoff.wait(failures, 1.0).as_millis())
            .collect();
        assert_eq!(longest, [100, 200, 400, 700, 700, 700]);
        assert_eq!(backoff.wait(3, 0.5), Duration::from_millis(200));
        assert_eq!(backoff.wait(3, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap(
            failures in 0_u32..,
            chance in 0.0_f64..1.0,
            base in 0_u64..100_000,
            factor in 1.0_f64..100.0,
            cap in 0_u64..100_000,
        ) {
            let backoff = Backoff {
                attempts: 1,
                base: Duration::from_millis(base),
                factor,
                cap: Duration::from_millis(cap),
            };
            prop_assert!(backoff.wait(failures, chance) <= backoff.cap);
        }
    }
}
