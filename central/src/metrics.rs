//! What central counts, in Prometheus' terms.
//!
//! No series is labelled by tenant, pod or token: their number is not ours to bound.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector, process_collector::ProcessCollector,
};

const LATENCY_BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// All metrics of one central.
pub(crate) struct Metrics {
    registry: Registry,
    /// Calls by route and status.
    pub(crate) requests: IntCounterVec,
    /// Time to the head of the answer by route.
    pub(crate) latency: HistogramVec,
    /// Appended events by stream type.
    pub(crate) events: IntCounterVec,
    /// Commands by stream type, name and outcome.
    pub(crate) commands: IntCounterVec,
    /// Times that something was tried again for a command, by command and cause.
    pub(crate) command_retries: IntCounterVec,
    /// Time from the call of a command to its end, by command.
    pub(crate) command_duration: HistogramVec,
    /// How much of it was spent waiting for its turn, by command.
    pub(crate) command_wait: HistogramVec,
    /// Snapshots taken by stream type.
    pub(crate) snapshots_taken: IntCounterVec,
    /// Aggregates loaded from a snapshot by stream type.
    pub(crate) snapshots_used: IntCounterVec,
    /// Snapshots found and not trusted, by stream type and reason.
    pub(crate) snapshots_skipped: IntCounterVec,
    /// Snapshots that were due and could not be taken, by stream type.
    pub(crate) snapshots_not_taken: IntCounterVec,
    /// Appends that found another writer's event.
    pub(crate) conflicts: IntCounter,
    /// Ranges committed.
    pub(crate) ranges: IntCounter,
    /// Ids in them.
    pub(crate) ids: IntCounter,
    /// Tokens signed.
    pub(crate) tokens: IntCounter,
    /// Exchanges refused by reason.
    pub(crate) exchange_refusals: IntCounterVec,
    /// Sync streams open now.
    pub(crate) streams: IntGauge,
    /// States sent on them by content.
    pub(crate) states_sent: IntCounterVec,
    /// Acknowledgements by content and outcome.
    pub(crate) acknowledgements: IntCounterVec,
    /// Streams that have acknowledged the newest version they were sent, by content.
    pub(crate) streams_current: IntGaugeVec,
    /// Position the read models have reached.
    pub(crate) position: IntGauge,
    /// Events they are behind the store's head.
    pub(crate) lag: IntGauge,
    /// Whether the store answered last.
    pub(crate) store_up: IntGauge,
    /// Key steps taken by kind.
    pub(crate) key_steps: IntCounterVec,
    /// Certificate reloads by outcome.
    pub(crate) certificate_reloads: IntCounterVec,
    /// Tenants that are open.
    pub(crate) tenants: IntGauge,
    /// Tenants that stopped at an event this release does not understand.
    pub(crate) tenants_frozen: IntGauge,
    /// Checkpoints signed over the ends of chains.
    pub(crate) checkpoints_signed: IntCounter,
    /// Rounds of signing that failed.
    pub(crate) checkpoint_failures: IntCounter,
    /// Chains found that contradict their last checkpoint, in each round again: an alarm.
    pub(crate) checkpoint_contradictions: IntCounter,
    /// Position that durable subscriptions have reached in all partitions, by name.
    pub(crate) subscription_position: IntGaugeVec,
    /// Events that their last partition is behind, by name.
    pub(crate) subscription_lag: IntGaugeVec,
    /// Events they have put aside, by name.
    pub(crate) subscription_dead_letters: IntGaugeVec,
    /// Partitions of them that this replica works on, by name and what they do.
    pub(crate) subscription_partitions: IntGaugeVec,
    /// Reads of events and streams by where they went.
    pub(crate) event_reads: IntCounterVec,
    /// Position that projections in the database have reached in all partitions, by name.
    pub(crate) document_projection_position: IntGaugeVec,
    /// Events that their last partition is behind, by name.
    pub(crate) document_projection_lag: IntGaugeVec,
    /// Age of the first event that they have not applied, by name.
    pub(crate) document_projection_lag_seconds: GaugeVec,
    /// 1 for the state that they are in, by name and state.
    pub(crate) document_projection_state: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            requests: counters(r, "requests_total", "Calls", &["route", "status"])?,
            latency: times(
                r,
                "request_duration_seconds",
                "Time until the head of the answer, by route",
                "route",
            )?,
            events: counters(
                r,
                "events_appended_total",
                "Events appended",
                &["stream_type"],
            )?,
            commands: counters(
                r,
                "commands_total",
                "Commands",
                &["stream_type", "command", "outcome"],
            )?,
            command_retries: counters(
                r,
                "command_retries_total",
                "Times that a command met another writer or a fault of the store",
                &["command", "cause"],
            )?,
            command_duration: times(
                r,
                "command_duration_seconds",
                "Time from the call of a command to its end",
                "command",
            )?,
            command_wait: times(
                r,
                "command_wait_seconds",
                "Time a command waited for its turn",
                "command",
            )?,
            snapshots_taken: counters(
                r,
                "snapshots_taken_total",
                "Snapshots of aggregates taken",
                &["stream_type"],
            )?,
            snapshots_used: counters(
                r,
                "snapshots_used_total",
                "Aggregates loaded from a snapshot",
                &["stream_type"],
            )?,
            snapshots_skipped: counters(
                r,
                "snapshots_skipped_total",
                "Snapshots found and not trusted; events took their place",
                &["stream_type", "reason"],
            )?,
            snapshots_not_taken: counters(
                r,
                "snapshots_not_taken_total",
                "Snapshots that were due and could not be taken",
                &["stream_type"],
            )?,
            conflicts: counter(
                r,
                "append_conflicts_total",
                "Appends that met another writer",
            )?,
            ranges: counter(r, "ranges_allocated_total", "Id ranges committed")?,
            ids: counter(r, "ids_allocated_total", "Ids in committed ranges")?,
            tokens: counter(r, "tokens_issued_total", "Tokens signed")?,
            exchange_refusals: counters(
                r,
                "token_exchange_refusals_total",
                "Token exchanges refused",
                &["reason"],
            )?,
            streams: gauge(r, "sync_streams", "Sync streams of sidecars open now")?,
            states_sent: counters(r, "sync_states_sent_total", "States sent", &["content"])?,
            acknowledgements: counters(
                r,
                "sync_acknowledgements_total",
                "Acknowledgements of sidecars",
                &["content", "outcome"],
            )?,
            streams_current: gauges(
                r,
                "sync_streams_current",
                "Sync streams whose sidecar acknowledged the newest version sent to it",
                &["content"],
            )?,
            position: gauge(
                r,
                "projection_position",
                "Position the read models have reached",
            )?,
            lag: gauge(
                r,
                "projection_lag_events",
                "Events the read models are behind the head",
            )?,
            store_up: gauge(
                r,
                "store_up",
                "1 when the event store answered last, else 0",
            )?,
            key_steps: counters(r, "key_steps_total", "Steps of key rotation", &["step"])?,
            certificate_reloads: counters(
                r,
                "certificate_reloads_total",
                "Changed certificates by outcome",
                &["outcome"],
            )?,
            tenants: gauge(r, "tenants", "Open tenants")?,
            tenants_frozen: gauge(
                r,
                "tenants_frozen",
                "Tenants whose events this replica takes in no more, for it did not understand one",
            )?,
            checkpoints_signed: counter(
                r,
                "checkpoints_signed_total",
                "Checkpoints signed over the ends of event chains",
            )?,
            checkpoint_failures: counter(
                r,
                "checkpoint_failures_total",
                "Rounds of signing checkpoints that failed",
            )?,
            checkpoint_contradictions: counter(
                r,
                "checkpoint_contradictions_total",
                "Event chains found, each round, that contradict their last checkpoint; any is an alarm",
            )?,
            subscription_position: gauges(
                r,
                "subscription_position",
                "Position a durable subscription has reached in all partitions",
                &["subscription"],
            )?,
            subscription_lag: gauges(
                r,
                "subscription_lag_events",
                "Events a durable subscription is behind the head",
                &["subscription"],
            )?,
            subscription_dead_letters: gauges(
                r,
                "subscription_dead_letters",
                "Events that a durable subscription has put aside",
                &["subscription"],
            )?,
            subscription_partitions: gauges(
                r,
                "subscription_partitions",
                "Partitions of a durable subscription in this replica by what they do; failed needs help",
                &["subscription", "state"],
            )?,
            event_reads: counters(
                r,
                "event_reads_total",
                "Reads of events by where they went: the replica of the database, or the database itself, \
                 in the first place (primary) or because the replica was behind or away",
                &["went"],
            )?,
            document_projection_position: gauges(
                r,
                "document_projection_position",
                "Position a projection in the database has reached in all partitions",
                &["projection"],
            )?,
            document_projection_lag: gauges(
                r,
                "document_projection_lag_events",
                "Events a projection in the database is behind the head",
                &["projection"],
            )?,
            document_projection_lag_seconds: register(
                r,
                GaugeVec::new(
                    Opts::new(
                        "signet_central_document_projection_lag_seconds",
                        "Age of the first event a projection in the database has not applied",
                    ),
                    &["projection"],
                )?,
            )?,
            document_projection_state: gauges(
                r,
                "document_projection_state",
                "1 for the state a projection in the database is in, else 0",
                &["projection", "state"],
            )?,
            registry,
        })
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn times(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(format!("signet_central_{name}"), help)
        .buckets(LATENCY_BUCKETS.to_vec());
    register(registry, HistogramVec::new(options, &[label])?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(
        registry,
        IntCounterVec::new(Opts::new(format!("signet_central_{name}"), help), labels)?,
    )
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(
        registry,
        IntCounter::new(format!("signet_central_{name}"), help)?,
    )
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(
        registry,
        IntGauge::new(format!("signet_central_{name}"), help)?,
    )
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let options = Opts::new(format!("signet_central_{name}"), help);
    register(registry, IntGaugeVec::new(options, labels)?)
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn every_metric_is_registered_once_and_rendered() {
        let metrics = Metrics::new().unwrap();
        metrics.ids.inc_by(1000);

        let text = metrics.render().unwrap();

        assert!(
            text.contains("signet_central_ids_allocated_total 1000"),
            "{text}"
        );
        assert!(
            text.contains("signet_central_projection_lag_events 0"),
            "{text}"
        );
    }
}
