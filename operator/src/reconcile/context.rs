//! What every reconciler works with.

use std::time::Duration;

use crds::Tenant;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::runtime::events::Recorder;
use rand::RngExt;

use crate::election::Fence;
use crate::metrics::Metrics;
use crate::namespaces::{NamespaceLabels, labels_of};
use crate::provision::Provisioner;
use crate::watch::Watch;

/// What every reconciler works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) provisioner: Provisioner,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) fence: Fence,
    pub(crate) resync_interval: Duration,
    pub(crate) tenants: Watch<Tenant>,
    pub(crate) namespaces: Watch<Namespace>,
}

impl Context {
    /// The labels of all namespaces that are not being deleted.
    pub(crate) fn namespace_labels(&self) -> NamespaceLabels {
        let living = self.namespaces.all().into_iter();
        living
            .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
            .map(|namespace| {
                let labels = labels_of(&namespace);
                (namespace.metadata.name.unwrap_or_default(), labels)
            })
            .collect()
    }

    /// The labels of one namespace. Empty when it is not known.
    pub(crate) fn labels_of_namespace(
        &self,
        name: &str,
    ) -> std::collections::BTreeMap<String, String> {
        self.namespaces
            .get(name, None)
            .map(|n| labels_of(&n))
            .unwrap_or_default()
    }

    pub(super) fn random(&self) -> f64 {
        rand::rng().random_range(0.0..1.0)
    }
}
