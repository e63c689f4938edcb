//! Whether this replica should be given work, and why not.

use std::{sync::Arc, time::Duration};

use eventstore::{EventStore, Position};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{directory::Directory, error::ServiceError, metrics::Metrics};

const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait of a call that came before the read models had caught up.
const PATIENCE: Duration = Duration::from_secs(5);
/// One lost probe is a hiccup; this many in a row are an outage.
const PROBES_LOST: u32 = 2;

/// What readiness is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The store answered lately.
    pub(crate) store_up: bool,
    /// The read models have once reached what the store held at the start.
    pub(crate) caught_up: bool,
    /// The process is on its way out.
    pub(crate) draining: bool,
}

impl State {
    /// Whether this replica should be given work.
    ///
    /// A store that is away does not count: every replica would miss it at once, and with none of them
    /// ready nobody could reach what they still serve from memory (discovery, keys, tokens).
    pub(crate) fn is_ready(self) -> bool {
        self.caught_up && !self.draining
    }

    /// Whether everything works, the store included.
    pub(crate) fn is_healthy(self) -> bool {
        self.is_ready() && self.store_up
    }
}

/// The state, for everybody who has to know.
#[derive(Debug, Default)]
pub(crate) struct Readiness(watch::Sender<State>);

impl Readiness {
    /// The state now.
    pub(crate) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// Follows its changes.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Returns when this replica is ready.
    pub(crate) async fn ready(&self) {
        // The sender is ours, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|state| state.is_ready()).await;
    }

    /// Returns when the read models can be trusted: while they still replay what was written before,
    /// they show tenants as they once were. Waits a little, since it rarely takes long.
    pub(crate) async fn trustworthy(&self) -> Result<(), ServiceError> {
        if self.state().caught_up {
            return Ok(());
        }
        let mut changes = self.0.subscribe();
        let waited = timeout(PATIENCE, changes.wait_for(|state| state.caught_up)).await;
        waited.map(|_| ()).map_err(|_| ServiceError::CatchingUp)
    }

    /// No new work from here on.
    pub(crate) fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    fn caught_up(&self) {
        self.0.send_modify(|state| state.caught_up = true);
    }

    /// Gives what it was before.
    fn set_store_up(&self, up: bool) -> bool {
        let mut before = up;
        self.0.send_if_modified(|state| {
            before = std::mem::replace(&mut state.store_up, up);
            before != up
        });
        before
    }
}

/// Asks the store at intervals whether it is there and how far ahead it is.
pub(crate) struct StoreProbe {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) metrics: Arc<Metrics>,
}

impl StoreProbe {
    /// Probes until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut lost = 0;
        let mut start = None;
        let mut ticks = interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.catch_up(start) => {
                    self.readiness.caught_up();
                    tracing::info!(position = self.directory.position().0, "the read models have caught up");
                    continue;
                }
                _ = ticks.tick() => {}
            }
            self.show_reads();
            match timeout(PROBE_TIMEOUT, self.store.head()).await {
                Ok(Ok(head)) => {
                    lost = 0;
                    start.get_or_insert(head);
                    self.seen(head);
                }
                Ok(Err(error)) => {
                    lost += 1;
                    self.missed(lost, &error.to_string());
                }
                Err(_) => {
                    lost += 1;
                    self.missed(lost, "no answer in time");
                }
            }
        }
    }

    /// Returns, once, when the read models have reached what the store held at the start.
    async fn catch_up(&self, start: Option<Position>) {
        match start {
            Some(position) if !self.readiness.state().caught_up => {
                self.directory.reached(position).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// What the store counts, as counters: nobody else adds to them.
    fn show_reads(&self) {
        let reads = self.store.read_statistics();
        for (went, number) in [
            ("replica", reads.replica),
            ("primary", reads.primary),
            ("behind", reads.behind),
            ("away", reads.away),
        ] {
            let shown = self.metrics.event_reads.with_label_values(&[went]);
            shown.inc_by(number.saturating_sub(shown.get()));
        }
    }

    fn seen(&self, head: Position) {
        if !self.readiness.set_store_up(true) {
            tracing::info!("the event store answers");
        }
        let lag = head.0.saturating_sub(self.directory.position().0);
        self.metrics.store_up.set(1);
        self.metrics.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }

    fn missed(&self, lost: u32, error: &str) {
        self.metrics.store_up.set(0);
        if lost >= PROBES_LOST && self.readiness.set_store_up(false) {
            tracing::error!(
                error,
                "the event store does not answer; nothing can be written until it does"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::Readiness;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_answered_from_read_models_that_still_replay() {
        let readiness = Readiness::default();

        let refused = timeout(Duration::from_secs(60), readiness.trustworthy())
            .await
            .unwrap();
        assert_eq!(refused.unwrap_err().code(), "SIGNET-CENTRAL-0017");

        let (waited, ()) = tokio::join!(readiness.trustworthy(), async { readiness.caught_up() });
        assert!(waited.is_ok());
    }

    #[test]
    fn ready_is_read_models_and_not_draining_and_healthy_is_the_store_as_well() {
        let readiness = Readiness::default();
        assert!(!readiness.state().is_ready());

        assert!(!readiness.set_store_up(true));
        assert!(!readiness.state().is_ready());

        readiness.caught_up();
        assert!(readiness.state().is_ready() && readiness.state().is_healthy());

        assert!(readiness.set_store_up(false));
        assert!(readiness.state().is_ready() && !readiness.state().is_healthy());

        readiness.set_store_up(true);
        readiness.drain();
        assert!(!readiness.state().is_ready() && !readiness.state().is_healthy());
    }
}
