//! Step 5: the IdGenerator says what came of it.

use crds::{IdGenerator, IdGeneratorStatus};
use k8s_openapi::jiff::Timestamp;
use protocol::v1;

use super::apply::Applied;
use crate::provision::ProvisionError;
use crate::reconcile::{
    Context, ReconcileError, Reconciled, Status, Verdict, conditions, phase, write,
};

pub(super) async fn applied(
    generator: &IdGenerator,
    outcome: Result<Applied, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Some(now) = status(generator, &outcome, Timestamp::now()) {
        update(generator, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

pub(super) async fn released(
    generator: &IdGenerator,
    outcome: Result<v1::DeleteResponse, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Err(error) = &outcome {
        let now = with_verdict(generator, &Verdict::releasing(error), Timestamp::now());
        update(generator, now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

async fn update(
    generator: &IdGenerator,
    now: IdGeneratorStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let status = Status {
        before: generator.status.as_ref(),
        now,
        conditions: |status| &status.conditions,
    };
    write(context, &generator.api(context), generator, status).await
}

/// The status after `outcome`. `None`: what it says still holds.
fn status(
    generator: &IdGenerator,
    outcome: &Result<Applied, ProvisionError>,
    now: Timestamp,
) -> Option<IdGeneratorStatus> {
    let before = generator
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let message = |_: &Applied| "central holds the generator".to_owned();
    let generation = generator.metadata.generation;
    let verdict = Verdict::of(outcome, message, before.unwrap_or_default(), generation)?;
    let mut status = with_verdict(generator, &verdict, now);
    if let Ok(Applied { next, remaining }) = outcome {
        status.next = i64::try_from(*next).ok();
        status.remaining = i64::try_from(*remaining).ok();
    }
    Some(status)
}

fn with_verdict(generator: &IdGenerator, verdict: &Verdict, now: Timestamp) -> IdGeneratorStatus {
    let before = generator.status.clone().unwrap_or_default();
    let generation = generator.metadata.generation;
    IdGeneratorStatus {
        observed_generation: generation,
        phase: Some(phase(verdict)),
        conditions: conditions(&before.conditions, verdict, generation, now),
        ..before
    }
}
