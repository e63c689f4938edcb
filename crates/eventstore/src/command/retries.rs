//! How often and after which pauses something is tried again.

use std::time::Duration;

use rand::RngExt as _;

use super::error::CommandError;

/// Pauses that double: between nothing and `base` before the first repetition, twice that before the
/// next, never more than `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// How often something is tried, the first time included; 0 means the same as 1.
    pub attempts: u32,
    /// Longest pause before the first repetition.
    pub base: Duration,
    /// Longest pause at all.
    pub most: Duration,
}

impl Backoff {
    /// Longest pause before a repetition, counted from 1; none if there must not be one.
    pub fn longest_pause(&self, repetition: u32) -> Option<Duration> {
        if repetition >= self.attempts.max(1) {
            return None;
        }
        let doubled = 1_u32.checked_shl(repetition.saturating_sub(1));
        let pause = doubled.and_then(|factor| self.base.checked_mul(factor));
        Some(pause.map_or(self.most, |pause| pause.min(self.most)))
    }
}

/// When a command is tried again, all by itself.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// After faults that may pass: the store is away, its queue is full, an outcome is unknown. They
    /// count for the whole of a command.
    pub faults: Backoff,
    /// After somebody else wrote to the stream first. It costs nobody much, so it is tried faster and
    /// more often.
    pub conflicts: Backoff,
    /// What a pause is multiplied with, from 0 to 1: different ones keep callers from meeting again.
    pub random: fn() -> f64,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            faults: Backoff {
                attempts: 3,
                base: Duration::from_millis(100),
                most: Duration::from_secs(10),
            },
            conflicts: Backoff {
                attempts: 12,
                base: Duration::from_millis(2),
                most: Duration::from_millis(256),
            },
            random: || rand::rng().random(),
        }
    }
}

/// What is left to a command of its repetitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    retries: Retries,
    faults: u32,
    pub(super) conflicts: u32,
}

impl Left {
    pub(super) fn new(retries: Retries) -> Self {
        Self {
            retries,
            faults: 0,
            conflicts: 0,
        }
    }

    /// Pauses after a fault; gives it back if it was the last one.
    pub(super) async fn after_fault(&mut self, error: CommandError) -> Result<(), CommandError> {
        self.faults += 1;
        let pause = self.retries.faults.longest_pause(self.faults);
        let Some(pause) = pause else {
            return Err(error);
        };
        tracing::debug!(%error, "a command is tried again");
        self.pause(pause).await;
        Ok(())
    }

    /// Pauses after a conflict; gives an error if it was the last one.
    pub(super) async fn after_conflict(&mut self, error: CommandError) -> Result<(), CommandError> {
        self.conflicts += 1;
        let pause = self.retries.conflicts.longest_pause(self.conflicts);
        let Some(pause) = pause else {
            return Err(error);
        };
        self.pause(pause).await;
        Ok(())
    }

    async fn pause(&self, longest: Duration) {
        let part = (self.retries.random)().clamp(0.0, 1.0);
        tokio::time::sleep(longest.mul_f64(part)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Retries};

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let pauses = |backoff: Backoff| {
            (1..)
                .map_while(|repetition| backoff.longest_pause(repetition))
                .map(|pause| pause.as_millis())
                .collect::<Vec<_>>()
        };
        let Retries {
            faults, conflicts, ..
        } = Retries::default();
        assert_eq!(pauses(faults), [100, 200]);
        assert_eq!(
            pauses(conflicts),
            [2, 4, 8, 16, 32, 64, 128, 256, 256, 256, 256]
        );
        assert_eq!(
            pauses(Backoff {
                attempts: 0,
                ..faults
            }),
            [0; 0]
        );
        let many = Backoff {
            attempts: u32::MAX,
            ..faults
        };
        assert_eq!(many.longest_pause(8), Some(Duration::from_secs(10)));
        assert_eq!(
            many.longest_pause(u32::MAX - 1),
            Some(Duration::from_secs(10))
        );
    }
}
