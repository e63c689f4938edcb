//! Feeds one generator's ring ahead of demand. The only writer of the ring.

use std::sync::Arc;
use std::time::{Duration, Instant};

use idgen::{Range, RateMeter};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::generator::{Generator, Supply, ring_for};
use crate::central::{Allocation, Backoff, CallError, Connection, ConnectionState};
use crate::content::KnownGenerator;
use crate::metrics::Metrics;

/// How often the rate is measured while nobody asks for more.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Calls central for ranges, one call at a time.
#[derive(Debug)]
pub(super) struct Filler {
    generator: Arc<Generator>,
    connection: Arc<Connection>,
    metrics: Arc<Metrics>,
    /// The declaration the ring was made for.
    applied: Arc<KnownGenerator>,
}

impl Filler {
    pub(super) fn new(
        generator: Arc<Generator>,
        connection: Arc<Connection>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let applied = generator.known.load_full();
        Self {
            generator,
            connection,
            metrics,
            applied,
        }
    }

    /// Fills until cancelled.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut meter = RateMeter::default();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.apply_declaration();
            let rate = meter.observe(self.generator.taken(), Instant::now());
            let wanted = self.generator.demand(rate);
            if wanted == 0 {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = self.generator.demanded.notified() => {}
                    () = self.generator.redeclared.notified() => {}
                    () = tokio::time::sleep(MEASURE_EVERY) => {}
                }
                continue;
            }
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                answer = self.connection.allocate(self.generator.name(), wanted) => answer,
            };
            if self.take_in(answer) {
                backoff.reset();
                continue;
            }
            let wait = backoff.after_failure();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.generator.redeclared.notified() => backoff.reset(),
                () = connected_anew(&self.connection) => backoff.reset(),
            }
        }
    }

    /// Whether ids arrived.
    fn take_in(&self, answer: Result<Allocation, CallError>) -> bool {
        let supply = match answer {
            Ok(Allocation::Given(range)) => {
                self.count("given");
                if self.push(range) {
                    self.say_when_new(&Supply::Arriving);
                    self.generator.set_supply(Supply::Arriving);
                    return true;
                }
                return false;
            }
            Ok(Allocation::Exhausted) => {
                self.count("exhausted");
                Supply::Exhausted
            }
            Ok(Allocation::UnknownGenerator) => {
                self.count("unknown_generator");
                Supply::Unknown
            }
            Err(error) => {
                self.count(error.reason());
                Supply::Failing(error.to_string())
            }
        };
        self.say_when_new(&supply);
        self.generator.set_supply(supply);
        false
    }

    /// Whether the ring took the range. One that it refuses is nobody's from now on.
    fn push(&self, range: protocol::v1::Range) -> bool {
        let protocol::v1::Range {
            start,
            end,
            stride,
            epoch,
        } = range;
        let name = self.generator.name();
        let pushed = Range::new(start, end, stride, epoch)
            .map_err(|problem| problem.to_string())
            .and_then(|range| {
                let ring = self.generator.ring.load();
                ring.push(range).map_err(|refused| refused.to_string())
            });
        match pushed {
            Ok(()) => {
                debug!(generator = name, start, end, stride, epoch, "took a range");
                true
            }
            Err(problem) => {
                error!(generator = name, start, end, stride, epoch, %problem,
                    "dropped a range: its ids are handed out by nobody");
                self.metrics.ranges_dropped.with_label_values(&[name]).inc();
                false
            }
        }
    }

    /// Makes the ring anew when its declaration changed, with the ids it holds if they are still of
    /// the generator.
    fn apply_declaration(&mut self) {
        let known = self.generator.known.load_full();
        if known == self.applied {
            return;
        }
        let name = self.generator.name();
        let became_another = known.origin != self.applied.origin;
        if became_another {
            warn!(
                generator = name,
                "dropped the ids of a generator that became another"
            );
        } else {
            info!(
                generator = name,
                "took over the ids of a generator whose declaration changed"
            );
        }
        self.generator
            .replace_ring(ring_for(&known), became_another);
        self.applied = known;
        self.generator.set_supply(Supply::Arriving);
    }

    fn count(&self, outcome: &str) {
        self.metrics
            .allocations
            .with_label_values(&[self.generator.name(), outcome])
            .inc();
    }

    fn say_when_new(&self, supply: &Supply) {
        let (name, before) = (self.generator.name(), self.generator.supply());
        if std::mem::discriminant(&*before.borrow()) == std::mem::discriminant(supply) {
            return;
        }
        let left = self.generator.level();
        match supply {
            Supply::Arriving => info!(generator = name, "ids arrive again"),
            Supply::Exhausted => warn!(generator = name, left, "central has no ids left"),
            Supply::Unknown => warn!(generator = name, left, "central knows no such generator"),
            Supply::Failing(problem) => warn!(generator = name, left, %problem, "no ids arrive"),
        }
    }
}

/// Central has come back since this was called.
async fn connected_anew(connection: &Connection) {
    let mut state = connection.state();
    state.mark_unchanged();
    loop {
        if state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if *state.borrow_and_update() == ConnectionState::Connected {
            return;
        }
    }
}
