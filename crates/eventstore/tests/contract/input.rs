//! Bad and strange input: refused with a clear error, or kept as it is; never half, and never at the
//! expense of others.

use std::sync::Arc;

use eventstore::{
    Append, AppendError, ExpectedVersion, Metadata, NewEvent, Options, Position, ReadError,
    SnapshotRecord, StreamKey, StreamWrite,
};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::database::{Database, Outside, PATIENCE, contract};
use crate::proof::{assert_reads, assert_whole, times};
use crate::samples::{all, event, one, stream, write};

contract!(
    what_cannot_be_stored_is_refused_beside_what_can,
    numbers_come_back_as_they_were,
    strange_names_are_names,
    a_stream_that_cannot_be_has_no_events,
    numbers_beyond_everything_are_beyond_everything,
    an_append_may_be_as_large_as_allowed,
    what_was_stored_by_nobody_is_corrupt,
);

fn of(event: NewEvent) -> Append {
    Append::new(vec![write("bad", ExpectedVersion::Any, vec![event])])
}

fn to(tenant: &str, stream_type: &str, stream_id: &str) -> Append {
    let stream = StreamKey::new(tenant, stream_type, stream_id);
    Append::to(stream, ExpectedVersion::Any, vec![event(1)])
}

fn data(data: Value) -> Append {
    of(NewEvent { data, ..event(1) })
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, level| match level % 2 {
        0 => json!([inner]),
        _ => json!({ "in": inner }),
    })
}

fn snapshot(change: impl FnOnce(&mut SnapshotRecord)) -> Append {
    let mut snapshot = SnapshotRecord {
        stream: stream("bad"),
        stream_version: 1,
        schema_version: 1,
        format: "json".into(),
        key_id: None,
        data: b"{}".to_vec(),
        checksum: [0; 32],
        taken_at: OffsetDateTime::UNIX_EPOCH,
        pruning: None,
    };
    change(&mut snapshot);
    one("bad", ExpectedVersion::NoStream).with_snapshot(snapshot)
}

fn metadata(change: impl FnOnce(&mut Metadata)) -> Append {
    let mut event = event(1);
    change(&mut event.metadata);
    of(event)
}

/// Appends that can never be stored, each with the field that its refusal names.
fn refused() -> Vec<(&'static str, Append)> {
    let large = "x".repeat(Options::default().max_event_bytes);
    let name = |text: &str| NewEvent::new(text, 1, json!(1));
    let event_data = "writes[0].events[0].data";
    let event_metadata = "writes[0].events[0].metadata";
    let nil = NewEvent {
        id: Uuid::nil(),
        ..event(1)
    };
    let twice = event(1);
    let many = |events| Append::new(vec![write("bad", ExpectedVersion::Any, events)]);
    vec![
        ("writes", Append::default()),
        ("writes[0].events", many(Vec::new())),
        ("writes[0].events[1].id", many(vec![twice.clone(), twice])),
        ("writes[0].events[0].id", of(nil)),
        ("writes[0].stream.tenant", to("", "t", "i")),
        ("writes[0].stream.tenant", to("a\0", "t", "i")),
        ("writes[0].stream.tenant", to(&"ä".repeat(65), "t", "i")),
        ("writes[0].stream.stream_type", to("a", "\0", "i")),
        ("writes[0].stream.stream_id", to("a", "t", "")),
        ("writes[0].stream.stream_id", to("a", "t", "i\0i")),
        ("writes[0].stream.stream_id", to("a", "t", &"i".repeat(513))),
        ("writes[0].events[0].event_type", of(name("Ha\0ppened"))),
        ("writes[0].events[0].event_type", of(name(""))),
        ("writes[0].events[0].event_type", of(name(&"e".repeat(129)))),
        (event_data, data(json!({ "a": ["b\0"] }))),
        (event_data, data(json!({ "a": { "\0": 1 } }))),
        (event_data, data(nested(101))),
        (event_data, data(nested(300))),
        (event_metadata, metadata(|m| m.actor = Some("\0".into()))),
        (
            event_metadata,
            metadata(|m| m.source_ip = Some("\0".into())),
        ),
        (event_metadata, metadata(|m| m.trace_id = Some("\0".into()))),
        ("writes[0].events[0]", data(json!(large))),
        (
            "writes[0].events[0]",
            metadata(|m| m.actor = Some(large.clone())),
        ),
        ("writes", many((0..10_001).map(event).collect())),
        (
            "snapshots[0].format",
            snapshot(|s| s.format = "js\0on".into()),
        ),
        (
            "snapshots[0].format",
            snapshot(|s| s.format = String::new()),
        ),
        (
            "snapshots[0].key_id",
            snapshot(|s| s.key_id = Some("\0".into())),
        ),
        (
            "snapshots[0].stream_version",
            snapshot(|s| s.stream_version = u64::MAX),
        ),
        (
            "snapshots[0].stream",
            snapshot(|s| s.stream = stream("b\0")),
        ),
        ("writes", snapshot(|s| s.data = vec![0; 33 * 1024 * 1024])),
    ]
}

