//! How far a replay (or a verification) is: numbers for an API and for a bar on a terminal.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::event::Position;

/// Within about this time the rate follows a change.
const SMOOTHED_OVER: Duration = Duration::from_secs(5);

/// What became of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It reads.
    Running,
    /// Somebody stopped it; `position` says where.
    Cancelled,
    /// It could not go on; `failure` says why.
    Failed,
    /// It came to its end.
    Done,
}

/// Why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Stable code of the error.
    pub code: &'static str,
    /// What happened and how to mend it.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// How far it is. A bar shows `read` of `total`; `matched` of them were given to the visitor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// What became of it so far.
    pub state: State,
    /// Events looked at.
    pub read: u64,
    /// Events that passed the filters.
    pub matched: u64,
    /// Events to look at in all, if anything is known about it yet.
    pub total: Option<u64>,
    /// Whether `total` was counted (by positions, versions or sequences) and not estimated.
    pub total_is_exact: bool,
    /// Events read per second, of late.
    pub events_per_second: f64,
    /// Time left at this rate, in seconds.
    pub seconds_left: Option<f64>,
    /// Everything up to here is done.
    pub position: Position,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// Counts. Times come in with the calls.
#[derive(Debug)]
pub(crate) struct Meter {
    progress: Progress,
    /// Positions that it goes along, to estimate from when nothing counts the events.
    positions: Option<(u64, u64)>,
    latest: Instant,
    /// Events and seconds, the older the less.
    recent_events: f64,
    recent_seconds: f64,
}

impl Meter {
    pub(crate) fn new(started_at: OffsetDateTime, now: Instant) -> Self {
        Self {
            progress: Progress {
                state: State::Running,
                read: 0,
                matched: 0,
                total: None,
                total_is_exact: false,
                events_per_second: 0.0,
                seconds_left: None,
                position: Position::START,
                started_at,
                ended_at: None,
                failure: None,
            },
            positions: None,
            latest: now,
            recent_events: 0.0,
            recent_seconds: 0.0,
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// It goes from `after` to `until`, on which way there are `total` events, if that is known.
    pub(crate) fn expect(&mut self, after: Position, until: Position, total: Option<u64>) {
        self.progress.position = after;
        self.progress.total = total;
        self.progress.total_is_exact = total.is_some();
        self.positions = Some((after.0, until.0));
    }

    /// A page is done.
    pub(crate) fn page(&mut self, now: Instant, read: u64, matched: u64, position: Position) {
        let seconds = now.duration_since(self.latest).as_secs_f64();
        self.latest = now;
        let kept = (-seconds / SMOOTHED_OVER.as_secs_f64()).exp();
        self.recent_events = self.recent_events * kept + read as f64;
        self.recent_seconds = self.recent_seconds * kept + seconds;

        let progress = &mut self.progress;
        progress.read += read;
        progress.matched += matched;
        progress.position = progress.position.max(position);
        if self.recent_seconds > 0.0 {
            progress.events_per_second = self.recent_events / self.recent_seconds;
        }
        if let (false, Some(positions)) = (progress.total_is_exact, self.positions) {
            progress.total = estimate(positions, progress.position.0, progress.read);
        }
        progress.seconds_left = progress
            .total
            .filter(|_| progress.events_per_second > 0.0)
            .map(|total| total.saturating_sub(progress.read) as f64 / progress.events_per_second);
    }

    pub(crate) fn end(&mut self, state: State, at: OffsetDateTime, failure: Option<Failure>) {
        let progress = &mut self.progress;
        progress.state = state;
        progress.ended_at = Some(at);
        progress.failure = failure;
        progress.seconds_left = None;
        if state == State::Done {
            progress.total = Some(progress.read);
            progress.total_is_exact = true;
            if let Some((_, until)) = self.positions {
                progress.position = progress.position.max(Position(until));
            }
        }
    }
}

/// How many events there will be, when `read` were found on the way from `after` to `position`.
fn estimate((after, until): (u64, u64), position: u64, read: u64) -> Option<u64> {
    let done = position.checked_sub(after).filter(|done| *done > 0)?;
    let whole = until.saturating_sub(after).max(done);
    let total = u128::from(read) * u128::from(whole) / u128::from(done);
    Some(u64::try_from(total).unwrap_or(u64::MAX).max(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn meter(total: Option<u64>) -> (Meter, Instant) {
        let now = Instant::now();
        let mut meter = Meter::new(AT, now);
        meter.expect(Position(100), Position(1100), total);
        (meter, now)
    }

    #[test]
    fn rate_and_time_left_follow_from_the_pages() {
        let (mut meter, start) = meter(Some(1000));
        meter.page(start + Duration::from_secs(1), 100, 10, Position(200));
        let progress = meter.progress();
        assert_eq!((progress.read, progress.matched), (100, 10));
        assert!((progress.events_per_second - 100.0).abs() < 1e-6);
        assert!((progress.seconds_left.unwrap() - 9.0).abs() < 1e-6);
    }

    #[test]
    fn the_rate_forgets_what_was_long_ago_and_not_the_last_page_only() {
        let (mut meter, start) = meter(None);
        let mut at = start;
        for _ in 0..100 {
            at += Duration::from_secs(1);
            meter.page(at, 1000, 1000, Position(101));
        }
        at += Duration::from_secs(1);
        meter.page(at, 0, 0, Position(101));
        let shaken = meter.progress().events_per_second;
        assert!(shaken > 700.0 && shaken < 1000.0, "{shaken}");
        for _ in 0..60 {
            at += Duration::from_secs(1);
            meter.page(at, 10, 10, Position(101));
        }
        let settled = meter.progress().events_per_second;
        assert!(settled > 9.0 && settled < 12.0, "{settled}");
    }

    #[test]
    fn what_nobody_counted_is_estimated_along_the_positions() {
        let (mut meter, start) = meter(None);
        assert_eq!(meter.progress().total, None);
        meter.page(start + Duration::from_secs(1), 5, 5, Position(350));
        assert_eq!(meter.progress().total, Some(20));
        assert!(!meter.progress().total_is_exact);
        meter.page(start + Duration::from_secs(2), 5, 5, Position(1100));
        meter.end(State::Done, AT, None);
        assert_eq!(meter.progress().total, Some(10));
        assert!(meter.progress().total_is_exact);
    }

    #[test]
    fn pages_within_no_time_give_no_infinite_rate() {
        let (mut meter, start) = meter(Some(10));
        meter.page(start, 5, 5, Position(105));
        assert_eq!(meter.progress().seconds_left, None);
        assert!(meter.progress().events_per_second.is_finite());
    }
}
