//! Step 1: what a Tenant refers to.

use crate::namespaces::NamespaceLabels;
use crate::reconcile::Context;

/// What a Tenant refers to: the namespaces its selector chooses from.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The labels of all namespaces.
    pub namespaces: NamespaceLabels,
}

pub(super) fn dereference(context: &Context) -> Dereferenced {
    Dereferenced {
        namespaces: context.namespace_labels(),
    }
}
