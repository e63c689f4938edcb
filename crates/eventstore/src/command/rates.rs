//! How often a tenant may call a command: a bucket of tokens for each of the two together.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Buckets that are kept before full ones are thrown away for the first time; a full one says no more
/// than none at all.
const FIRST_SWEEP: usize = 4096;

/// So many calls per second, and so many at once after a while without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second, for a long time.
    pub per_second: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// As many at once as per second; 0 means the same as 1.
    pub const fn per_second(calls: u32) -> Self {
        let calls = match NonZeroU32::new(calls) {
            Some(calls) => calls,
            None => NonZeroU32::MIN,
        };
        Self {
            per_second: calls,
            burst: calls,
        }
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::per_second(100)
    }
}

/// Tokio's clock, so that a test may pause it.
#[derive(Debug, Clone, Copy)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Tenant and command.
type Bucket = (String, &'static str);

/// Buckets of one rate.
struct Buckets {
    limiter: RateLimiter<Bucket, HashMapStateStore<Bucket>, TokioClock, NoOpMiddleware<Duration>>,
    /// Number of buckets at which full ones are thrown away again.
    sweep_at: AtomicUsize,
}

impl Buckets {
    fn new(rate: Rate, clock: TokioClock) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::hashmap_with_clock(quota, clock),
            sweep_at: AtomicUsize::new(FIRST_SWEEP),
        }
    }

    fn take(&self, bucket: &Bucket, clock: TokioClock) -> Result<(), Duration> {
        if self.limiter.len() >= self.sweep_at.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            // Not before there are twice as many, or a sweep would be done for every call.
            let next = FIRST_SWEEP.max(self.limiter.len() * 2);
            self.sweep_at.store(next, Ordering::Relaxed);
        }
        self.limiter
            .check_key(bucket)
            .map_err(|until| until.wait_time_from(clock.now()))
    }
}

/// The rates of all commands.
pub(super) struct Rates {
    clock: TokioClock,
    /// For commands without one of their own.
    usual: Option<Buckets>,
    own: HashMap<&'static str, Option<Buckets>>,
}

impl Rates {
    pub(super) fn new(usual: Option<Rate>, own: &HashMap<&'static str, Option<Rate>>) -> Self {
        let clock = TokioClock(Instant::now());
        let buckets = |rate: Option<Rate>| rate.map(|rate| Buckets::new(rate, clock));
        Self {
            clock,
            usual: buckets(usual),
            own: own
                .iter()
                .map(|(name, rate)| (*name, buckets(*rate)))
                .collect(),
        }
    }

    /// Takes a token; without one, says how long to wait for it.
    pub(super) fn take(&self, tenant: &str, command: &'static str) -> Result<(), Duration> {
        match self.own.get(command).unwrap_or(&self.usual) {
            Some(buckets) => buckets.take(&(tenant.to_owned(), command), self.clock),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::{FIRST_SWEEP, Rate, Rates};

    #[tokio::test(start_paused = true)]
    async fn each_tenant_has_its_own_rate_of_each_command() {
        let own = HashMap::from([("Rare", Some(Rate::per_second(1))), ("Free", None)]);
        let rates = Rates::new(Some(Rate::default()), &own);
        for _ in 0..100 {
            rates.take("acme", "Usual").unwrap();
        }
        let wait = rates.take("acme", "Usual").unwrap_err();
        assert_eq!(wait, Duration::from_millis(10));
        rates.take("acme", "Other").unwrap();
        rates.take("globex", "Usual").unwrap();
        rates.take("acme", "Rare").unwrap();
        assert_eq!(rates.take("acme", "Rare"), Err(Duration::from_secs(1)));
        for _ in 0..1000 {
            rates.take("acme", "Free").unwrap();
        }

        tokio::time::advance(wait).await;

        rates.take("acme", "Usual").unwrap();
        rates.take("acme", "Usual").unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_that_are_full_again_are_thrown_away() {
        let rates = Rates::new(Some(Rate::default()), &HashMap::new());
        for tenant in 0..FIRST_SWEEP {
            rates.take(&tenant.to_string(), "Usual").unwrap();
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        rates.take("acme", "Usual").unwrap();
        assert_eq!(rates.usual.as_ref().unwrap().limiter.len(), 1);
    }
}
