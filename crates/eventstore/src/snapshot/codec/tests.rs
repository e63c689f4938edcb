use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Codec, Encoded, Place, Stored, Wrapped};
use crate::event::StreamKey;
use crate::snapshot::keys::SnapshotKeys;
use crate::snapshot::skipped::SkipReason;

const TAKEN_AT: i64 = 1_700_000_000_000_000;

fn stream() -> StreamKey {
    StreamKey::new("acme", "order", "1")
}

fn keys() -> SnapshotKeys {
    SnapshotKeys::new("a", &[1; 32]).unwrap()
}

fn codec(keys: Option<&SnapshotKeys>, compress_from: usize) -> Codec<'_> {
    Codec {
        keys,
        compress_from,
        max_state_bytes: 10_000,
    }
}

fn place(stream: &StreamKey) -> Place<'_> {
    Place {
        stream,
        stream_version: 7,
        schema_version: 2,
    }
}

fn wrapped(state: &Value) -> Wrapped<&Value> {
    Wrapped {
        schema_version: 2,
        event_id: Uuid::from_u128(9),
        taken_at: TAKEN_AT,
        state,
    }
}

fn stored(encoded: &Encoded) -> Stored<'_> {
    Stored {
        format: &encoded.format,
        key_id: encoded.key_id.as_deref(),
        data: &encoded.data,
        checksum: &encoded.checksum,
        taken_at: TAKEN_AT,
    }
}

fn state() -> Value {
    json!({ "items": vec!["the same again"; 50] })
}

/// The four ways of writing: plain or compressed, with or without a key.
fn encoded(keyed: bool, compressed: bool) -> Encoded {
    let keys = keys();
    let codec = codec(
        keyed.then_some(&keys),
        if compressed { 0 } else { usize::MAX },
    );
    let stream = stream();
    codec.encode(place(&stream), &wrapped(&state())).unwrap()
}

fn decode(encoded: &Encoded, keyed: bool) -> Result<Value, SkipReason> {
    let keys = keys();
    let stream = stream();
    codec(keyed.then_some(&keys), 0)
        .decode(place(&stream), stored(encoded))
        .map(|wrapped| wrapped.state)
        .map_err(|(reason, _)| reason)
}

fn reseal(encoded: &mut Encoded) {
    encoded.checksum = Sha256::digest(&encoded.data).into();
}

#[test]
fn what_is_written_is_read() {
    let formats = [
        (false, false, "json"),
        (false, true, "json+zstd"),
        (true, false, "json+aes256gcm"),
        (true, true, "json+zstd+aes256gcm"),
    ];
    for (keyed, compressed, format) in formats {
        let encoded = encoded(keyed, compressed);
        assert_eq!(encoded.format, format);
        assert_eq!(encoded.key_id.is_some(), keyed);
        assert_eq!(decode(&encoded, keyed), Ok(state()));
        let readable = encoded
            .data
            .windows(10)
            .any(|window| window == b"same again");
        assert!(!(keyed && readable), "{format}");
    }
}

#[test]
fn an_encrypted_one_holds_in_its_place_only() {
    let encoded = encoded(true, true);
    let keys = keys();
    let at = |stream: &StreamKey, stream_version, schema_version| {
        let place = Place {
            stream,
            stream_version,
            schema_version,
        };
        let decoded = codec(Some(&keys), 0).decode(place, stored(&encoded));
        decoded.map(drop).map_err(|(reason, _)| reason)
    };
    assert_eq!(at(&stream(), 7, 2), Ok(()));
    let moved = [
        at(&StreamKey::new("globex", "order", "1"), 7, 2),
        at(&StreamKey::new("acme", "role", "1"), 7, 2),
        at(&StreamKey::new("acme", "order", "2"), 7, 2),
        at(&StreamKey::new("acm", "eorder", "1"), 7, 2),
        at(&stream(), 8, 2),
        at(&stream(), 7, 1),
    ];
    for decoded in moved {
        assert_eq!(decoded, Err(SkipReason::Undecryptable));
    }
}

