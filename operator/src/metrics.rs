//! What the operator counts, for Prometheus.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All metrics of the operator, and the registry they are read from.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) reconciliations: IntCounterVec,
    pub(crate) reconcile_seconds: HistogramVec,
    pub(crate) leader: IntGauge,
    pub(crate) admissions: IntCounterVec,
    pub(crate) pods_without_sidecar: IntGauge,
    pub(crate) certificate_expiry: IntGaugeVec,
    pub(crate) watch_failures: IntCounterVec,
}

impl Metrics {
    /// Registers everything in a registry of its own.
    ///
    /// # Errors
    /// When two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            reconciliations: IntCounterVec::new(
                Opts::new(
                    "signet_operator_reconciliations_total",
                    "Reconciliations by kind and outcome (applied, refused, failed, released)",
                ),
                &["kind", "outcome"],
            )?,
            reconcile_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "signet_operator_reconcile_duration_seconds",
                    "How long a reconciliation took",
                ),
                &["kind"],
            )?,
            leader: IntGauge::new(
                "signet_operator_leader",
                "1 while this replica reconciles, else 0",
            )?,
            admissions: IntCounterVec::new(
                Opts::new(
                    "signet_operator_injections_total",
                    "Pods seen by the webhook by outcome (injected, present, skipped, denied, failed)",
                ),
                &["outcome"],
            )?,
            pods_without_sidecar: IntGauge::new(
                "signet_operator_pods_without_sidecar",
                "Running pods that asked for a sidecar and have none; counted by the leader",
            )?,
            certificate_expiry: IntGaugeVec::new(
                Opts::new(
                    "signet_operator_certificate_expiry_timestamp_seconds",
                    "When each certificate ends, in seconds since 1970",
                ),
                &["secret"],
            )?,
            watch_failures: IntCounterVec::new(
                Opts::new(
                    "signet_operator_watch_failures_total",
                    "Failed lists and watches by kind",
                ),
                &["kind"],
            )?,
            registry,
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.reconciliations.clone()))?;
        registry.register(Box::new(metrics.reconcile_seconds.clone()))?;
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.admissions.clone()))?;
        registry.register(Box::new(metrics.pods_without_sidecar.clone()))?;
        registry.register(Box::new(metrics.certificate_expiry.clone()))?;
        registry.register(Box::new(metrics.watch_failures.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(metrics)
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.admissions.with_label_values(&["denied"]).inc();
        let text = metrics.encode().unwrap();
        assert!(
            text.contains(r#"signet_operator_injections_total{outcome="denied"} 1"#),
            "{text}"
        );
        assert!(text.contains("signet_operator_leader 0"), "{text}");
    }
}
