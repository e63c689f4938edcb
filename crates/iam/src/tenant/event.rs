//! What has happened to a tenant.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use token::{Algorithm, Jwk};

use super::command::Spec;
use crate::unreadable::{self, UnreadableEvent};

/// Version of the shape of every event here. A change that an older release could misread gets a new
/// one, and an upcaster in [`Event::read`].
pub const SCHEMA_VERSION: u32 = 1;

/// The names of all events here, as [`Event::event_type`] gives them.
pub const EVENT_TYPES: [&str; 9] = [
    "TenantDeclared",
    "TenantChanged",
    "TenantReleased",
    "TenantAdopted",
    "TenantClosed",
    "TenantReopened",
    "TenantKeyAdded",
    "TenantKeyActivated",
    "TenantKeyRetired",
];

/// What has happened to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// It was declared for the first time.
    Declared {
        /// As declared.
        spec: Spec,
    },
    /// It was declared otherwise.
    Changed {
        /// As declared now.
        spec: Spec,
    },
    /// Its declaration went; it stays as it is.
    Released,
    /// It was declared again after its declaration had gone.
    Adopted {
        /// As declared now.
        spec: Spec,
    },
    /// It was closed, and all its keys with it.
    Closed,
    /// It was declared again after it had been closed. It has no keys yet.
    Reopened {
        /// As declared now.
        spec: Spec,
    },
    /// A key was published.
    KeyAdded {
        /// Its id.
        kid: String,
        /// Its algorithm.
        algorithm: Algorithm,
        /// Its public part.
        public_jwk: Jwk,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    /// A key became the one that signs; the one before, if any, was superseded.
    KeyActivated {
        /// Its id.
        kid: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    /// A key is published no more.
    KeyRetired {
        /// Its id.
        kid: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

impl Event {
    /// The name it is stored under.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Declared { .. } => "TenantDeclared",
            Self::Changed { .. } => "TenantChanged",
            Self::Released => "TenantReleased",
            Self::Adopted { .. } => "TenantAdopted",
            Self::Closed => "TenantClosed",
            Self::Reopened { .. } => "TenantReopened",
            Self::KeyAdded { .. } => "TenantKeyAdded",
            Self::KeyActivated { .. } => "TenantKeyActivated",
            Self::KeyRetired { .. } => "TenantKeyRetired",
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
