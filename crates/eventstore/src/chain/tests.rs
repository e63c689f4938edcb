use sha2::{Digest, Sha256};
use time::macros::datetime;
use uuid::Uuid;

use super::{Hash, Sealed};
use crate::event::StreamKey;

fn sealed(stream: &StreamKey) -> Sealed<'_> {
    Sealed {
        tenant_sequence: 3,
        position: 7,
        id: Uuid::from_u128(0x0102_0304),
        stream,
        stream_version: 2,
        event_type: "OrderPlaced",
        schema_version: 1,
        recorded_at: datetime!(2026-11-21 12:00:00.000001 UTC),
        data: r#"{"total":12}"#,
        metadata: "{}",
    }
}

#[test]
fn the_hash_is_over_the_documented_bytes() {
    let stream = StreamKey::new("acme", "order", "4711");
    let mut bytes = b"eventstore event 1\0".to_vec();
    bytes.extend([9; 32]);
    for number in [3_u64, 7, 2, 1] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(1_795_262_400_000_001_i64.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    for text in [
        "acme",
        "order",
        "4711",
        "OrderPlaced",
        r#"{"total":12}"#,
        "{}",
    ] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }

    let hash = sealed(&stream).hash(Hash([9; 32]));

    assert_eq!(hash.0, <[u8; 32]>::from(Sha256::digest(&bytes)));
}

#[test]
fn text_cannot_move_from_one_part_to_the_next() {
    let (one, other) = (
        StreamKey::new("acme", "order", "4711"),
        StreamKey::new("acme", "orders", "711"),
    );

    assert_ne!(
        sealed(&one).hash(Hash::NONE),
        sealed(&other).hash(Hash::NONE)
    );
}

#[test]
fn a_hash_is_written_and_read_as_hexadecimal_digits() {
    let hash = Hash([0xab; 32]);

    assert_eq!(Hash::try_from(String::from(hash)), Ok(hash));
    assert!(Hash::try_from("zz".repeat(32)).is_err());
    assert!(Hash::try_from("ab".repeat(31)).is_err());
}
