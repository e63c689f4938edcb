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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_follows_central_without_news() {
        let mut generator: IdGenerator = serde_json::from_value(json!({
            "apiVersion": "signet.dev/v1alpha1", "kind": "IdGenerator",
            "metadata": {"name": "order-id", "namespace": "shop", "generation": 1},
            "spec": {"tenant": "acme", "segment": {"max": 1000}},
        }))
        .unwrap();
        let applied = |next, remaining| Ok(Applied { next, remaining });
        let first = status(&generator, &applied(1, 1000), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((first.next, first.remaining), (Some(1), Some(1000)));
        generator.status = Some(first.clone());
        let second = status(&generator, &applied(501, 500), Timestamp::now()).unwrap();
        assert_eq!((second.next, second.remaining), (Some(501), Some(500)));
        assert_eq!(second.conditions, first.conditions);
    }
}
