//! What happened to a generator.

use serde::{Deserialize, Serialize};

use super::Spec;
use crate::Range;

/// The version of the events' shape. An older one is read by an upcaster, once there is an older one.
pub const SCHEMA_VERSION: u32 = 1;

/// The names of all events here, as [`Event::event_type`] gives them.
pub const EVENT_TYPES: [&str; 4] = ["Declared", "Changed", "Removed", "RangeAllocated"];

/// One fact, as it is stored: JSON with the member `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// A namespace declared a generator it did not have, or had no longer.
    Declared {
        /// The Kubernetes namespace.
        namespace: String,
        /// What was declared.
        spec: Spec,
    },
    /// A namespace declared its generator otherwise.
    Changed {
        /// The Kubernetes namespace.
        namespace: String,
        /// What holds from now on.
        spec: Spec,
    },
    /// A namespace took its generator away.
    Removed {
        /// The Kubernetes namespace.
        namespace: String,
    },
    /// Ids were committed, for ever.
    RangeAllocated {
        /// The Kubernetes namespace.
        namespace: String,
        /// The ids.
        range: Range,
        /// Who has them.
        owner: String,
    },
}

impl Event {
    /// The type's name in the store.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Declared { .. } => "Declared",
            Self::Changed { .. } => "Changed",
            Self::Removed { .. } => "Removed",
            Self::RangeAllocated { .. } => "RangeAllocated",
        }
    }
}
