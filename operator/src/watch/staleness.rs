//! For how long the caches may have been out of date.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::FAILURES_APART;

/// Since when each kind's watch has been failing.
///
/// A watch that works is silent when nothing changes, so silence after a failure counts as
/// recovery: a watch that still failed would have said so again.
#[derive(Debug, Default)]
pub struct Staleness {
    failing: Mutex<HashMap<String, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Staleness {
    /// The kind's watch brought an event.
    pub fn succeeded(&self, kind: &str) {
        self.lock().remove(kind);
    }

    /// The kind's watch failed.
    pub fn failed(&self, kind: &str, now: Instant) {
        let mut failing = self.lock();
        let entry = failing.entry(kind.into()).or_insert(Failing {
            since: now,
            last: now,
        });
        if now.duration_since(entry.last) > FAILURES_APART {
            entry.since = now;
        }
        entry.last = now;
    }

    /// The kinds that have been failing for longer than `limit`.
    pub fn stale(&self, limit: Duration, now: Instant) -> Vec<String> {
        let failing = self.lock();
        let mut stale: Vec<String> = failing
            .iter()
            .filter(|(_, failing)| now.duration_since(failing.last) <= FAILURES_APART)
            .filter(|(_, failing)| now.duration_since(failing.since) > limit)
            .map(|(kind, _)| kind.clone())
            .collect();
        stale.sort();
        stale
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    #[test]
    fn only_failures_without_a_pause_make_stale() {
        let staleness = Staleness::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in (0..=700).step_by(50) {
            staleness.failed("Tenant", at(seconds));
        }
        assert_eq!(staleness.stale(LIMIT, at(500)), Vec::<String>::new());
        assert_eq!(staleness.stale(LIMIT, at(701)), ["Tenant"]);
        assert_eq!(staleness.stale(LIMIT, at(1000)), Vec::<String>::new());
        staleness.failed("Tenant", at(1001));
        assert_eq!(staleness.stale(LIMIT, at(1002)), Vec::<String>::new());
    }

    #[test]
    fn an_event_ends_it() {
        let staleness = Staleness::default();
        let start = Instant::now();
        staleness.failed("Role", start);
        staleness.succeeded("Role");
        assert!(
            staleness
                .stale(Duration::ZERO, start + Duration::from_secs(1))
                .is_empty()
        );
    }
}
