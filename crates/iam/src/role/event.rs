//! What has happened to a role.

use policy::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::unreadable::{self, UnreadableEvent};

/// Version of the shape of every event here. A change that an older release could misread gets a new
/// one, and an upcaster in [`Event::read`].
pub const SCHEMA_VERSION: u32 = 1;

/// The names of all events here, as [`Event::event_type`] gives them.
pub const EVENT_TYPES: [&str; 3] = ["RoleDeclared", "RoleChanged", "RoleRemoved"];

/// What has happened to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// It was declared, for the first time or after it had been removed.
    Declared {
        /// As declared.
        role: Role,
    },
    /// It was declared otherwise.
    Changed {
        /// As declared now.
        role: Role,
    },
    /// It was taken away.
    Removed,
}

impl Event {
    /// The name it is stored under.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Declared { .. } => "RoleDeclared",
            Self::Changed { .. } => "RoleChanged",
            Self::Removed => "RoleRemoved",
        }
    }

    /// Reads a stored event of any schema version up to [`SCHEMA_VERSION`].
    ///
    /// # Errors
    ///
    /// [`UnreadableEvent`] when it is of a newer version, or damaged.
    pub fn read(
        event_type: &str,
        schema_version: u32,
        data: Value,
    ) -> Result<Self, UnreadableEvent> {
        unreadable::read(event_type, schema_version, SCHEMA_VERSION, data)
    }
}
