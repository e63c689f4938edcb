//! The Role: what its subjects may do, and who they are.

#![allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "KubeSchema repeats each struct inside a function; printer columns repeat their types"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::{Condition, Phase};

/// A role of a tenant: rules, and the subjects they are given to.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "signet.dev",
    version = "v1alpha1",
    kind = "Role",
    plural = "roles",
    shortname = "srole",
    category = "signet",
    namespaced,
    status = "RoleStatus",
    derive = "PartialEq",
    doc = "A role of a tenant: rules, and the subjects they are given to.",
    validation = (
        "!(self.metadata.name in self.spec.inherits)",
        "a role cannot inherit itself: take its own name out of spec.inherits"
    ),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenant"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Subjects", type_ = "integer", json_path = ".status.boundSubjects", description = "How many subjects the role is given to"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1)
)]
#[x_kube(validation = (
    "size(self.rules) > 0 || size(self.inherits) > 0",
    "a role needs at least one rule, or one role to inherit from"
))]
#[serde(rename_all = "camelCase")]
pub struct RoleSpec {
    /// The tenant it belongs to. It cannot be changed.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = (
        "self == oldSelf",
        "tenant cannot be changed: delete this role and create it for the other tenant"
    ))]
    pub tenant: String,

    /// Roles of the same namespace whose rules this one has as well.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = (
        "self.all(one, self.exists_one(other, other == one))",
        "inherits must name each role once"
    ))]
    pub inherits: Vec<String>,

    /// What may be done and what may not. Deny overrides.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub rules: Vec<crate::role::Rule>,

    /// Who the role is given to.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub subjects: Vec<Subject>,
}

/// One sentence of a role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Whether it allows or denies.
    pub effect: Effect,

    /// Patterns of resources: `*` stands for one path segment or a run inside one, `**` for any
    /// depth.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)))]
    pub resources: Vec<String>,

    /// Actions; `*` stands for all.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub actions: Vec<String>,

    /// A CEL expression over subject, resource, action, request and environment. Without it the
    /// rule holds always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 4096))]
    pub when: Option<String>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Effect {
    /// Allows what it matches, unless another rule denies it.
    Allow,
    /// Denies what it matches, whatever else allows it.
    Deny,
}

/// Somebody a role is given to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = (
    "!has(self.__namespace__) || self.kind == 'ServiceAccount'",
    "namespace belongs to a ServiceAccount only: leave it out"
))]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// What kind of subject it is.
    pub kind: SubjectKind,

    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The namespace of a ServiceAccount. The role's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
}

/// The kinds of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubjectKind {
    /// A workload, known by its Kubernetes ServiceAccount.
    ServiceAccount,
    /// A user of the tenant.
    User,
    /// A group of the tenant's users.
    Group,
    /// An OAuth client of the tenant.
    Client,
}

/// What the operator last saw of a role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// How many subjects the role is given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_subjects: Option<i64>,
    /// Ready, Reconciling and Stalled, in the manner of kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
