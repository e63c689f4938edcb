//! Why a pod is not admitted, in words that say how to mend it.

/// A pod that asked for a sidecar and cannot have one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// An annotation does not say what it must.
    #[error("annotation {key}: `{value}` {expected}")]
    InvalidAnnotation {
        /// The annotation's key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is wrong, and what it must be.
        expected: String,
    },
    /// An annotation asks for what this release has not.
    #[error("annotation {key}: {what} is not served by this release; remove the annotation")]
    NotServed {
        /// The annotation's key.
        key: &'static str,
        /// What it asks for.
        what: &'static str,
    },
    /// The pod uses the node's network.
    #[error(
        "the pod uses the node's network (hostNetwork: true): its localhost is the node's, and any \
         process there could ask the sidecar for this pod's tokens. Use the pod network, or opt out \
         with the label signet.dev/injection: disabled"
    )]
    HostNetwork,
    /// No tenant admits the namespace.
    #[error(
        "no Tenant admits the namespace {namespace}: label it as a Tenant's spec.namespaces asks \
         (`kubectl get tenants -o yaml` shows the selectors), or opt out with the label \
         signet.dev/injection: disabled"
    )]
    NoTenant {
        /// The pod's namespace.
        namespace: String,
    },
    /// Several tenants admit the namespace and the pod does not choose.
    #[error(
        "several Tenants admit the namespace {namespace} ({}): choose one with the pod annotation \
         signet.dev/tenant", candidates.join(", ")
    )]
    AmbiguousTenant {
        /// The pod's namespace.
        namespace: String,
        /// Their names, sorted.
        candidates: Vec<String>,
    },
    /// The pod chooses a tenant that does not exist.
    #[error(
        "annotation signet.dev/tenant: there is no Tenant `{tenant}`; `kubectl get tenants` lists \
         them"
    )]
    UnknownTenant {
        /// What the annotation says.
        tenant: String,
    },
    /// The pod chooses a tenant that does not admit its namespace.
    #[error(
        "annotation signet.dev/tenant: the Tenant `{tenant}` does not admit the namespace \
         {namespace}; label the namespace as its spec.namespaces asks, or choose another Tenant"
    )]
    NamespaceNotAdmitted {
        /// What the annotation says.
        tenant: String,
        /// The pod's namespace.
        namespace: String,
    },
    /// A container or volume of the pod's own bears our name.
    #[error(
        "the pod has a {what} named `{name}` of its own, which is the sidecar's name: rename it"
    )]
    NameTaken {
        /// `container` or `volume`.
        what: &'static str,
        /// The name.
        name: &'static str,
    },
    /// A container of the pod listens where the sidecar would.
    #[error(
        "container {container} listens on port {port}, which the sidecar needs: {}",
        if *movable { "move the sidecar with the annotation signet.dev/port" } else { "move the container's port" }
    )]
    PortTaken {
        /// The container's name.
        container: String,
        /// The port.
        port: u16,
        /// Whether the sidecar's port can be moved by annotation.
        movable: bool,
    },
}

impl Denial {
    /// The stable code of the denial.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidAnnotation { .. } => "SIGNET-OPERATOR-0100",
            Self::NotServed { .. } => "SIGNET-OPERATOR-0101",
            Self::HostNetwork => "SIGNET-OPERATOR-0102",
            Self::NoTenant { .. } => "SIGNET-OPERATOR-0103",
            Self::AmbiguousTenant { .. } => "SIGNET-OPERATOR-0104",
            Self::UnknownTenant { .. } => "SIGNET-OPERATOR-0105",
            Self::NamespaceNotAdmitted { .. } => "SIGNET-OPERATOR-0106",
            Self::NameTaken { .. } => "SIGNET-OPERATOR-0107",
            Self::PortTaken { .. } => "SIGNET-OPERATOR-0108",
        }
    }

    /// Whether a fresher look at the tenants and namespaces could lead to another answer.
    pub fn about_tenant(&self) -> bool {
        matches!(
            self,
            Self::NoTenant { .. }
                | Self::AmbiguousTenant { .. }
                | Self::UnknownTenant { .. }
                | Self::NamespaceNotAdmitted { .. }
        )
    }
}
