//! Step 1: what a Role refers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{Role, Tenant};
use kube::ResourceExt;

use crate::reconcile::Context;

/// What a Role refers to: its tenant, and the namespace that must be admitted to it.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The Tenant named in the spec, when there is one.
    pub tenant: Option<Arc<Tenant>>,
    /// The labels of the role's namespace.
    pub namespace_labels: BTreeMap<String, String>,
}

pub(super) fn dereference(role: &Role, context: &Context) -> Dereferenced {
    Dereferenced {
        tenant: context.tenants.get(&role.spec.tenant, None).map(Arc::new),
        namespace_labels: context.labels_of_namespace(&role.namespace().unwrap_or_default()),
    }
}
