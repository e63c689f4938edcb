//! What central does behind its events, by durable subscriptions: exactly once, by one of the replicas.

mod retired_keys;

use std::{sync::Arc, time::Duration};

use eventstore::{
    EventStore, Position,
    consumer::{
        ConsumerError, ConsumerHealth, Consumers, PartitionState, SubscriptionStatus, Subscriptions,
    },
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::retired_keys::RetiredKeys;
use crate::{metrics::Metrics, readiness::Readiness, service::Clock};

/// How often it is looked how they stand, and tried again what did not start.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// What a partition may be doing, as a label. One that failed, or whose circuit is open, handles nothing.
const STATES: [&str; 6] = [
    "running",
    "waiting",
    "paused",
    "retrying",
    "circuit_open",
    "failed",
];

/// Starts the subscriptions of this replica and says in metrics how all of them stand.
///
/// Nothing that happens here makes the replica unready: what calls are answered from does not rest
/// on it.
pub(crate) struct Following {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) consumers: Arc<Consumers>,
    pub(crate) retired_keys: RetiredKeys,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl Following {
    /// Runs until it is told to stop; the subscriptions are ended by [`Consumers::shutdown`].
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            // Handlers ask the read models.
            self.readiness.ready().await;
            let subscriptions = Subscriptions::new(Arc::clone(&self.store));
            let mut started = false;
            loop {
                if !started {
                    started = self.start().await;
                }
                match subscriptions.all((self.clock)()).await {
                    Ok(all) => all.iter().for_each(|status| self.show(status)),
                    Err(error) => {
                        tracing::warn!(%error, "how the subscriptions stand could not be read");
                    }
                }
                for health in self.consumers.health() {
                    show_partitions(&self.metrics, &health);
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn start(&self) -> bool {
        let options = RetiredKeys::options();
        let name = options.name.clone();
        let delivery = self.retired_keys.clone().delivery();
        match self.consumers.start(options, delivery).await {
            Ok(()) | Err(ConsumerError::AlreadyRunning { .. }) => true,
            Err(error) => {
                tracing::error!(
                    %error,
                    code = error.code(),
                    subscription = name,
                    "a subscription did not start; trying again"
                );
                false
            }
        }
    }

    fn show(&self, status: &SubscriptionStatus) {
        let name = [status.subscription.as_str()];
        let partitions = || status.partitions.iter();
        let position = partitions().map(|one| one.position).min();
        let lag = partitions().map(|one| one.lag_events).max();
        let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let Metrics {
            subscription_position,
            subscription_lag,
            subscription_dead_letters,
            ..
        } = &*self.metrics;
        subscription_position
            .with_label_values(&name)
            .set(shown(position.unwrap_or(Position::START).0));
        subscription_lag
            .with_label_values(&name)
            .set(shown(lag.unwrap_or(0)));
        subscription_dead_letters
            .with_label_values(&name)
            .set(shown(status.dead_letters));
    }
}

/// How many partitions of a subscription do what, of those that are worked on here.
fn show_partitions(metrics: &Metrics, health: &ConsumerHealth) {
    for state in STATES {
        let partitions = health.partitions.iter();
        let number = partitions.filter(|one| label(&one.state) == state).count();
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        metrics
            .subscription_partitions
            .with_label_values(&[health.subscription.as_str(), state])
            .set(number);
    }
}

fn label(state: &PartitionState) -> &'static str {
    match state {
        PartitionState::Running => "running",
        PartitionState::Waiting => "waiting",
        PartitionState::Paused => "paused",
        PartitionState::Retrying { .. } => "retrying",
        PartitionState::CircuitOpen { .. } => "circuit_open",
        PartitionState::Failed { .. } => "failed",
    }
}

#[cfg(test)]
mod tests {
    use eventstore::{
        Position,
        consumer::{ConsumerHealth, PartitionHealth, PartitionState},
    };

    use super::show_partitions;
    use crate::metrics::Metrics;

    #[test]
    fn partitions_that_do_not_get_on_are_counted() {
        let metrics = Metrics::new().unwrap();
        let show = |states: Vec<PartitionState>| {
            let partitions =
                states
                    .into_iter()
                    .zip(0..)
                    .map(|(state, partition)| PartitionHealth {
                        partition,
                        state,
                        position: Position(7),
                        lag_events: 0,
                        lag_seconds: 0.0,
                        last_success: None,
                    });
            let health = ConsumerHealth {
                subscription: "audit".into(),
                paused: false,
                partitions: partitions.collect(),
            };
            show_partitions(&metrics, &health);
        };
        let shown = |state| {
            let labels = ["audit", state];
            metrics
                .subscription_partitions
                .with_label_values(&labels)
                .get()
        };
        let reason = || "the event is corrupt".to_owned();

        show(vec![
            PartitionState::Failed { reason: reason() },
            PartitionState::CircuitOpen { reason: reason() },
            PartitionState::Waiting,
            PartitionState::Failed { reason: reason() },
        ]);
        assert_eq!((shown("failed"), shown("circuit_open")), (2, 1));

        show(vec![PartitionState::Running]);
        assert_eq!((shown("failed"), shown("circuit_open")), (0, 0));
        assert_eq!(shown("running"), 1);
    }
}
