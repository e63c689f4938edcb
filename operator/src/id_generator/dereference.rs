//! Step 1: what an IdGenerator refers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{IdGenerator, Tenant};
use kube::ResourceExt;

use crate::reconcile::Context;

/// What an IdGenerator refers to: its tenant, and the namespace that must be admitted to it.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The Tenant named in the spec, when there is one.
    pub tenant: Option<Arc<Tenant>>,
    /// The labels of the generator's namespace.
    pub namespace_labels: BTreeMap<String, String>,
}

pub(super) fn dereference(generator: &IdGenerator, context: &Context) -> Dereferenced {
    Dereferenced {
        tenant: context
            .tenants
            .get(&generator.spec.tenant, None)
            .map(Arc::new),
        namespace_labels: context.labels_of_namespace(&generator.namespace().unwrap_or_default()),
    }
}
