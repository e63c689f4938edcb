//! Counting what becomes of commands and of snapshots.

use eventstore::{
    StreamKey,
    command::{CommandReport, Observer, Outcome},
    snapshot::{SkippedSnapshot, SnapshotObserver},
};

use crate::metrics::Metrics;

impl Observer for Metrics {
    fn ended(&self, report: &CommandReport) {
        let CommandReport {
            command,
            stream,
            outcome,
            duration,
            waited,
            attempts: _,
            conflicts,
            faults,
            events,
        } = report;
        let stream_type = stream.stream_type.as_str();
        let outcome = match outcome {
            // The name that dashboards know it by.
            Outcome::Stored => "applied",
            other => other.as_str(),
        };
        self.commands
            .with_label_values(&[stream_type, command, outcome])
            .inc();
        self.events
            .with_label_values(&[stream_type])
            .inc_by(*events as u64);
        self.conflicts.inc_by(u64::from(*conflicts));
        for (cause, times) in [("conflict", conflicts), ("fault", faults)] {
            if *times > 0 {
                self.command_retries
                    .with_label_values(&[*command, cause])
                    .inc_by(u64::from(*times));
            }
        }
        for (times, time) in [
            (&self.command_duration, duration),
            (&self.command_wait, waited),
        ] {
            times
                .with_label_values(&[*command])
                .observe(time.as_secs_f64());
        }
    }
}

impl SnapshotObserver for Metrics {
    fn skipped(&self, skipped: &SkippedSnapshot) {
        self.snapshots_skipped
            .with_label_values(&[&skipped.stream.stream_type, skipped.reason.as_str()])
            .inc();
    }

    fn not_taken(&self, stream: &StreamKey, message: &str) {
        tracing::warn!(%stream, message, "a snapshot could not be taken; the events are stored");
        self.snapshots_not_taken
            .with_label_values(&[&stream.stream_type])
            .inc();
    }

    fn taken(&self, stream: &StreamKey, _bytes: usize) {
        self.snapshots_taken
            .with_label_values(&[&stream.stream_type])
            .inc();
    }

    fn restored(&self, stream: &StreamKey, _stream_version: u64) {
        self.snapshots_used
            .with_label_values(&[&stream.stream_type])
            .inc();
    }
}
