//! Read models in the database: what is asked seldom, or is too much for memory, folded from the events
//! by one of the replicas. What calls are decided by is in the `directory`, not here.

mod allocations;

use std::{sync::Arc, time::Duration};

use eventstore::projection::{
    PartitionBy, ProjectionError, ProjectionRunner, ProjectionState, ProjectionStatus, Projections,
    RunnerOptions,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::allocations::{AllocationQuery, Allocations};
use crate::metrics::Metrics;

/// How often it is looked how they stand.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the batch that is being written may take when central stops: the database may be away.
const LAST_BATCH: Duration = Duration::from_secs(5);
/// So that two replicas share the work; each tenant is in one of them.
const PARTITIONS: u32 = 2;
/// Documents kept in memory, of each partition. Each of these is written once, under a key of its own,
/// and never read again by the projection: keeping it saves nothing.
const CACHED_DOCUMENTS: u32 = 256;
const STATES: [ProjectionState; 5] = [
    ProjectionState::Running,
    ProjectionState::Paused,
    ProjectionState::Building,
    ProjectionState::Failed,
    ProjectionState::Behind,
];

/// Runs the projections in this replica and says in metrics how all of them stand.
///
/// Nothing that happens here makes the replica unready: no token and no id rests on it.
pub(crate) struct Projecting {
    pub(crate) projections: Projections,
    pub(crate) metrics: Arc<Metrics>,
}

impl Projecting {
    /// Begins to apply what is stored and what comes.
    ///
    /// # Errors
    /// A name or setting in this program that the store refuses.
    pub(crate) fn begin(self) -> Result<RunningProjections, ProjectionError> {
        let allocations = self.projections.run(Arc::new(Allocations), &options())?;
        Ok(RunningProjections {
            runners: vec![allocations],
            shown: self,
        })
    }
}

/// How they are run.
fn options() -> RunnerOptions {
    RunnerOptions {
        partitions: PARTITIONS,
        partition_by: PartitionBy::Tenant,
        cached_documents: CACHED_DOCUMENTS,
        ..RunnerOptions::default()
    }
}

/// Projections that are run here.
pub(crate) struct RunningProjections {
    runners: Vec<ProjectionRunner>,
    shown: Projecting,
}

impl RunningProjections {
    /// Until it is told to stop; then what is begun is written, and other replicas take over at once.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { runners, shown } = self;
        stop.run_until_cancelled(shown.show_for_ever()).await;
        let stops = runners.into_iter().map(ProjectionRunner::stop);
        let stopped = tokio::time::timeout(LAST_BATCH, futures::future::join_all(stops)).await;
        if stopped.is_err() {
            tracing::warn!(
                "a projection did not stop in time; another replica waits for its lease"
            );
        }
    }
}

impl Projecting {
    async fn show_for_ever(&self) {
        loop {
            match self.projections.statuses().await {
                Ok(all) => all.iter().for_each(|status| self.show(status)),
                Err(error) => {
                    tracing::warn!(%error, "how the projections stand could not be read");
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn show(&self, status: &ProjectionStatus) {
        let name = status.projection.as_str();
        let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (metrics, active) = (&self.metrics, &status.active);
        metrics
            .document_projection_position
            .with_label_values(&[name])
            .set(shown(active.position.0));
        metrics
            .document_projection_lag
            .with_label_values(&[name])
            .set(shown(active.lag_events));
        metrics
            .document_projection_lag_seconds
            .with_label_values(&[name])
            .set(active.lag_seconds);
        for state in STATES {
            metrics
                .document_projection_state
                .with_label_values(&[name, &state.to_string()])
                .set(i64::from(state == status.state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PARTITIONS, options};

    #[test]
    fn what_is_written_once_is_not_kept_in_memory() {
        let options = options();
        assert!(options.partitions == PARTITIONS && options.cached_documents <= 1000);
    }
}
