//! Writing a status: by server-side apply, and only when it says something new.

use std::fmt::Debug;

use crds::Condition;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::Context;
use super::error::ReconcileError;
use super::events;

/// Owns the statuses and nothing else.
const FIELD_MANAGER: &str = "signet-operator-status";

/// A status that can be compared and announced.
pub(crate) struct Status<'a, S> {
    pub(crate) before: Option<&'a S>,
    pub(crate) now: S,
    pub(crate) conditions: fn(&S) -> &[Condition],
}

/// Writes the status of `object` when it differs from the one it has, and publishes an Event when
/// the outcome is another. An object that is gone needs no status.
///
/// # Errors
/// When the API server does not take it.
pub(crate) async fn write<K, S>(
    context: &Context,
    api: &Api<K>,
    object: &K,
    status: Status<'_, S>,
) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + PartialEq,
{
    if status.before == Some(&status.now) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": &status.now,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => {}
        // Deleted meanwhile, or made anew under its old name: the other one is another's turn.
        Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 => return Ok(()),
        Err(error) => return Err(ReconcileError::Status(error)),
    }
    let before = status.before.map(status.conditions).unwrap_or_default();
    let now = (status.conditions)(&status.now);
    events::announce(&context.recorder, &object.object_ref(&()), before, now).await;
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
