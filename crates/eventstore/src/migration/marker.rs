//! The event that closes a stream which was migrated, and the ids of copied events.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::event::{Metadata, NewEvent, RecordedEvent, StreamKey};

/// Content of the event that closes a migrated stream. Registries know it; it is never transformed.
///
/// A writer that finds it goes on in `target`; a reader that holds both streams ignores this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMigrated {
    /// Name of the migration.
    pub migration: String,
    /// Where the events are.
    pub target: StreamKey,
    /// All events of this stream up to this version are in the target.
    pub source_version: u64,
    /// Version of the target that has them.
    pub target_version: u64,
}

impl StreamMigrated {
    /// Name of the type of the event.
    pub const EVENT_TYPE: &str = "eventstore.StreamMigrated";

    /// What the event says, if it is one that closes a stream.
    pub fn of(event: &RecordedEvent) -> Option<Self> {
        if event.event_type != Self::EVENT_TYPE {
            return None;
        }
        Self::deserialize(&event.data).ok()
    }

    /// The event, to be appended to `source`.
    pub(super) fn event(&self, source: &StreamKey) -> Result<NewEvent, serde_json::Error> {
        let StreamKey {
            tenant,
            stream_type,
            stream_id,
        } = source;
        let texts = [&self.migration, tenant, stream_type, stream_id].map(String::as_str);
        let version = self.source_version.to_be_bytes();
        Ok(NewEvent {
            id: derived_id("close", &texts, &version),
            event_type: Self::EVENT_TYPE.into(),
            schema_version: 1,
            data: serde_json::to_value(self)?,
            metadata: Metadata::default(),
        })
    }
}

/// Id of the `index`th event that a source event became.
pub(super) fn copied_id(migration: &str, source: Uuid, index: u64) -> Uuid {
    let mut bytes = source.as_bytes().to_vec();
    bytes.extend(index.to_be_bytes());
    derived_id("copy", &[migration], &bytes)
}

/// Id of an event that is restored to another stream than it came from.
pub(super) fn restored_id(target: &StreamKey, source: Uuid) -> Uuid {
    let StreamKey {
        tenant,
        stream_type,
        stream_id,
    } = target;
    derived_id(
        "restore",
        &[tenant, stream_type, stream_id],
        source.as_bytes(),
    )
}

/// A UUID of version 8: the first bytes of a SHA-256 over what is given.
fn derived_id(purpose: &str, texts: &[&str], bytes: &[u8]) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(b"eventstore migration 1\0");
    for part in [purpose].iter().chain(texts) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.update(bytes);
    let hash: [u8; 32] = digest.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    Builder::from_custom_bytes(id).into_uuid()
}
