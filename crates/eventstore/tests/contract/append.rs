//! What an append answers, and what it leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use eventstore::{
    Append, AppendError, Appended, ExpectedVersion, Metadata, NewEvent, Options, Position,
    StreamVersion,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::database::{Database, contract};
use crate::samples::{all, assert_in_order, event, one, stream, write};

contract!(
    positions_and_versions_count_from_one,
    an_event_comes_back_as_it_was_written,
    a_conflict_tells_expected_and_actual,
    a_retry_is_answered_like_the_first_attempt,
    a_retry_is_recognised_by_another_store,
    an_id_belongs_to_one_event,
    all_streams_of_an_append_or_none,
    an_invalid_append_leaves_nothing,
    an_event_may_have_the_greatest_size,
    many_events_at_once,
    recorded_time_never_goes_back,
    tenants_do_not_share_streams,
);

async fn positions_and_versions_count_from_one(database: Arc<Database>) {
    let store = database.open().await;

    let two = write("a", ExpectedVersion::NoStream, vec![event(1), event(2)]);
    let first = store.append(Append::new(vec![two])).await.unwrap();
    let second = store
        .append(one("a", ExpectedVersion::Exact(2)))
        .await
        .unwrap();
    let other = store.append(one("b", ExpectedVersion::Any)).await.unwrap();

    let appended = |first, last, version| Appended {
        first: Position(first),
        last: Position(last),
        versions: vec![version],
        already_stored: false,
    };
    assert_eq!(first, appended(1, 2, 2));
    assert_eq!(second, appended(3, 3, 3));
    assert_eq!(other, appended(4, 4, 1));
    assert_in_order(&all(&*store).await, 1);
}

async fn an_event_comes_back_as_it_was_written(database: Arc<Database>) {
    fn clock() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(1_790_000_000_123_456_789).unwrap()
    }
    let store = database
        .open_with(Options {
            clock,
            ..Options::default()
        })
        .await;
    let written = NewEvent {
        id: Uuid::new_v4(),
        event_type: "Grüße/\u{1F984}".into(),
        schema_version: u32::MAX,
        data: json!({
            "text": "quote \" backslash \\ newline \n \\u0000 \u{1F984} ' ; --",
            "numbers": [0, -1, u64::MAX, i64::MIN, 1.5, 1e300, 1e16, -0.1, 5e-324],
            "nothing": null, "empty": {}, "": [],
        }),
        metadata: Metadata {
            correlation_id: Some(Uuid::new_v4()),
            causation_id: Some(Uuid::new_v4()),
            command_id: Some(Uuid::new_v4()),
            actor: Some("spiffe://acme.cluster.local/ns/shop/sa/web".into()),
            source_ip: Some("::1".into()),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        },
    };

    let writes = vec![write(
        "ä b/c",
        ExpectedVersion::NoStream,
        vec![written.clone()],
    )];
    store.append(Append::new(writes)).await.unwrap();

    let read = all(&*store).await.pop().unwrap();
    assert_eq!(read.id, written.id);
    assert_eq!(read.stream, stream("ä b/c"));
    assert_eq!(read.event_type, written.event_type);
    assert_eq!(read.schema_version, written.schema_version);
    assert_eq!(read.data, written.data);
    assert_eq!(read.metadata, written.metadata);
    let micros = read.recorded_at.unix_timestamp_nanos() / 1000;
    assert_eq!(
        micros, 1_790_000_000_123_456,
        "whole microseconds of the clock"
    );
}

async fn a_conflict_tells_expected_and_actual(database: Arc<Database>) {
    let store = database.open().await;
    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();

    for (expected, actual, id) in [
        (ExpectedVersion::NoStream, 1, "a"),
        (ExpectedVersion::Exact(0), 1, "a"),
        (ExpectedVersion::Exact(2), 1, "a"),
        (ExpectedVersion::Exact(1), 0, "b"),
    ] {
        let refused = store.append(one(id, expected)).await.unwrap_err();
        let actual = StreamVersion(actual);
        assert_eq!(
            refused,
            AppendError::Conflict {
                stream: stream(id),
                expected,
                actual
            }
        );
        assert_eq!(refused.code(), "SIGNET-EVENTS-0001");
    }
    assert_eq!(
        store.head().await.unwrap(),
        Position(1),
        "a refused append takes no position"
    );
}

async fn a_retry_is_answered_like_the_first_attempt(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("c", ExpectedVersion::Any)).await.unwrap();
    let mut append = Append::new(vec![
        write("a", ExpectedVersion::NoStream, vec![event(1), event(2)]),
        write("b", ExpectedVersion::NoStream, vec![event(3)]),
    ]);
    let first = store.append(append.clone()).await.unwrap();
    // The world goes on.
    store
        .append(one("a", ExpectedVersion::Exact(2)))
        .await
        .unwrap();

    // Another attempt has another trace.
    append.writes[0].events[0].metadata.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
    let second = store.append(append).await.unwrap();

    assert_eq!(
        second,
        Appended {
            already_stored: true,
            ..first
        }
    );
    assert_eq!((second.first, second.last), (Position(2), Position(4)));
    assert_eq!(
        store.head().await.unwrap(),
        Position(5),
        "nothing was stored twice"
    );
}

