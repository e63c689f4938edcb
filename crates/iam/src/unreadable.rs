//! Events that this release cannot read.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A stored event that cannot be read. Never skipped: a state without it would be wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableEvent {
    /// It was written by a newer release.
    #[error(
        "the event {event_type} has schema version {schema_version}, which this release does not know; run a newer one"
    )]
    NewerSchema {
        /// Its type, as stored.
        event_type: String,
        /// Its schema version.
        schema_version: u32,
    },
    /// Its data does not have the shape of its type and version.
    #[error("the event {event_type} cannot be read: {source}; the event store is damaged")]
    Malformed {
        /// Its type, as stored.
        event_type: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl UnreadableEvent {
    /// The stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NewerSchema { .. } => "SIGNET-IAM-0020",
            Self::Malformed { .. } => "SIGNET-IAM-0021",
        }
    }
}

/// Reads the data of an event of a schema version up to `newest`.
pub(crate) fn read<Event: DeserializeOwned>(
    event_type: &str,
    schema_version: u32,
    newest: u32,
    data: Value,
) -> Result<Event, UnreadableEvent> {
    if schema_version > newest {
        return Err(UnreadableEvent::NewerSchema {
            event_type: event_type.to_owned(),
            schema_version,
        });
    }
    serde_json::from_value(data).map_err(|source| UnreadableEvent::Malformed {
        event_type: event_type.to_owned(),
        source,
    })
}
