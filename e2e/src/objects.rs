//! Kubernetes objects as JSON: the kinds the tests touch, and how to look into them.

use anyhow::{Context, Result, bail};
use kube::api::ApiResource;
use serde_json::Value;

/// A kind of object, as the API server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        namespaced,
    }
}

/// `v1` Namespace.
pub const NAMESPACE: Kind = kind("", "v1", "Namespace", "namespaces", false);
/// `v1` ServiceAccount.
pub const SERVICE_ACCOUNT: Kind = kind("", "v1", "ServiceAccount", "serviceaccounts", true);
/// `v1` Pod.
pub const POD: Kind = kind("", "v1", "Pod", "pods", true);
/// `v1` Secret.
pub const SECRET: Kind = kind("", "v1", "Secret", "secrets", true);
/// `v1` Event.
pub const EVENT: Kind = kind("", "v1", "Event", "events", true);
/// `apps/v1` Deployment.
pub const DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments", true);
/// `batch/v1` Job.
pub const JOB: Kind = kind("batch", "v1", "Job", "jobs", true);
/// `coordination.k8s.io/v1` Lease.
pub const LEASE: Kind = kind("coordination.k8s.io", "v1", "Lease", "leases", true);
/// `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration.
pub const MUTATING_WEBHOOK: Kind = kind(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    false,
);
/// `apiextensions.k8s.io/v1` CustomResourceDefinition.
pub const RESOURCE_DEFINITION: Kind = kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
);
/// `signet.dev/v1alpha1` Tenant.
pub const TENANT: Kind = kind("signet.dev", "v1alpha1", "Tenant", "tenants", false);
/// `signet.dev/v1alpha1` Role.
pub const ROLE: Kind = kind("signet.dev", "v1alpha1", "Role", "roles", true);
/// `signet.dev/v1alpha1` IdGenerator.
pub const ID_GENERATOR: Kind = kind(
    "signet.dev",
    "v1alpha1",
    "IdGenerator",
    "idgenerators",
    true,
);

const ALL: &[Kind] = &[
    NAMESPACE,
    SERVICE_ACCOUNT,
    POD,
    SECRET,
    EVENT,
    DEPLOYMENT,
    JOB,
    LEASE,
    MUTATING_WEBHOOK,
    RESOURCE_DEFINITION,
    TENANT,
    ROLE,
    ID_GENERATOR,
];

impl Kind {
    /// The kind of a manifest.
    ///
    /// # Errors
    /// The tests do not know it.
    pub fn of(manifest: &Value) -> Result<Self> {
        let version = text(manifest, "/apiVersion")?;
        let name = text(manifest, "/kind")?;
        match ALL
            .iter()
            .find(|known| known.kind == name && known.api_version() == version)
        {
            Some(known) => Ok(*known),
            None => bail!("the tests do not know {version} {name}; add it to e2e/src/objects.rs"),
        }
    }

    /// Its plural, as in URLs.
    #[must_use]
    pub fn plural(&self) -> &'static str {
        self.plural
    }

    /// Its `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// As kube's dynamic API wants it.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// The text at a JSON pointer.
///
/// # Errors
/// There is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no text at {pointer} in {object}"))
}

/// The object's name.
///
/// # Errors
/// It has none.
pub fn name(object: &Value) -> Result<&str> {
    text(object, "/metadata/name")
}

/// The list at a JSON pointer; empty when there is none.
#[must_use]
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The condition of a type, from `status.conditions`.
#[must_use]
pub fn condition<'a>(object: &'a Value, condition: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|one| one["type"] == condition)
}