async fn what_cannot_be_stored_is_refused_beside_what_can(database: Arc<Database>) {
    let store = database.open().await;
    let refused = refused();
    let fields: Vec<_> = refused.iter().map(|(field, _)| *field).collect();
    // Each between two good ones, all in the lane at once.
    let good = |n: usize| one("good", ExpectedVersion::Exact(n as u64));
    let calls = refused.into_iter().enumerate();
    let appends = calls.flat_map(|(n, (_, bad))| [bad, good(n)]);
    let answers = join_all(appends.map(|append| store.append(append))).await;

    for (pair, field) in answers.chunks(2).zip(&fields) {
        match &pair[0] {
            Err(AppendError::Invalid {
                field: named,
                message,
            }) => {
                assert_eq!(named, field, "{message}");
                assert!(!message.is_empty());
            }
            other => panic!("{field}: {other:?}"),
        }
        pair[1].as_ref().unwrap();
    }
    let lines = assert_whole(&database).await;
    assert_eq!(lines.len(), fields.len(), "only the good ones are there");
    let mut outside = database.connect().await;
    assert_eq!(
        outside.number("SELECT count(*) FROM event_snapshots").await,
        0
    );
    outside.close().await;
}

// Decided before any database is asked, and slow to write out in a build that is not optimised.
#[tokio::test]
async fn an_append_that_is_too_large_with_all_its_events_is_refused() {
    let in_memory = eventstore::open("sqlite::memory:", Options::default());
    let store = in_memory.await.unwrap();
    let chunk = json!("y".repeat(1_000_000));
    let chunks = (0..34).map(|_| NewEvent::new("Large", 1, chunk.clone()));
    let large = write("bad", ExpectedVersion::Any, chunks.collect());

    let refused = store.append(Append::new(vec![large])).await.unwrap_err();

    assert!(
        matches!(&refused, AppendError::Invalid { field, .. } if *field == "writes"),
        "{refused}"
    );
    assert_eq!(store.head().await.unwrap(), Position::START);
}

async fn numbers_come_back_as_they_were(database: Arc<Database>) {
    let store = database.open().await;
    let mut numbers = vec![
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0),
        json!(0.1 + 0.2),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(5e-324),
        json!(9_007_199_254_740_993_u64),
        json!(1e21),
        json!(f64::EPSILON),
    ];
    // Any bits that are a finite number.
    let random = std::iter::repeat_with(|| Uuid::new_v4().as_u128() as u64).map(f64::from_bits);
    numbers.extend(
        random
            .filter(|n| n.is_finite())
            .take(times(2000, 9000))
            .map(Value::from),
    );
    let written = NewEvent::new("Counted", 1, json!({ "numbers": numbers, "zero": -0.0 }));
    let append = of(written.clone());
    store.append(append.clone()).await.unwrap();

    let read = all(&*store).await.remove(0);
    for (read, written) in read.data["numbers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&numbers)
    {
        assert_eq!(read.to_string(), written.to_string());
    }
    assert_eq!(read.data, written.data);
    assert!(read.data["zero"].as_f64().unwrap().is_sign_negative());
    // What was read says the same as what was written, also to a retry of it.
    assert!(store.append(append).await.unwrap().already_stored);
    let again = NewEvent {
        data: read.data,
        ..written.clone()
    };
    assert!(store.append(of(again)).await.unwrap().already_stored);
    let mut other = written;
    let last = other.data["numbers"]
        .as_array_mut()
        .unwrap()
        .last_mut()
        .unwrap();
    let next = f64::from_bits(last.as_f64().unwrap().to_bits() ^ 1);
    *last = json!(next);
    let refused = store.append(of(other)).await.unwrap_err();
    assert!(
        matches!(refused, AppendError::DuplicateEventId { .. }),
        "{refused}"
    );
    assert_reads(&*store, &assert_whole(&database).await).await;
}

