//! What can be asked of a generator.

use time::OffsetDateTime;

use super::Spec;

/// One request. What it depends on beyond the generator itself comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make this the generator of the namespace. The same declaration again changes nothing.
    Declare {
        /// The Kubernetes namespace.
        namespace: String,
        /// What was declared.
        spec: Spec,
        /// What is known about the tenant.
        context: Context,
    },
    /// Take the namespace's generator away. What it handed out stays taken.
    Remove {
        /// The Kubernetes namespace.
        namespace: String,
    },
    /// Commit a range of ids to an owner.
    Allocate {
        /// The Kubernetes namespace of the owner.
        namespace: String,
        /// Ids wanted, at least 1. More or fewer may be given.
        count: u64,
        /// Who gets them: the pod.
        owner: String,
    },
}

/// What a declaration depends on, as it is when the command is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Whether the tenant exists and is open.
    pub tenant_open: bool,
    /// Whether the tenant takes the namespace.
    pub namespace_admitted: bool,
    /// The time.
    pub now: OffsetDateTime,
}