#[test]
fn keys_are_told_apart() {
    let encoded = encoded(true, false);
    let reason = |keys: Option<&SnapshotKeys>| {
        let decoded = codec(keys, 0).decode(place(&stream()), stored(&encoded));
        decoded.map(drop).map_err(|(reason, _)| reason)
    };
    let rotated = SnapshotKeys::new("b", &[2; 32])
        .unwrap()
        .with_older("a", &[1; 32])
        .unwrap();
    let wrong = SnapshotKeys::new("a", &[3; 32]).unwrap();
    let other = SnapshotKeys::new("b", &[1; 32]).unwrap();
    assert_eq!(reason(Some(&rotated)), Ok(()));
    assert_eq!(reason(Some(&wrong)), Err(SkipReason::Undecryptable));
    assert_eq!(reason(Some(&other)), Err(SkipReason::UnknownKey));
    assert_eq!(reason(None), Err(SkipReason::UnknownKey));
}

#[test]
fn a_plain_one_is_not_taken_where_keys_are() {
    assert_eq!(
        decode(&encoded(false, true), true),
        Err(SkipReason::NotEncrypted)
    );
}

#[test]
fn what_says_that_it_becomes_too_large_is_not_unpacked() {
    for zeros in [20_000, 100_000_000] {
        let mut bomb = encoded(false, true);
        bomb.data = zstd::bulk::compress(&vec![b'0'; zeros], 3).unwrap();
        reseal(&mut bomb);
        assert!(bomb.data.len() < 10_000);
        assert_eq!(decode(&bomb, false), Err(SkipReason::TooLarge));
    }
}

#[test]
fn what_becomes_larger_than_it_says_is_corrupt() {
    // Two frames, the first of which tells its own size only.
    let mut bomb = encoded(false, true);
    let second = zstd::bulk::compress(&vec![b'0'; 1_000_000], 3).unwrap();
    bomb.data.extend(second);
    reseal(&mut bomb);
    assert_eq!(decode(&bomb, false), Err(SkipReason::Corrupt));
    // A stream does not tell its size.
    bomb.data = zstd::stream::encode_all(&[b'0'; 1000][..], 3).unwrap();
    reseal(&mut bomb);
    assert_eq!(decode(&bomb, false), Err(SkipReason::Corrupt));
}

#[test]
fn too_large_a_state_is_not_written() {
    let keys = keys();
    let large = json!("0".repeat(10_000));
    let stream = stream();
    let refused = codec(Some(&keys), 0).encode(place(&stream), &wrapped(&large));
    assert_eq!(refused.unwrap_err().code(), "SIGNET-EVENTS-0041");
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(
        keyed: bool,
        compressed: bool,
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let mut encoded = encoded(keyed, compressed);
        let at = at.index(encoded.data.len());
        encoded.data[at] ^= 1 << bit;
        prop_assert_eq!(decode(&encoded, keyed), Err(SkipReason::Checksum));
        // With a key, not even who corrects the checksum gets through.
        reseal(&mut encoded);
        if keyed {
            prop_assert_eq!(decode(&encoded, keyed), Err(SkipReason::Undecryptable));
        } else {
            let _ = decode(&encoded, keyed);
        }
    }

    #[test]
    fn whatever_is_cut_off_is_noticed(
        keyed: bool,
        compressed: bool,
        at: prop::sample::Index,
    ) {
        let mut encoded = encoded(keyed, compressed);
        let length = at.index(encoded.data.len());
        encoded.data.truncate(length);
        prop_assert_eq!(decode(&encoded, keyed), Err(SkipReason::Checksum));
        reseal(&mut encoded);
        prop_assert!(decode(&encoded, keyed).is_err());
    }

    #[test]
    fn no_bytes_bring_it_down(
        data: Vec<u8>,
        format in "json(\\+zstd)?(\\+aes256gcm)?",
        keyed: bool,
    ) {
        let mut encoded = encoded(keyed, false);
        encoded.data = data;
        encoded.format = format;
        reseal(&mut encoded);
        prop_assert!(decode(&encoded, keyed).is_err());
    }
}
