//! Scripts of what happens to a store, drawn at random.

use eventstore::{Append, ExpectedVersion, NewEvent, SnapshotRecord, StreamKey, StreamWrite};
use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;

use super::reference::Model;

pub(super) const REPLICAS: usize = 2;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Calls at the same time. The replica named may crash after some of the answers.
    Burst {
        calls: Vec<Call>,
        crash: Option<(usize, usize)>,
    },
    /// A replica is closed and opened.
    Reopen { replica: usize },
    /// Somebody follows a replica, from so many thousandths of the store on.
    Follow { replica: usize, from: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) replica: usize,
    pub(super) what: What,
    /// The caller goes away without waiting for the answer.
    pub(super) leaves: bool,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// New events for streams, each with what is expected of it.
    New {
        writes: Vec<(u8, Expectation, u8)>,
        snapshot: bool,
    },
    /// An earlier append, as it was or changed.
    Again { which: usize, change: Change },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Expectation {
    Any,
    NoStream,
    /// The version at the beginning of the burst, and so many more.
    Version(i8),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Nothing,
    OtherTrace,
    OtherData,
    OtherStream,
    OtherTenant,
    OnlyTheFirst,
    OneMore,
    OtherWayRound,
    WithTheNext,
}

pub(super) fn script() -> impl Strategy<Value = Vec<Step>> {
    let expectation = prop_oneof![
        3 => Just(Expectation::Any),
        1 => Just(Expectation::NoStream),
        4 => (-1..=3_i8).prop_map(Expectation::Version),
    ];
    let writes = prop::collection::vec((0..5_u8, expectation, 1..4_u8), 1..4);
    let change = prop_oneof![
        6 => Just(Change::Nothing),
        1 => Just(Change::OtherTrace),
        1 => Just(Change::OtherData),
        1 => Just(Change::OtherStream),
        1 => Just(Change::OtherTenant),
        1 => Just(Change::OnlyTheFirst),
        1 => Just(Change::OneMore),
        1 => Just(Change::OtherWayRound),
        1 => Just(Change::WithTheNext),
    ];
    let what = prop_oneof![
        3 => (writes, any::<bool>()).prop_map(|(writes, snapshot)| What::New { writes, snapshot }),
        2 => (any::<usize>(), change).prop_map(|(which, change)| What::Again { which, change }),
    ];
    let call =
        (0..REPLICAS, what, prop::bool::weighted(0.15)).prop_map(|(replica, what, leaves)| Call {
            replica,
            what,
            leaves,
        });
    let crash = prop::option::weighted(0.25, (0..REPLICAS, 0..6_usize));
    let step = prop_oneof![
        6 => (prop::collection::vec(call, 1..9), crash)
            .prop_map(|(calls, crash)| Step::Burst { calls, crash }),
        1 => (0..REPLICAS).prop_map(|replica| Step::Reopen { replica }),
        2 => (0..REPLICAS, 0..=1000_usize)
            .prop_map(|(replica, from)| Step::Follow { replica, from }),
    ];
    prop::collection::vec(step, 1..14)
}

fn stream(n: u8) -> StreamKey {
    let tenant = ["acme", "globex", "initech"][usize::from(n) % 3];
    StreamKey::new(tenant, "order", n.to_string())
}

impl What {
    /// The append that is meant, in a store as `model` and after `earlier` appends.
    pub(super) fn append(&self, model: &Model, earlier: &[Append]) -> Append {
        match self {
            Self::New { writes, snapshot } => new(model, writes, *snapshot),
            Self::Again { which, change } if !earlier.is_empty() => {
                let which = which % earlier.len();
                changed(earlier[which].clone(), *change, earlier.get(which + 1))
            }
            Self::Again { .. } => new(model, &[(0, Expectation::Any, 1)], false),
        }
    }
}

fn new(model: &Model, writes: &[(u8, Expectation, u8)], snapshot: bool) -> Append {
    let mut append = Append::default();
    for &(n, expectation, events) in writes {
        let stream = stream(n);
        if append.writes.iter().any(|write| write.stream == stream) {
            continue;
        }
        let version = model.version(&stream);
        let expected = match expectation {
            Expectation::Any => ExpectedVersion::Any,
            Expectation::NoStream => ExpectedVersion::NoStream,
            Expectation::Version(more) => {
                ExpectedVersion::Exact(version.saturating_add_signed(more.into()))
            }
        };
        let event = |n| NewEvent::new("Happened", 1, json!({ "n": n, "half": 0.5, "of": [n] }));
        append.writes.push(StreamWrite {
            stream,
            expected,
            events: (0..events).map(event).collect(),
        });
    }
    let write = &append.writes[0];
    let before = match write.expected {
        ExpectedVersion::Exact(version) => version,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Any => return append,
    };
    if snapshot {
        append.snapshots.push(SnapshotRecord {
            stream: write.stream.clone(),
            stream_version: before + write.events.len() as u64,
            schema_version: 1,
            format: "json".into(),
            key_id: None,
            data: write.events[0].id.as_bytes().to_vec(),
            checksum: [1; 32],
            taken_at: OffsetDateTime::UNIX_EPOCH,
            pruning: None,
        });
    }
    append
}

fn changed(mut append: Append, change: Change, next: Option<&Append>) -> Append {
    if change != Change::Nothing && change != Change::OtherTrace {
        // It would not stand for the version any more, which is another matter.
        append.snapshots.clear();
    }
    let first = &mut append.writes[0];
    match change {
        Change::Nothing => {}
        Change::OtherTrace => first.events[0].metadata.trace_id = Some("another".into()),
        Change::OtherData => first.events[0].data = json!("other"),
        Change::OtherStream => first.stream.stream_id.push('x'),
        Change::OtherTenant => first.stream.tenant.push('x'),
        Change::OnlyTheFirst => {
            first.events.truncate(1);
            append.writes.truncate(1);
        }
        Change::OneMore => first
            .events
            .push(NewEvent::new("Happened", 1, json!("more"))),
        Change::OtherWayRound => append.writes.reverse(),
        Change::WithTheNext => {
            for write in next.into_iter().flat_map(|next| &next.writes) {
                let known = append.writes.iter().any(|own| own.stream == write.stream);
                let ids =
                    |write: &StreamWrite| write.events.iter().map(|e| e.id).collect::<Vec<_>>();
                let twice = append
                    .writes
                    .iter()
                    .flat_map(ids)
                    .any(|id| ids(write).contains(&id));
                if !known && !twice {
                    append.writes.push(write.clone());
                }
            }
        }
    }
    append
}
