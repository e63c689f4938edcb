//! A signed end of a chain: what is signed, and the line that is kept elsewhere.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::IntegrityError;
use crate::chain::{Hash, microseconds};
use crate::event::Position;

/// Says, with a signature, that the chain of a tenant had this event at this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Which store.
    pub store: Uuid,
    /// Whose chain.
    pub tenant: String,
    /// Place of the event in the chain.
    pub tenant_sequence: u64,
    /// Its position.
    pub position: Position,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed; whole microseconds.
    #[serde(with = "time::serde::rfc3339")]
    pub signed_at: OffsetDateTime,
    /// Which key signed.
    pub key_id: String,
    /// How, e.g. [`ED25519`](super::ED25519).
    pub algorithm: String,
    /// The signature, over [`signed_bytes`](Self::signed_bytes). In JSON: hexadecimal.
    #[serde(with = "hexadecimal")]
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// The bytes that the signature is over; the module's page has the table.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"eventstore checkpoint 1\0".to_vec();
        bytes.extend(self.store.as_bytes());
        bytes.extend(self.tenant_sequence.to_be_bytes());
        bytes.extend(self.position.0.to_be_bytes());
        bytes.extend(self.hash.0);
        bytes.extend(microseconds(self.signed_at).to_be_bytes());
        for text in [&self.tenant, &self.key_id, &self.algorithm] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    /// One line of JSON, to be kept where the database's owner cannot reach.
    pub fn to_line(&self) -> String {
        // A map of texts and numbers; the one thing that JSON refuses is a year beyond 9999.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// [`IntegrityError::Format`].
    pub fn from_line(line: &str) -> Result<Self, IntegrityError> {
        serde_json::from_str(line).map_err(|error| IntegrityError::Format {
            message: error.to_string(),
        })
    }
}

mod hexadecimal {
    use std::fmt::Write;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("a signature is written as hexadecimal digits");
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let byte = |start| u8::from_str_radix(&text[start..start + 2], 16).map_err(|_| wrong());
        (0..text.len()).step_by(2).map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            store: Uuid::from_u128(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff),
            tenant: "acme".into(),
            tenant_sequence: 3,
            position: Position(7),
            hash: Hash([9; 32]),
            signed_at: OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(5),
            key_id: "2026-a".into(),
            algorithm: "Ed25519".into(),
            signature: vec![0, 1, 254, 255],
        }
    }

    #[test]
    fn the_signed_bytes_are_as_documented() {
        let mut expected = b"eventstore checkpoint 1\0".to_vec();
        expected.extend(0x0011_2233_4455_4677_8899_aabb_ccdd_eeff_u128.to_be_bytes());
        expected.extend(3_u64.to_be_bytes());
        expected.extend(7_u64.to_be_bytes());
        expected.extend([9; 32]);
        expected.extend(5_i64.to_be_bytes());
        expected.extend(*b"\0\0\0\0\0\0\0\x04acme");
        expected.extend(*b"\0\0\0\0\0\0\0\x062026-a");
        expected.extend(*b"\0\0\0\0\0\0\0\x07Ed25519");
        assert_eq!(checkpoint().signed_bytes(), expected);
    }

    #[test]
    fn a_line_reads_back_as_it_was() {
        let line = checkpoint().to_line();
        assert!(
            !line.contains('\n') && line.contains("\"signature\":\"0001feff\""),
            "{line}"
        );
        assert_eq!(Checkpoint::from_line(&line).unwrap(), checkpoint());
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let line = checkpoint().to_line();
        let wrong = [
            String::new(),
            line.replace("0001feff", "0001fef"),
            line.replace("0001feff", "+1+2+3+4"),
            line.replace("\"position\"", "\"place\""),
        ];
        for line in wrong {
            let error = Checkpoint::from_line(&line).unwrap_err();
            assert_eq!(error.code(), "SIGNET-EVENTS-0083", "{line}");
        }
    }
}
