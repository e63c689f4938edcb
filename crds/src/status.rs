//! What the statuses of all kinds share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Where a resource stands, in one word for the eye. Programs read the conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not reconciled yet.
    #[default]
    Pending,
    /// Central holds what is declared.
    Ready,
    /// What is declared does not hold now, and may without being changed: something else is missing.
    Waiting,
    /// What is declared cannot hold; it must be changed.
    Refused,
    /// Being taken away.
    Deleting,
}