async fn a_retry_is_recognised_by_another_store(database: Arc<Database>) {
    let append = one("a", ExpectedVersion::NoStream);
    let store = database.open().await;
    let first = store.append(append.clone()).await.unwrap();
    store.close().await;

    let reopened = database.open().await;
    let second = reopened.append(append).await.unwrap();

    assert_eq!(
        second,
        Appended {
            already_stored: true,
            ..first
        }
    );
    assert_eq!(all(&*reopened).await.len(), 1);
}

async fn an_id_belongs_to_one_event(database: Arc<Database>) {
    let store = database.open().await;
    let original = event(1);
    let id = original.id;
    let append = |name, event| Append::new(vec![write(name, ExpectedVersion::Any, vec![event])]);
    store.append(append("a", original.clone())).await.unwrap();

    let changed = [
        append("b", original.clone()),
        append(
            "a",
            NewEvent {
                data: json!({ "n": 2 }),
                ..original.clone()
            },
        ),
        append(
            "a",
            NewEvent {
                event_type: "Other".into(),
                ..original.clone()
            },
        ),
        append(
            "a",
            NewEvent {
                schema_version: 2,
                ..original.clone()
            },
        ),
        Append::new(vec![write(
            "a",
            ExpectedVersion::Any,
            vec![event(2), original.clone()],
        )]),
    ];
    for append in changed {
        let refused = store.append(append).await.unwrap_err();
        assert_eq!(refused, AppendError::DuplicateEventId { id });
    }
    assert_eq!(all(&*store).await.len(), 1);
}

async fn all_streams_of_an_append_or_none(database: Arc<Database>) {
    let store = database.open().await;
    let both = |expected| {
        Append::new(vec![
            write("a", ExpectedVersion::Any, vec![event(1)]),
            write("b", expected, vec![event(2), event(3)]),
        ])
    };

    let refused = store.append(both(ExpectedVersion::Exact(1))).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })));
    assert_eq!(all(&*store).await, []);

    let appended = store.append(both(ExpectedVersion::NoStream)).await.unwrap();
    assert_eq!(appended.versions, [1, 2]);
    assert_eq!((appended.first, appended.last), (Position(1), Position(3)));
    let streams: Vec<_> = all(&*store)
        .await
        .into_iter()
        .map(|event| event.stream)
        .collect();
    assert_eq!(streams, [stream("a"), stream("b"), stream("b")]);
}

async fn an_invalid_append_leaves_nothing(database: Arc<Database>) {
    let store = database.open().await;
    let bad = NewEvent {
        data: json!("\0"),
        ..event(1)
    };
    let good = write("a", ExpectedVersion::Any, vec![event(1)]);

    for append in [
        Append::new(vec![]),
        Append::new(vec![
            good.clone(),
            write("b", ExpectedVersion::Any, vec![bad]),
        ]),
        Append::new(vec![good.clone(), good]),
    ] {
        let refused = store.append(append).await.unwrap_err();
        assert!(matches!(refused, AppendError::Invalid { .. }), "{refused}");
    }
    assert_eq!(all(&*store).await, []);
}

async fn an_event_may_have_the_greatest_size(database: Arc<Database>) {
    let store = database.open().await;
    let data = json!("x".repeat(Options::default().max_event_bytes - "\"\"{}".len()));
    let large = NewEvent { data, ..event(1) };

    let append = Append::new(vec![write("a", ExpectedVersion::Any, vec![large.clone()])]);
    store.append(append).await.unwrap();

    assert_eq!(all(&*store).await[0].data, large.data);
}

async fn many_events_at_once(database: Arc<Database>) {
    let store = database.open().await;
    let events = (0..5000).map(event).collect();

    let append = Append::new(vec![write("a", ExpectedVersion::NoStream, events)]);
    let appended = store.append(append).await.unwrap();

    assert_eq!(appended.versions, [5000]);
    let read = all(&*store).await;
    assert_eq!(read.len(), 5000);
    for (n, event) in read.iter().enumerate() {
        assert_eq!(event.data, json!({ "n": n }));
        assert_eq!(event.stream_version, n as u64 + 1);
    }
}

async fn recorded_time_never_goes_back(database: Arc<Database>) {
    /// Each look at this clock shows a second less than the one before.
    static SECONDS: AtomicI64 = AtomicI64::new(1_790_000_000);
    fn clock() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(SECONDS.fetch_sub(1, Ordering::Relaxed)).unwrap()
    }
    let store = database
        .open_with(Options {
            clock,
            ..Options::default()
        })
        .await;

    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();

    let read = all(&*store).await;
    assert_eq!(read[0].recorded_at, read[1].recorded_at);
}

async fn tenants_do_not_share_streams(database: Arc<Database>) {
    let store = database.open().await;
    for tenant in ["acme", "rival"] {
        let mut append = one("a", ExpectedVersion::NoStream);
        append.writes[0].stream.tenant = tenant.into();
        assert_eq!(store.append(append).await.unwrap().versions, [1]);
    }

    let read = store.read_stream(&stream("a"), 0, 10).await.unwrap();

    assert_eq!(read.len(), 1);
    assert_eq!(read[0].stream.tenant, "acme");
}
