//! What is stored of a state, and reading it back. Pure, but for the nonce of an encryption.
//!
//! The state is wrapped: `{"schema_version", "event_id", "taken_at", "state"}`. The first three repeat
//! columns and the id of the event that the state stands behind, so that the checksum covers them.
//! Written as JSON, then compressed if that pays (`+zstd`), then encrypted if there is a key
//! (`+aes256gcm`: nonce of 12 bytes, ciphertext, tag of 16 bytes).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::SnapshotError;
use super::keys::SnapshotKeys;
use super::skipped::SkipReason;
use crate::event::StreamKey;

const JSON: &str = "json";
const ZSTD: &str = "+zstd";
const AES: &str = "+aes256gcm";

/// zstd's own default: more takes several times as long and saves little of JSON.
const ZSTD_LEVEL: i32 = 3;

/// Where a snapshot stands; associated data of its encryption.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a StreamKey,
    pub(super) stream_version: u64,
    pub(super) schema_version: u32,
}

/// A state with what it says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wrapped<S> {
    pub(super) schema_version: u32,
    pub(super) event_id: Uuid,
    /// Microseconds since 1970.
    pub(super) taken_at: i64,
    pub(super) state: S,
}

/// Bounds and keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec<'a> {
    pub(super) keys: Option<&'a SnapshotKeys>,
    /// States below are not compressed.
    pub(super) compress_from: usize,
    pub(super) max_state_bytes: usize,
}

/// What goes into the columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoded {
    pub(super) format: String,
    pub(super) key_id: Option<String>,
    pub(super) data: Vec<u8>,
    pub(super) checksum: [u8; 32],
}

/// What comes out of the columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) format: &'a str,
    pub(super) key_id: Option<&'a str>,
    pub(super) data: &'a [u8],
    pub(super) checksum: &'a [u8],
    pub(super) taken_at: i64,
}

type Skip = (SkipReason, String);

impl Codec<'_> {
    pub(super) fn encode(
        &self,
        place: Place<'_>,
        wrapped: &Wrapped<&Value>,
    ) -> Result<Encoded, SnapshotError> {
        let mut data = serde_json::to_vec(wrapped).map_err(|error| SnapshotError::Unwritable {
            message: error.to_string(),
        })?;
        if data.len() > self.max_state_bytes {
            return Err(SnapshotError::TooLarge {
                bytes: data.len(),
                most: self.max_state_bytes,
            });
        }
        let mut format = JSON.to_owned();
        if data.len() >= self.compress_from
            && let Ok(smaller) = zstd::bulk::compress(&data, ZSTD_LEVEL)
            && smaller.len() < data.len()
        {
            data = smaller;
            format.push_str(ZSTD);
        }
        let mut key_id = None;
        if let Some(keys) = self.keys {
            format.push_str(AES);
            let associated = associated(place, &format, keys.current());
            data = keys
                .seal(&associated, data)
                .ok_or(SnapshotError::Encryption)?;
            key_id = Some(keys.current().to_owned());
        }
        Ok(Encoded {
            checksum: Sha256::digest(&data).into(),
            format,
            key_id,
            data,
        })
    }

    /// Reads a snapshot, trusting nothing of it.
    pub(super) fn decode(
        &self,
        place: Place<'_>,
        stored: Stored<'_>,
    ) -> Result<Wrapped<Value>, Skip> {
        if Sha256::digest(stored.data).as_slice() != stored.checksum {
            return skip(SkipReason::Checksum, "the data is not what was stored");
        }
        let (compressed, encrypted) = match stored.format.strip_prefix(JSON) {
            Some("") => (false, false),
            Some(ZSTD) => (true, false),
            Some(AES) => (false, true),
            Some("+zstd+aes256gcm") => (true, true),
            _ => return skip(SkipReason::UnknownFormat, stored.format),
        };
        let plain = self.decrypt(place, stored, encrypted)?;
        let json = match (compressed, plain) {
            (true, plain) => self.decompress(plain.as_deref().unwrap_or(stored.data))?,
            (false, Some(plain)) => plain,
            (false, None) => stored.data.to_vec(),
        };
        if json.len() > self.max_state_bytes {
            return skip(SkipReason::TooLarge, format!("{} bytes", json.len()));
        }
        let wrapped: Wrapped<Value> = serde_json::from_slice(&json)
            .map_err(|error| (SkipReason::Corrupt, error.to_string()))?;
        if wrapped.schema_version != place.schema_version || wrapped.taken_at != stored.taken_at {
            return skip(SkipReason::Corrupt, "its columns speak of another snapshot");
        }
        Ok(wrapped)
    }

    /// None: it is not encrypted, and need not be.
    fn decrypt(
        &self,
        place: Place<'_>,
        stored: Stored<'_>,
        encrypted: bool,
    ) -> Result<Option<Vec<u8>>, Skip> {
        match (encrypted, stored.key_id, self.keys) {
            (false, None, None) => Ok(None),
            (false, None, Some(_)) => skip(SkipReason::NotEncrypted, stored.format),
            (false, Some(_), _) | (true, None, _) => {
                skip(SkipReason::Corrupt, "format and key do not belong together")
            }
            (true, Some(id), Some(keys)) if keys.knows(id) => {
                let associated = associated(place, stored.format, id);
                match keys.open(id, &associated, stored.data) {
                    Some(plain) => Ok(Some(plain)),
                    None => skip(SkipReason::Undecryptable, format!("key {id}")),
                }
            }
            (true, Some(id), _) => skip(SkipReason::UnknownKey, format!("key {id}")),
        }
    }

    /// Gives room to no more than what is allowed, whatever the data says that it will become.
    fn decompress(&self, data: &[u8]) -> Result<Vec<u8>, Skip> {
        let declared = match zstd::zstd_safe::get_frame_content_size(data) {
            Ok(Some(declared)) => declared,
            _ => return skip(SkipReason::Corrupt, "compressed without telling its size"),
        };
        let size = usize::try_from(declared)
            .ok()
            .filter(|size| *size <= self.max_state_bytes);
        let Some(size) = size else {
            return skip(SkipReason::TooLarge, format!("declares {declared} bytes"));
        };
        zstd::bulk::decompress(data, size).map_err(|error| (SkipReason::Corrupt, error.to_string()))
    }
}

fn skip<T>(reason: SkipReason, message: impl Into<String>) -> Result<T, Skip> {
    Err((reason, message.into()))
}

/// Binds an encrypted snapshot to its place and to how it is read.
fn associated(place: Place<'_>, format: &str, key_id: &str) -> Vec<u8> {
    let mut bytes = b"eventstore snapshot 1\0".to_vec();
    let StreamKey {
        tenant,
        stream_type,
        stream_id,
    } = place.stream;
    for text in [tenant, stream_type, stream_id, format, key_id] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(place.stream_version.to_be_bytes());
    bytes.extend(u64::from(place.schema_version).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
