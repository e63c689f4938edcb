//! Events per second over the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts by the second, for a minute.
#[derive(Debug)]
pub(super) struct Rate {
    started: Instant,
    /// Second since the start, and what was counted in it.
    seconds: VecDeque<(u64, u64)>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            started: now,
            seconds: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, now: Instant, count: u64) {
        let second = self.forget_old(now);
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum += count,
            _ => self.seconds.push_back((second, count)),
        }
    }

    /// Over the time since the start, while that is less than a minute.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        self.forget_old(now);
        let sum: u64 = self.seconds.iter().map(|(_, count)| count).sum();
        let running = now.saturating_duration_since(self.started);
        sum as f64 / running.clamp(Duration::from_secs(1), WINDOW).as_secs_f64()
    }

    fn forget_old(&mut self, now: Instant) -> u64 {
        let second = now.saturating_duration_since(self.started).as_secs();
        while let Some((oldest, _)) = self.seconds.front()
            && oldest + WINDOW.as_secs() <= second
        {
            self.seconds.pop_front();
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Rate;

    #[test]
    fn it_is_the_mean_of_the_last_minute_and_of_less_at_first() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(start);
        rate.add(start, 30);
        assert_eq!(rate.per_second(start), 30.0);
        rate.add(after(2), 30);
        assert_eq!(rate.per_second(after(10)), 6.0);
        assert_eq!(rate.per_second(after(61)), 0.5);
        assert_eq!(rate.per_second(after(62)), 0.0);
    }
}
