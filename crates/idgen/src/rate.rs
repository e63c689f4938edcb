//! How fast ids are taken.

use std::time::{Duration, Instant};

/// Readings closer together than this are taken as one: a rate over microseconds says nothing.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_HALF_LIFE: Duration = Duration::from_secs(30);

/// An exponentially weighted rate in ids per second, fed with readings of [`Ring::taken`].
///
/// [`Ring::taken`]: crate::Ring::taken
///
/// ```
/// use std::time::{Duration, Instant};
/// use idgen::RateMeter;
///
/// let start = Instant::now();
/// let mut meter = RateMeter::default();
/// assert_eq!(meter.observe(0, start), 0.0);
/// assert_eq!(meter.observe(500, start + Duration::from_secs(1)).round(), 500.0);
/// ```
#[derive(Clone, Debug)]
pub struct RateMeter {
    half_life: Duration,
    last: Option<(u64, Instant)>,
    sum: f64,
    /// How much of the average rests on readings: near 0 at first, 1 in the long run. Dividing by it
    /// keeps the first minutes from reading as slow.
    weight: f64,
}

impl Default for RateMeter {
    /// A half-life of 30 s.
    fn default() -> Self {
        Self::new(DEFAULT_HALF_LIFE)
    }
}

impl RateMeter {
    /// A meter in which what was measured `half_life` ago counts half as much as what is measured
    /// now. It is at least a millisecond.
    #[must_use]
    pub fn new(half_life: Duration) -> Self {
        let half_life = half_life.max(Duration::from_millis(1));
        Self {
            half_life,
            last: None,
            sum: 0.0,
            weight: 0.0,
        }
    }

    /// Takes in the total number of ids taken until `now` and gives the rate per second: 0 at first,
    /// always finite and never negative.
    ///
    /// A total that went down (another ring) or a time that did not advance starts a new interval
    /// without counting as one.
    pub fn observe(&mut self, taken_total: u64, now: Instant) -> f64 {
        let Some((taken_before, before)) = self.last else {
            self.last = Some((taken_total, now));
            return self.rate();
        };
        if taken_total < taken_before {
            self.last = Some((taken_total, now));
            return self.rate();
        }
        let elapsed = now.saturating_duration_since(before);
        if elapsed >= SHORTEST_INTERVAL {
            let measured = (taken_total - taken_before) as f64 / elapsed.as_secs_f64();
            let kept = (-elapsed.as_secs_f64() / self.half_life.as_secs_f64()).exp2();
            self.sum = self.sum * kept + measured * (1.0 - kept);
            self.weight = self.weight * kept + (1.0 - kept);
            self.last = Some((taken_total, now));
        }
        self.rate()
    }

    /// The rate as of the last reading, per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}
