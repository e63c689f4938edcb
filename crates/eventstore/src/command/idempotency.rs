//! Idempotency keys: event ids that only the same call can have, and finding what they answered.
//!
//! The ids derive from stream, key and index, so the lane itself refuses to store a second answer. Which
//! command it was stands in the events' metadata ([`Metadata::command_id`](crate::Metadata)). Ids are
//! UUIDs of version 8: bits of a SHA-256.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::aggregate::Invalid;
use crate::backend::read_error;
use crate::database::arguments;
use crate::error::ReadError;
use crate::event::{Appended, RecordedEvent, StreamKey};
use crate::reader::{columns, recorded};
use crate::store::EventStore;

const MAX_KEY_BYTES: usize = 256;

const PAGE: usize = 512;

/// A key and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) text: String,
    command: [u8; 32],
}

impl Key {
    pub(super) fn new(text: String, command: &impl Serialize) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            let message = format!("has {} bytes, 1 to {MAX_KEY_BYTES} are allowed", text.len());
            return Err(Invalid::new("key", message));
        }
        let command = serde_json::to_value(command)
            .map_err(|error| Invalid::new("command", format!("is no JSON: {error}")))?;
        let mut digest = Sha256::new();
        add_value(&mut digest, &command);
        Ok(Self {
            text,
            command: digest.finalize().into(),
        })
    }

    /// Id of the event at `index` of whatever is decided.
    pub(super) fn event_id(&self, stream: &StreamKey, index: usize) -> Uuid {
        let mut digest = self.digest(b"eventstore key 1\0", stream);
        digest.update((index as u64).to_be_bytes());
        uuid(digest)
    }

    /// Id of the command.
    pub(super) fn command_id(&self, stream: &StreamKey, name: &str) -> Uuid {
        let mut digest = self.digest(b"eventstore command 1\0", stream);
        add_text(&mut digest, name);
        digest.update(self.command);
        uuid(digest)
    }

    fn digest(&self, purpose: &[u8], stream: &StreamKey) -> Sha256 {
        let mut digest = Sha256::new();
        digest.update(purpose);
        let StreamKey {
            tenant,
            stream_type,
            stream_id,
        } = stream;
        for text in [tenant, stream_type, stream_id, &self.text] {
            add_text(&mut digest, text);
        }
        digest
    }
}

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Earlier {
    /// The same command, with what it was answered.
    Same(Appended),
    /// Another command.
    Other,
}

/// Looks up what is stored under the key of a command; none if nothing is.
pub(super) async fn earlier(
    store: &dyn EventStore,
    stream: &StreamKey,
    name: &str,
    key: &Key,
) -> Result<Option<Earlier>, ReadError> {
    const READ: &str = concat!("SELECT ", columns!(), " FROM events WHERE event_id = $1");
    let id = key.event_id(stream, 0);
    let rows = store.database().fetch(READ, arguments![id]).await;
    let rows = rows.map_err(read_error)?;
    let Some(first) = rows.first().map(recorded).transpose()? else {
        return Ok(None);
    };
    if first.metadata.command_id != Some(key.command_id(stream, name)) {
        return Ok(Some(Earlier::Other));
    }
    let last = last_of(store, stream, key, &first).await?;
    Ok(Some(Earlier::Same(Appended {
        first: first.position,
        last: last.position,
        versions: vec![last.stream_version],
        already_stored: true,
    })))
}

/// The last event of the append that begins with `first`: the events of one append follow one another.
async fn last_of(
    store: &dyn EventStore,
    stream: &StreamKey,
    key: &Key,
    first: &RecordedEvent,
) -> Result<RecordedEvent, ReadError> {
    let mut last = first.clone();
    let mut index = 0;
    loop {
        let page = store.stream_page(stream, last.stream_version, PAGE).await?;
        for event in page.events {
            index += 1;
            if event.id != key.event_id(stream, index) {
                return Ok(last);
            }
            last = event;
        }
        if page.end {
            return Ok(last);
        }
    }
}

fn add_text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text);
}

/// The order of an object's members says nothing, so it must not count.
fn add_value(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            digest.update([b'{']);
            digest.update((members.len() as u64).to_be_bytes());
            for (name, member) in members {
                add_text(digest, name);
                add_value(digest, member);
            }
        }
        Value::Array(items) => {
            digest.update([b'[']);
            digest.update((items.len() as u64).to_be_bytes());
            for item in items {
                add_value(digest, item);
            }
        }
        Value::String(text) => {
            digest.update([b'"']);
            add_text(digest, text);
        }
        other => {
            digest.update([b' ']);
            add_text(digest, &other.to_string());
        }
    }
}

fn uuid(digest: Sha256) -> Uuid {
    let hash: [u8; 32] = digest.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use uuid::Uuid;

    use super::Key;
    use crate::event::StreamKey;

    fn key(text: &str, command: &serde_json::Value) -> Key {
        Key::new(text.into(), command).unwrap()
    }

    #[test]
    fn ids_depend_on_everything_that_they_should() {
        let streams = [
            StreamKey::new("acme", "order", "1"),
            StreamKey::new("acme", "order", "2"),
            StreamKey::new("acm", "eorder", "1"),
        ];
        let mut ids: BTreeSet<Uuid> = BTreeSet::new();
        let mut count = 0;
        for stream in &streams {
            for text in ["a", "b"] {
                for index in 0..3 {
                    let id = key(text, &json!(1)).event_id(stream, index);
                    assert_eq!(id, key(text, &json!(2)).event_id(stream, index));
                    assert_eq!(id.get_version_num(), 8);
                    ids.insert(id);
                    count += 1;
                }
                for command in [json!(1), json!("1"), json!([1]), json!({ "a": 1 })] {
                    for name in ["A", "B"] {
                        ids.insert(key(text, &command).command_id(stream, name));
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn a_key_has_a_bound() {
        for text in ["", &"x".repeat(257)] {
            assert_eq!(Key::new(text.into(), &1).unwrap_err().field, "key");
        }
        assert!(Key::new("x".repeat(256), &1).is_ok());
    }
}
