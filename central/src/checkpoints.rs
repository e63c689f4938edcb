//! Signed checkpoints: at intervals the ends of all tenants' chains that have moved are signed, so that
//! what lies before cannot be rewritten unnoticed, not even by who can write to the database.
//!
//! Every replica does so; each end is signed once. The checkpoints are written to the log, too: kept
//! there, they tell of a database that was put back as a whole.

use std::{sync::Arc, time::Duration};

use eventstore::{
    EventStore,
    integrity::{CheckpointSigner, Checkpoints, IntegrityError},
};
use rand::RngExt as _;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Signs what has moved, until it is told to stop.
pub(crate) struct CheckpointSigning {
    checkpoints: Checkpoints,
    metrics: Arc<Metrics>,
    interval: Duration,
}

impl CheckpointSigning {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        signer: Arc<dyn CheckpointSigner>,
        metrics: Arc<Metrics>,
        interval: Duration,
    ) -> Self {
        Self {
            checkpoints: Checkpoints::new(store, signer, OffsetDateTime::now_utc),
            metrics,
            interval,
        }
    }

    /// Signs soon after the start and then at intervals. Failures are told and tried again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            // Replicas started together should not all begin at once.
            let mut pause = self.interval.mul_f64(rand::rng().random_range(0.0..0.1));
            loop {
                tokio::time::sleep(pause).await;
                if let Err(error) = self.round().await {
                    self.metrics.checkpoint_failures.inc();
                    tracing::warn!(
                        %error,
                        code = error.code(),
                        "the ends of the event chains could not be signed; trying again"
                    );
                }
                pause = self.interval.mul_f64(rand::rng().random_range(0.9..1.1));
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn round(&self) -> Result<(), IntegrityError> {
        let made = self.checkpoints.sign_all(|checkpoint| {
            self.metrics.checkpoints_signed.inc();
            tracing::info!(checkpoint = checkpoint.to_line(), "signed a checkpoint");
        });
        let refusals = made.await?.refusals;
        if refusals > 0 {
            self.metrics.checkpoint_contradictions.inc_by(refusals);
            tracing::error!(
                chains = refusals,
                "event chains contradict their last checkpoints, or cannot be read, and are not signed; \
                 somebody may have changed events in the database: verify them"
            );
        }
        Ok(())
    }
}
