//! What is asked of a policy, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::role::SubjectKind;

/// Who asks. In a condition, `subject` is an object with these members; `namespace` is absent when
/// there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// What kind of thing it is.
    pub kind: SubjectKind,
    /// Its name: of the service account, the user, the client.
    pub name: String,
    /// Namespace of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Groups it belongs to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The claims of its token, an object.
    #[serde(default)]
    pub claims: Value,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
            None => write!(formatter, "{} {}", self.kind, self.name),
        }
    }
}

/// A question: may `subject` do `action` on `resource`?
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub subject: &'a Subject,
    /// What it is about, such as `orders/42`, in normal form: no empty, `.` or `..` segment.
    pub resource: &'a str,
    /// What is to be done, such as `read`.
    pub action: &'a str,
    /// What the application says of the request, an object; null counts as an empty one.
    pub request: &'a Value,
    /// What the sidecar says of the surroundings, an object; null counts as an empty one.
    pub environment: &'a Value,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// Why, a sentence. Never holds a claim or a value of the request other than the names of the
    /// subject, the resource and the action.
    pub reason: String,
    /// `namespace/name` of the role whose rule decided; none when no rule did.
    pub role: Option<String>,
    /// Index of that rule in its role.
    pub rule: Option<usize>,
}
