//! What has to be true of a store after whatever happened to it, looked at past the store.
//!
//! The hash chain is computed anew from the bytes that `chain.rs` documents: nothing of the product
//! is used, so that both have to be wrong in the same way to agree.

use std::collections::{BTreeMap, BTreeSet};

use eventstore::EventStore;
use sha2::{Digest, Sha256};
use sqlx::Row;
use uuid::Uuid;

use crate::database::{Database, Outside};
use crate::samples::all;

/// Long forms are for the night: `SIGNET_TEST_FAULTS=long`.
pub(crate) fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

pub(crate) fn is_long() -> bool {
    std::env::var("SIGNET_TEST_FAULTS").is_ok_and(|form| form == "long")
}

/// A row of the events' table, as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) position: i64,
    pub(crate) id: Uuid,
    pub(crate) stream: [String; 3],
    pub(crate) stream_version: i64,
    pub(crate) event_type: String,
    pub(crate) schema_version: i64,
    pub(crate) recorded_at: i64,
    pub(crate) data: String,
    pub(crate) metadata: String,
    pub(crate) tenant_sequence: i64,
    pub(crate) hash: Vec<u8>,
}

/// Everything that is stored, by position.
async fn lines(outside: &mut Outside) -> Vec<Line> {
    macro_rules! lines {
        ($connection:expr, $id:literal, $time:literal) => {
            sqlx::query(concat!(
                "SELECT position, ", $id, ", tenant, stream_type, stream_id, stream_version, \
                 event_type, schema_version, ", $time, ", CAST(data AS text), \
                 CAST(metadata AS text), tenant_sequence, hash FROM events ORDER BY position"
            ))
            .fetch_all($connection)
            .await
            .unwrap()
            .iter()
            .map(|row| Line {
                position: row.get(0),
                id: Uuid::parse_str(&row.get::<String, _>(1)).unwrap(),
                stream: [row.get(2), row.get(3), row.get(4)],
                stream_version: row.get(5),
                event_type: row.get(6),
                schema_version: row.get(7),
                recorded_at: row.get(8),
                data: row.get(9),
                metadata: row.get(10),
                tenant_sequence: row.get(11),
                hash: row.get(12),
            })
            .collect()
        };
    }
    match outside {
        Outside::Sqlite(connection) => lines!(connection, "event_id", "recorded_at"),
        Outside::Postgres(connection) => lines!(
            connection,
            "CAST(event_id AS text)",
            "CAST(extract(epoch FROM recorded_at) * 1000000 AS bigint)"
        ),
    }
}

/// Checks that a store is whole and gives what is in it: positions, versions and sequences count
/// without gaps, the head is the last position, no id comes twice, time never goes back, every hash
/// follows from the one before it, and each snapshot stands for a version that exists.
pub(crate) async fn assert_whole(database: &Database) -> Vec<Line> {
    let mut outside = database.connect().await;
    // Nobody appends meanwhile, and what the dead left behind has come to its end.
    let hold = match outside {
        Outside::Sqlite(_) => "BEGIN IMMEDIATE",
        Outside::Postgres(_) => {
            "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT * FROM event_lanes FOR UPDATE"
        }
    };
    outside.execute(hold).await;
    let lines = lines(&mut outside).await;
    let head = outside.number("SELECT head FROM event_lanes").await;
    let unfounded = outside
        .number(
            "SELECT count(*) FROM event_snapshots AS snapshot WHERE NOT EXISTS ( \
               SELECT 1 FROM events AS event WHERE event.tenant = snapshot.tenant \
                 AND event.stream_type = snapshot.stream_type \
                 AND event.stream_id = snapshot.stream_id \
                 AND event.stream_version = snapshot.stream_version)",
        )
        .await;
    outside.execute("ROLLBACK").await;
    outside.close().await;

    assert_eq!(unfounded, 0, "snapshots of versions that do not exist");
    assert_eq!(
        head,
        lines.len() as i64,
        "the head is not the last position"
    );
    assert_chained(&lines);
    lines
}

fn assert_chained(lines: &[Line]) {
    let mut ids = BTreeSet::new();
    let mut versions: BTreeMap<&[String; 3], i64> = BTreeMap::new();
    let mut chains: BTreeMap<&str, (i64, [u8; 32])> = BTreeMap::new();
    let mut latest = i64::MIN;
    for (line, position) in lines.iter().zip(1..) {
        assert_eq!(line.position, position, "positions have a gap");
        assert!(ids.insert(line.id), "{} is there twice", line.id);
        let version = versions.entry(&line.stream).or_default();
        *version += 1;
        assert_eq!(line.stream_version, *version, "versions of {line:?}");
        assert!(line.recorded_at >= latest, "time went back at {line:?}");
        latest = line.recorded_at;
        let (sequence, hash) = chains.entry(&line.stream[0]).or_default();
        *sequence += 1;
        assert_eq!(line.tenant_sequence, *sequence, "sequence of {line:?}");
        *hash = seal(line, *hash);
        assert_eq!(line.hash, *hash, "the chain breaks at {line:?}");
    }
}

/// The hash of an event behind `previous`, as documented.
fn seal(line: &Line, previous: [u8; 32]) -> [u8; 32] {
    let mut bytes = b"eventstore event 1\0".to_vec();
    bytes.extend(previous);
    for number in [
        line.tenant_sequence,
        line.position,
        line.stream_version,
        line.schema_version,
        line.recorded_at,
    ] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(line.id.as_bytes());
    let [tenant, stream_type, stream_id] = &line.stream;
    let (data, metadata) = (&line.data, &line.metadata);
    for text in [
        tenant,
        stream_type,
        stream_id,
        &line.event_type,
        data,
        metadata,
    ] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.bytes());
    }
    Sha256::digest(&bytes).into()
}

/// Checks that the store reads what the database has.
pub(crate) async fn assert_reads(store: &dyn EventStore, lines: &[Line]) {
    let read = all(store).await;
    assert_eq!(read.len(), lines.len());
    for (event, line) in read.iter().zip(lines) {
        assert_eq!(event.id, line.id);
        assert_eq!(event.position.0, line.position.unsigned_abs());
        assert_eq!(event.hash.0.as_slice(), line.hash);
        let micros = event.recorded_at.unix_timestamp_nanos() / 1000;
        assert_eq!(micros, i128::from(line.recorded_at));
    }
}