async fn strange_names_are_names(database: Arc<Database>) {
    let store = database.open().await;
    let every: Vec<String> = (1..=0x2FF)
        .chain([0x2028, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F984, 0x10_FFFF])
        .filter_map(char::from_u32)
        .map(String::from)
        .chain(
            [
                "'; DROP TABLE events; --",
                "%",
                "null",
                "1",
                "01",
                "1e3",
                "{}",
                "[0]",
                "$1",
            ]
            .map(String::from),
        )
        .chain(
            [
                "e\u{301}",
                "é",
                " a",
                "a ",
                "\\u0000",
                "\"",
                "\\",
                "x\u{200B}",
            ]
            .map(String::from),
        )
        .chain(["\u{1F984}".repeat(128)])
        .collect();
    let names: std::collections::BTreeSet<_> = every.into_iter().collect();
    for page in names.iter().collect::<Vec<_>>().chunks(100) {
        let writes = page.iter().map(|name| StreamWrite {
            stream: StreamKey::new("acme", "order", name.as_str()),
            expected: ExpectedVersion::NoStream,
            events: vec![NewEvent::new(
                "Named",
                1,
                json!({ "name": name, name.as_str(): 1 }),
            )],
        });
        store.append(Append::new(writes.collect())).await.unwrap();
    }
    for name in &names {
        let read = store.read_stream(&stream(name), 0, 10).await.unwrap();
        assert_eq!(read.len(), 1, "{name:?}");
        assert_eq!(read[0].data, json!({ "name": name, name.as_str(): 1 }));
        let again = one(name, ExpectedVersion::NoStream);
        let refused = store.append(again).await.unwrap_err();
        assert!(matches!(refused, AppendError::Conflict { .. }), "{refused}");
    }
    let short = names.iter().filter(|name| name.len() < 128);
    for name in short.step_by(10) {
        let mut append = to(name, name, name);
        append.writes[0].events[0].event_type.clone_from(name);
        store.append(append).await.unwrap();
    }
    assert_reads(&*store, &assert_whole(&database).await).await;
}

async fn a_stream_that_cannot_be_has_no_events(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let long = "x".repeat(100_000);
    for (tenant, id) in [("acme", "a\0"), ("\0", "a"), ("", ""), ("acme", &long)] {
        let key = StreamKey::new(tenant, "order", id);
        assert_eq!(store.read_stream(&key, 0, 10).await.unwrap(), []);
    }
}

async fn numbers_beyond_everything_are_beyond_everything(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    for beyond in [2, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(
            store.read_stream(&stream("a"), beyond, 10).await.unwrap(),
            []
        );
        assert_eq!(store.read_all(Position(beyond), 10).await.unwrap(), []);
        let mut subscription = store.subscribe(Position(beyond));
        let item = tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .unwrap();
        let error = ReadError::AheadOfStore {
            cursor: Position(beyond),
            head: Position(1),
        };
        assert_eq!(item, Some(Err(error)));
        assert_eq!(subscription.next().await, None);
        let refused = store
            .append(one("a", ExpectedVersion::Exact(beyond)))
            .await
            .unwrap_err();
        assert!(matches!(refused, AppendError::Conflict { .. }), "{refused}");
    }
    assert_eq!(store.read_all(Position::START, 0).await.unwrap(), []);
    assert_eq!(
        store
            .read_all(Position::START, usize::MAX)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn an_append_may_be_as_large_as_allowed(database: Arc<Database>) {
    let store = database.open().await;
    // The worst to write out: six bytes for each character. More than a few are slow to hash in a
    // build that is not optimised.
    let chunk = json!("\u{1}".repeat(170_000));
    let events = (0..times(2, 8)).map(|_| NewEvent::new("Large", 1, chunk.clone()));
    let large = Append::new(vec![write(
        "large",
        ExpectedVersion::NoStream,
        events.collect(),
    )]);
    let many = write(
        "many",
        ExpectedVersion::NoStream,
        (0..10_000).map(event).collect(),
    );
    for append in [large, Append::new(vec![many])] {
        let first = store.append(append.clone()).await.unwrap();
        let again = store.append(append).await.unwrap();
        assert_eq!((again.last, again.already_stored), (first.last, true));
    }
    assert_eq!(assert_whole(&database).await.len(), 10_000 + times(2, 8));
    assert_eq!(
        store.read_all(Position::START, 1).await.unwrap()[0].data,
        chunk
    );
}

// Whoever writes past the store: reading says where and what, and what is whole can still be read.
async fn what_was_stored_by_nobody_is_corrupt(database: Arc<Database>) {
    let deep = format!("data = '{}{}'", "[".repeat(200), "]".repeat(200));
    for broken in [
        "data = '{\"n\":1e400}'",
        "data = '\"\\ud800\"'",
        &deep,
        "metadata = '7'",
        "schema_version = -1",
    ] {
        let store = database.open().await;
        let before = store.head().await.unwrap();
        for _ in 0..2 {
            store.append(one("a", ExpectedVersion::Any)).await.unwrap();
        }
        let mut outside = database.connect().await;
        let at = before.0 + 1;
        let sql = format!("UPDATE events SET {broken} WHERE position = {at}");
        outside.execute(&sql).await;

        let error = store.read_all(before, 10).await.unwrap_err();

        let ReadError::Corrupt { position, message } = &error else {
            panic!("{error}")
        };
        assert_eq!(position.0, at, "{message}");
        let column = broken.split(' ').next().unwrap();
        assert!(message.contains(column), "{message}");
        assert_eq!(store.read_all(Position(at), 10).await.unwrap().len(), 1);
        let mut subscription = store.subscribe(before);
        let item = tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .unwrap();
        assert_eq!(item, Some(Err(error)));
        if let Outside::Sqlite(_) = outside {
            outside.close().await;
        }
        store.close().await;
    }
}
