//! What a role is, as it is declared and as it is kept in an event.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a rule does to the requests it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// The request may pass, unless some rule denies it.
    Allow,
    /// The request is refused, whatever other rules say.
    Deny,
}

/// One rule of a role: an effect on some actions on some resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Whether the rule allows or denies.
    pub effect: Effect,
    /// Patterns of resources, such as `orders/*`. A pattern is a list of segments between slashes:
    /// `*` stands for one segment, or for a run of characters inside one (`eu-*`); `**`, alone
    /// between slashes, stands for any number of segments, also none (`orders/**` covers `orders`).
    /// One leading slash is ignored.
    pub resources: Vec<String>,
    /// Patterns of actions, such as `read`; `*` alone is every action, and stands for a run of
    /// characters elsewhere (`order:*`).
    pub actions: Vec<String>,
    /// A CEL expression that must be true for the rule to apply. None: the rule always applies.
    ///
    /// It knows `subject` (an object: `kind`, `name`, `namespace`, `groups`, `claims`), `resource` and
    /// `action` (texts), `request` and `environment` (objects); the macros `has`, `all`, `exists`,
    /// `exists_one`, `map` and `filter`; and of CEL's functions `size`, `contains`, `startsWith`,
    /// `endsWith`, `matches` (with the pattern written out), `int`, `uint`, `double`, `string`, `bool`,
    /// `timestamp`, `duration`, and the `get…` of the last two. Whole numbers and fractions compare
    /// with each other; a member that is missing makes the condition fail, unless `has` asks first.
    /// [`crate::limits`] says how large it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// What kind of thing acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SubjectKind {
    /// A Kubernetes service account, by its namespace and name.
    ServiceAccount,
    /// A user of the tenant, by user name.
    User,
    /// A group, by name: every subject that says it belongs to it.
    Group,
    /// An OAuth client, by client id.
    Client,
}

impl SubjectKind {
    /// The word used in resources, reasons and conditions, such as `ServiceAccount`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::User => "User",
            Self::Group => "Group",
            Self::Client => "Client",
        }
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A subject to whom a role is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// What kind of subject.
    pub kind: SubjectKind,
    /// Its exact name; there are no wildcards among subjects.
    pub name: String,
    /// Namespace of a service account; none means the role's. Only a service account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A role of one namespace, with the subjects bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The Kubernetes namespace the role lives in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Names of roles of the same namespace whose rules this one has as well, theirs included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<String>,
    /// The rules. Their order has no meaning, save that a decision names a rule by its index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Who has the role. Empty for a role that is only inherited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Binding>,
}

impl Role {
    /// `namespace/name`, as decisions name it.
    pub fn qualified_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
