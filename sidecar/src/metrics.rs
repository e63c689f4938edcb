//! What the sidecar counts, in the Prometheus text format.

use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, process_collector::ProcessCollector,
};
use protocol::v1::Content as Kind;

use crate::content::name_of;

/// All metrics. Counters are counted where things happen; gauges are set when somebody looks
/// ([`crate::health`]).
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Ids handed out, by generator.
    pub ids_served: IntCounterVec,
    /// Requests for ids that were refused, by generator and code.
    pub ids_refused: IntCounterVec,
    /// Calls for ranges, by generator and outcome.
    pub allocations: IntCounterVec,
    /// Ranges that the ring would not take, by generator.
    pub ranges_dropped: IntCounterVec,
    /// Ids held, by generator.
    pub ring_level: IntGaugeVec,
    /// Ids held when full, by generator.
    pub ring_capacity: IntGaugeVec,
    /// Requests that wait for ids, by generator.
    pub ring_waiters: IntGaugeVec,
    /// Tokens verified, by result.
    pub verifications: IntCounterVec,
    /// Verifications answered from the cache.
    pub verification_cache_hits: IntCounter,
    /// Decisions, by result.
    pub decisions: IntCounterVec,
    /// Own tokens obtained from central, by result.
    pub token_exchanges: IntCounterVec,
    /// Seconds until an own token expires, by audience.
    pub own_token_remaining: GaugeVec,
    /// Version held, by kind of content.
    pub content_version: IntGaugeVec,
    /// Seconds since content was known to be current, by kind.
    pub content_age: GaugeVec,
    /// 1 when content is too old to be used, by kind.
    pub content_expired: IntGaugeVec,
    /// States refused, by kind.
    pub content_refusals: IntCounterVec,
    /// Roles that do not compile.
    pub defective_roles: IntGauge,
    /// 1 while the sync stream stands.
    pub connected: IntGauge,
    /// Seconds since central was heard.
    pub since_contact: Gauge,
    /// Sync streams that stood.
    pub connections: IntCounter,
    /// 1 once started.
    pub started: IntGauge,
    /// Answers of the API, by route and status.
    pub requests: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// Two metrics share a name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("signet_sidecar".to_owned()), None)?;
        let set = Registration {
            registry: &registry,
        };
        let metrics = Self {
            ids_served: set.counters("ids_served_total", "Ids handed out.", &["generator"])?,
            ids_refused: set.counters(
                "id_requests_refused_total",
                "Requests for ids that were refused.",
                &["generator", "code"],
            )?,
            allocations: set.counters(
                "allocations_total",
                "Calls to central for ranges of ids.",
                &["generator", "outcome"],
            )?,
            ranges_dropped: set.counters(
                "ranges_dropped_total",
                "Ranges that were not taken because they overlap or cannot be read.",
                &["generator"],
            )?,
            ring_level: set.gauges("ring_level", "Ids held.", &["generator"])?,
            ring_capacity: set.gauges("ring_capacity", "Ids held when full.", &["generator"])?,
            ring_waiters: set.gauges(
                "ring_waiters",
                "Requests that wait for ids.",
                &["generator"],
            )?,
            verifications: set.counters(
                "token_verifications_total",
                "Tokens verified.",
                &["result"],
            )?,
            verification_cache_hits: set.counter(
                "token_verification_cache_hits_total",
                "Verifications answered from the cache.",
            )?,
            decisions: set.counters("decisions_total", "Decisions made.", &["result"])?,
            token_exchanges: set.counters(
                "token_exchanges_total",
                "Tokens of its own that the workload asked central for.",
                &["result"],
            )?,
            own_token_remaining: set.seconds(
                "own_token_remaining_seconds",
                "Seconds until the workload's own token expires.",
                &["audience"],
            )?,
            content_version: set.gauges(
                "content_version",
                "Version of the content held.",
                &["content"],
            )?,
            content_age: set.seconds(
                "content_age_seconds",
                "Seconds since the content was known to be current.",
                &["content"],
            )?,
            content_expired: set.gauges(
                "content_expired",
                "1 when the content is too old to be used.",
                &["content"],
            )?,
            content_refusals: set.counters(
                "content_refused_total",
                "States sent by central that could not be used.",
                &["content"],
            )?,
            defective_roles: set.gauge("defective_roles", "Roles that do not compile.")?,
            connected: set.gauge("central_connected", "1 while the stream to central stands.")?,
            since_contact: set.second(
                "central_last_contact_seconds",
                "Seconds since central was heard; -1: never.",
            )?,
            connections: set.counter("central_connections_total", "Streams to central so far.")?,
            started: set.gauge("started", "1 once the sidecar serves.")?,
            requests: set.counters(
                "http_requests_total",
                "Answers of the API.",
                &["route", "status"],
            )?,
            registry: Registry::new(),
        };
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            ..metrics
        })
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The sync stream stands.
    pub fn central_connected(&self) {
        self.connected.set(1);
        self.connections.inc();
    }

    /// The sync stream ended.
    pub fn central_disconnected(&self) {
        self.connected.set(0);
    }

    /// A state was taken.
    pub fn content_taken(&self, kind: Kind, version: u64) {
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        self.content_version
            .with_label_values(&[name_of(kind)])
            .set(version);
    }

    /// A state was refused.
    pub fn content_refused(&self, kind: Kind) {
        self.content_refusals
            .with_label_values(&[name_of(kind)])
            .inc();
    }
}

struct Registration<'a> {
    registry: &'a Registry,
}

impl Registration<'_> {
    fn add<T: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: T,
    ) -> Result<T, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, about: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, about)?)
    }

    fn counters(
        &self,
        name: &str,
        about: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, about), labels)?)
    }

    fn gauge(&self, name: &str, about: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, about)?)
    }

    fn gauges(
        &self,
        name: &str,
        about: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, about), labels)?)
    }

    fn second(&self, name: &str, about: &str) -> Result<Gauge, prometheus::Error> {
        self.add(Gauge::new(name, about)?)
    }

    fn seconds(
        &self,
        name: &str,
        about: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(Opts::new(name, about), labels)?)
    }
}
