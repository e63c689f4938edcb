//! Tamper evidence: what is changed past the store is found, and named where it is.

mod checkpoints;
mod forge;
mod mutation;
mod tamper;
mod walk;

use std::sync::Arc;

use eventstore::integrity::{
    Checkpoint, Checkpoints, Ed25519Signer, Fault, FaultKind, PublicKeys, Report, Verify, verify,
};
use eventstore::{
    Append, EventStore, ExpectedVersion, NewEvent, RecordedEvent, StreamKey, StreamWrite,
};
use serde_json::json;
use time::OffsetDateTime;

use crate::database::{Database, Outside, PATIENCE};
use crate::samples::all;

/// Events of the tenants acme (1, 3, 5 …) and globex (2, 4, 6 …), two streams each.
pub(crate) async fn fill(store: &dyn EventStore, rounds: usize) -> Vec<RecordedEvent> {
    for n in 0..rounds {
        let write = |tenant: &str| StreamWrite {
            stream: StreamKey::new(tenant, "order", (n % 2).to_string()),
            expected: ExpectedVersion::Any,
            events: vec![NewEvent::new(
                "Happened",
                1,
                json!({ "n": n, "text": "as it was" }),
            )],
        };
        let writes = vec![write("acme"), write("globex")];
        store.append(Append::new(writes)).await.unwrap();
    }
    all(store).await
}

pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(format!("key-{seed}"), &[seed; 32]).unwrap()
}

pub(crate) fn keys(seeds: &[u8]) -> PublicKeys {
    seeds.iter().fold(PublicKeys::none(), |keys, seed| {
        let id = format!("key-{seed}");
        keys.with_ed25519(id, &signer(*seed).public_key()).unwrap()
    })
}

pub(crate) fn signing(store: &Arc<dyn EventStore>, seed: u8) -> Checkpoints {
    let clock = OffsetDateTime::now_utc;
    Checkpoints::new(Arc::clone(store), Arc::new(signer(seed)), clock)
}

/// Signs everything with the first key, and gives the new checkpoints.
pub(crate) async fn sign_all(store: &Arc<dyn EventStore>) -> Vec<Checkpoint> {
    let mut made = Vec::new();
    let all = signing(store, 1)
        .sign_all(|checkpoint| made.push(checkpoint.clone()))
        .await
        .unwrap();
    assert_eq!(all.signed, made.len() as u64);
    assert_eq!(all.refusals, 0);
    made
}

/// Everything, with the first key, in small pages.
pub(crate) fn everything() -> Verify {
    Verify {
        page_len: 3,
        ..Verify::everything(keys(&[1]))
    }
}

pub(crate) fn tenant(name: &str) -> Verify {
    Verify {
        page_len: 3,
        ..Verify::tenant(name, keys(&[1]))
    }
}

pub(crate) async fn report(store: &Arc<dyn EventStore>, what: Verify) -> Report {
    let verification = verify(Arc::clone(store), what);
    let report = tokio::time::timeout(PATIENCE, verification.finished()).await;
    report.unwrap().unwrap()
}

/// Kind, tenant and position of every fault.
pub(crate) fn named(report: &Report) -> Vec<(FaultKind, Option<&str>, u64)> {
    let name = |fault: &'_ Fault| (fault.kind, fault.position.0);
    report
        .faults
        .iter()
        .map(|fault| (name(fault).0, fault.tenant.as_deref(), name(fault).1))
        .collect()
}

/// A time as a literal.
pub(crate) fn time_literal(outside: &Outside, microseconds: i64) -> String {
    match outside {
        Outside::Sqlite(_) => microseconds.to_string(),
        Outside::Postgres(_) => {
            format!("(TIMESTAMPTZ 'epoch' + INTERVAL '{microseconds} microseconds')")
        }
    }
}

/// Bytes as a literal.
pub(crate) fn bytes_literal(outside: &Outside, bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match outside {
        Outside::Sqlite(_) => format!("x'{digits}'"),
        Outside::Postgres(_) => format!("'\\x{digits}'::bytea"),
    }
}

pub(crate) fn microseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap()
}

/// Runs a statement past the store.
pub(crate) async fn tamper(database: &Database, sql: impl FnOnce(&Outside) -> String) {
    let mut outside = database.connect().await;
    let sql = sql(&outside);
    outside.execute(&sql).await;
    outside.close().await;
}

/// An event's content as the store wrote it.
pub(crate) fn text(event: &RecordedEvent) -> String {
    serde_json::to_string(&event.data).unwrap()
}
