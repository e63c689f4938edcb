//! Step 5 for all kinds: what came of a reconciliation becomes a status, written by server-side
//! apply, and only when it says something new.

use crds::{Condition, Phase};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use protocol::v1;
use serde::Serialize;
use serde_json::json;

use super::conditions::{Verdict, conditions, phase};
use super::context::Context;
use super::engine::Reconciled;
use super::error::ReconcileError;
use super::events;
use crate::provision::ProvisionError;

/// Owns the statuses and nothing else.
const FIELD_MANAGER: &str = "signet-operator-status";

/// What the statuses of all kinds have.
pub(crate) struct Shared<'a> {
    pub(crate) observed_generation: &'a mut Option<i64>,
    pub(crate) phase: &'a mut Option<Phase>,
    pub(crate) conditions: &'a mut Vec<Condition>,
}

/// A kind whose status tells what came of its reconciliation.
pub(crate) trait Reported: Reconciled {
    /// The status.
    type Status: Clone + Default + PartialEq + Serialize + Send + Sync;
    /// What step 4 gives; nothing else can be reported as applied.
    type Applied: Send + Sync;

    /// The status the object has.
    fn reported(&self) -> Option<&Self::Status>;

    /// The parts of a status that all kinds have.
    fn shared(status: &mut Self::Status) -> Shared<'_>;

    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];

    /// What is good to know about what central holds, a sentence.
    fn message(applied: &Self::Applied) -> String;

    /// Takes over what central answered.
    fn record(applied: &Self::Applied, status: &mut Self::Status);
}

/// Says what came of making central hold `object`.
///
/// # Errors
/// The outcome's own, or that the API server does not take the status.
pub(crate) async fn applied<K: Reported>(
    object: &K,
    outcome: Result<K::Applied, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Some(now) = status_after(object, &outcome, Timestamp::now()) {
        write(object, &now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

/// Says why central has not let go of `object`, when it has not.
///
/// # Errors
/// The outcome's own, or that the API server does not take the status.
pub(crate) async fn released<K: Reported>(
    object: &K,
    outcome: Result<v1::DeleteResponse, ProvisionError>,
    context: &Context,
) -> Result<(), ReconcileError> {
    if let Err(error) = &outcome {
        let now = with_verdict(object, &Verdict::releasing(error), Timestamp::now());
        write(object, &now, context).await?;
    }
    outcome.map(|_| ()).map_err(ReconcileError::Central)
}

/// The status after `outcome`. `None`: what it says still holds.
pub(crate) fn status_after<K: Reported>(
    object: &K,
    outcome: &Result<K::Applied, ProvisionError>,
    now: Timestamp,
) -> Option<K::Status> {
    let before = object.reported().map(K::conditions).unwrap_or_default();
    let verdict = Verdict::of(outcome, K::message, before, object.meta().generation)?;
    let mut status = with_verdict(object, &verdict, now);
    if let Ok(applied) = outcome {
        K::record(applied, &mut status);
    }
    Some(status)
}

/// The status that says `verdict`, and else what it said before.
pub(crate) fn with_verdict<K: Reported>(
    object: &K,
    verdict: &Verdict,
    now: Timestamp,
) -> K::Status {
    let generation = object.meta().generation;
    let mut status = object.reported().cloned().unwrap_or_default();
    let shared = K::shared(&mut status);
    *shared.observed_generation = generation;
    *shared.phase = Some(phase(verdict));
    *shared.conditions = conditions(shared.conditions, verdict, generation, now);
    status
}

/// Writes the status of `object` when it differs from the one it has, and publishes an Event when
/// the outcome is another. An object that is gone needs no status.
async fn write<K: Reported>(
    object: &K,
    now: &K::Status,
    context: &Context,
) -> Result<(), ReconcileError> {
    let before = object.reported();
    if before == Some(now) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": now,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match object
        .api(context)
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => {}
        // Deleted meanwhile, or made anew under its old name: the other one is another's turn.
        Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 => return Ok(()),
        Err(error) => return Err(ReconcileError::Status(error)),
    }
    let before = before.map(K::conditions).unwrap_or_default();
    let reference = object.object_ref(&());
    events::announce(&context.recorder, &reference, before, K::conditions(now)).await;
    Ok(())
}

/// The API of the namespace that `object` lives in.
pub(crate) fn namespaced<K>(context: &Context, object: &K) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(
        context.client.clone(),
        &object.namespace().unwrap_or_default(),
    )
}
