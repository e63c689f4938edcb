//! The hash chain: every event of a tenant seals the one before it.
//!
//! The hash of an event is SHA-256 over, without separators:
//!
//! | part | bytes |
//! | --- | --- |
//! | `eventstore event 1` and a zero byte | 19 |
//! | hash of the tenant's event before it, zeros for the first | 32 |
//! | `tenant_sequence`, `position`, `stream_version`, `schema_version` | 8 each, big-endian |
//! | `recorded_at` in microseconds since 1970 | 8, big-endian, signed |
//! | `event_id` | 16 |
//! | tenant, stream type, stream id, event type, data, metadata | each its length (8, big-endian) and its UTF-8 |
//!
//! Data and metadata count as the text that is stored. So whoever changes, takes away, adds or swaps
//! events has to change every later hash of the tenant, and a signed checkpoint over any of them tells.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::event::StreamKey;
use crate::plan::Row;

/// SHA-256 of an event and of all events of its tenant before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first event of a tenant.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({self})")
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a hash has 64 hexadecimal digits";
        if text.len() != 64 || !text.is_ascii() {
            return Err(WRONG);
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = &'static str;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        let hash = bytes.try_into().map_err(|_| "a hash has 32 bytes")?;
        Ok(Self(hash))
    }
}

/// The end of a tenant's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainEnd {
    /// Number of events.
    pub(crate) sequence: u64,
    /// Hash of the last one.
    pub(crate) hash: Hash,
}

impl Default for ChainEnd {
    fn default() -> Self {
        Self {
            sequence: 0,
            hash: Hash::NONE,
        }
    }
}

const INTRODUCTION: &[u8] = b"eventstore event 1\0";

/// What is hashed of every event, but for its texts.
const FIXED_BYTES: usize = INTRODUCTION.len() + 32 + 5 * 8 + 16;

/// What is hashed of an event, beside the hash before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed<'a> {
    pub(crate) tenant_sequence: u64,
    pub(crate) position: u64,
    pub(crate) id: Uuid,
    pub(crate) stream: &'a StreamKey,
    pub(crate) stream_version: u64,
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: u32,
    pub(crate) recorded_at: OffsetDateTime,
    pub(crate) data: &'a str,
    pub(crate) metadata: &'a str,
}

impl Sealed<'_> {
    /// The hash of this event behind `previous`.
    pub(crate) fn hash(&self, previous: Hash) -> Hash {
        let texts = [
            &self.stream.tenant,
            &self.stream.stream_type,
            &self.stream.stream_id,
            self.event_type,
            self.data,
            self.metadata,
        ];
        let length = texts.iter().map(|text| 8 + text.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(FIXED_BYTES + length);
        bytes.extend(INTRODUCTION);
        bytes.extend(previous.0);
        let numbers = [
            self.tenant_sequence,
            self.position,
            self.stream_version,
            u64::from(self.schema_version),
        ];
        for number in numbers {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(microseconds(self.recorded_at).to_be_bytes());
        bytes.extend(self.id.as_bytes());
        for text in texts {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Hash(hash)
    }
}

/// Microseconds since 1970, which is what the databases keep of a time.
pub(crate) fn microseconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())
}

/// Puts rows that are about to be written on the chains of their tenants: one end per row.
///
/// `ends` has the chain of every tenant of the rows that has events.
pub(crate) fn link(
    rows: &[Row<'_>],
    mut ends: HashMap<String, ChainEnd>,
    recorded_at: OffsetDateTime,
) -> Vec<ChainEnd> {
    rows.iter()
        .map(|row| {
            // Most often there is one already, which needs no name of its own.
            let end = match ends.get_mut(&row.stream.tenant) {
                Some(end) => end,
                None => ends.entry(row.stream.tenant.clone()).or_default(),
            };
            let sequence = end.sequence + 1;
            let sealed = Sealed {
                tenant_sequence: sequence,
                position: row.position,
                id: row.event.id,
                stream: row.stream,
                stream_version: row.stream_version,
                event_type: &row.event.event_type,
                schema_version: row.event.schema_version,
                recorded_at,
                data: &row.event.data,
                metadata: &row.event.metadata,
            };
            let hash = sealed.hash(end.hash);
            *end = ChainEnd { sequence, hash };
            *end
        })
        .collect()
}

#[cfg(test)]
mod tests;
