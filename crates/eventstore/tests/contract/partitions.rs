//! The tables can be cut into partitions while a store is open, and all of it goes on: the proof
//! behind docs/decisions/0012.

use std::sync::Arc;

use eventstore::{
    Append, AppendError, Direction, EventQuery, ExpectedVersion, Options, Position, StreamVersion,
};

use crate::database::{Database, Outside, postgres_only};
use crate::samples::{all, assert_in_order, event, ids, next, one, stream, write};

postgres_only!(the_events_are_cut_into_partitions_under_an_open_store);

/// First position of the second partition.
const CUT: u64 = 9;

/// Makes the table of events the first of two partitions. Nothing is copied. The check is what lets
/// the server attach without reading the table while everybody waits.
const CONVERT: &str = "
    ALTER TABLE events ADD CONSTRAINT events_first_span
        CHECK (lane = 0 AND position >= 1 AND position < 9) NOT VALID;
    ALTER TABLE events VALIDATE CONSTRAINT events_first_span;
    BEGIN;
    SELECT head FROM event_lanes WHERE lane = 0 FOR UPDATE;
    ALTER TABLE events RENAME TO events_first;
    ALTER INDEX events_position RENAME TO events_first_position;
    ALTER INDEX events_event_id RENAME TO events_first_event_id;
    ALTER INDEX events_stream RENAME TO events_first_stream;
    ALTER INDEX events_tenant RENAME TO events_first_tenant;
    ALTER INDEX events_type RENAME TO events_first_type;
    ALTER INDEX events_correlation RENAME TO events_first_correlation;
    CREATE TABLE events (LIKE events_first, CONSTRAINT events_position PRIMARY KEY (lane, position))
        PARTITION BY RANGE (lane, position);
    CREATE INDEX events_tenant ON events (tenant, position);
    CREATE INDEX events_type ON events (tenant, event_type, position);
    CREATE INDEX events_correlation ON events ((metadata ->> 'correlation_id'), position)
        WHERE (metadata ->> 'correlation_id') IS NOT NULL;
    ALTER TABLE events ATTACH PARTITION events_first FOR VALUES FROM (0, 1) TO (0, 9);
    CREATE TABLE events_second PARTITION OF events FOR VALUES FROM (0, 9) TO (0, MAXVALUE);
    ALTER TABLE events_second
        ADD CONSTRAINT events_second_event_id UNIQUE (event_id),
        ADD CONSTRAINT events_second_stream
            UNIQUE (tenant, stream_type, stream_id, stream_version);
    COMMIT;
";

/// Cuts the last partition once more, at a position that is not reached yet.
const CUT_AGAIN: &str = "
    ALTER TABLE events_second ADD CONSTRAINT events_second_span
        CHECK (lane = 0 AND position >= 9 AND position < 15) NOT VALID;
    ALTER TABLE events_second VALIDATE CONSTRAINT events_second_span;
    BEGIN;
    SELECT head FROM event_lanes WHERE lane = 0 FOR UPDATE;
    ALTER TABLE events DETACH PARTITION events_second;
    ALTER TABLE events ATTACH PARTITION events_second FOR VALUES FROM (0, 9) TO (0, 15);
    CREATE TABLE events_third PARTITION OF events FOR VALUES FROM (0, 15) TO (0, MAXVALUE);
    ALTER TABLE events_third
        ADD CONSTRAINT events_third_event_id UNIQUE (event_id),
        ADD CONSTRAINT events_third_stream
            UNIQUE (tenant, stream_type, stream_id, stream_version);
    COMMIT;
";

async fn the_events_are_cut_into_partitions_under_an_open_store(database: Arc<Database>) {
    let options = Options {
        // So that the plans made before the cut are those used after it.
        read_connections: 1,
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let mut subscription = store.subscribe(Position::START);
    let early = one("early", ExpectedVersion::NoStream);
    store.append(early.clone()).await.unwrap();
    for n in 0..5 {
        store
            .append(one(n % 2, ExpectedVersion::Any))
            .await
            .unwrap();
    }
    let whole_stream = EventQuery::of_stream(&stream(0));
    store.query(&whole_stream).await.unwrap();
    let mut outside = database.connect().await;

    outside.execute(CONVERT).await;
    reset_scans(&mut outside).await;

    // One append on both sides of the cut: positions 7 to 10.
    let across = Append::new(vec![write(
        0,
        ExpectedVersion::Exact(3),
        (0..4).map(event).collect(),
    )]);
    let appended = store.append(across.clone()).await.unwrap();
    assert_eq!((appended.first, appended.last), (Position(7), Position(10)));
    assert_eq!(appended.versions, [7]);
    store
        .append(one("late", ExpectedVersion::NoStream))
        .await
        .unwrap();
    assert_eq!(count(&mut outside, "events_first").await, CUT as i64 - 1);
    assert_eq!(count(&mut outside, "events_second").await, 3);

    // Retries are recognised on either side and across.
    for (append, first) in [(&early, 1), (&across, 7)] {
        let again = store.append(append.clone()).await.unwrap();
        assert_eq!((again.first, again.already_stored), (Position(first), true));
    }
    // An id of the first partition is not given to an event of the second.
    let mut thief = one("thief", ExpectedVersion::NoStream);
    thief.writes[0].events[0].id = ids(&early)[0];
    let error = store.append(thief).await.unwrap_err();
    assert_eq!(error, AppendError::DuplicateEventId { id: ids(&early)[0] });
    // Versions are those of the whole stream, whose last event is on either side.
    for (id, expected, actual) in [
        ("early", 0, 1),
        ("early", 2, 1),
        ("0", 3, 7),
        ("late", 0, 1),
    ] {
        let append = one(id, ExpectedVersion::Exact(expected));
        match store.append(append).await.unwrap_err() {
            AppendError::Conflict { actual: found, .. } => {
                assert_eq!(found, StreamVersion(actual));
            }
            other => panic!("{other}"),
        }
    }
    store
        .append(one("early", ExpectedVersion::Exact(1)))
        .await
        .unwrap();

    let events = all(&*store).await;
    assert_in_order(&events, 1);
    assert_eq!(events.len(), 12);
    assert_eq!(next(&mut subscription, 12).await, events);
    let sequences: Vec<u64> = events.iter().map(|event| event.tenant_sequence).collect();
    assert_eq!(sequences, (1..=12).collect::<Vec<u64>>());
    let versions = store.read_stream(&stream(0), 0, 100).await.unwrap();
    let versions: Vec<u64> = versions.iter().map(|event| event.stream_version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7]);
    for query in [
        whole_stream,
        EventQuery::of_tenant("acme"),
        EventQuery {
            event_types: vec!["Happened".into()],
            ..EventQuery::of_tenant("acme")
        },
        EventQuery {
            recorded_from: Some(events[4].recorded_at),
            recorded_until: Some(events[10].recorded_at),
            ..EventQuery::default()
        },
    ] {
        let from = query.recorded_from;
        let until = query.recorded_until;
        let mut expected = events.clone();
        expected.retain(|event| {
            query
                .stream_id
                .as_ref()
                .is_none_or(|id| *id == event.stream.stream_id)
                && from.is_none_or(|from| event.recorded_at >= from)
                && until.is_none_or(|until| event.recorded_at < until)
        });
        let page = store.query(&query).await.unwrap();
        assert_eq!(page.events, expected, "{query:?}");
        expected.reverse();
        let backward = EventQuery {
            direction: Direction::Backward,
            ..query
        };
        assert_eq!(store.query(&backward).await.unwrap().events, expected);
    }

    // None of it read a partition from one end to the other.
    drop(subscription);
    store.close().await;
    crate::faults::alone(&mut outside).await;
    let mut scans = async |kind: &str| {
        let sql = format!(
            "SELECT sum({kind})::bigint FROM pg_stat_user_tables \
             WHERE relname IN ('events_first', 'events_second')"
        );
        outside.number(&sql).await
    };
    assert_eq!(scans("seq_scan").await, 0);
    assert!(
        scans("idx_scan").await >= 40,
        "the statistics are of something else"
    );

    // And a store that is opened now finds everything as it is.
    let store = database.open().await;
    assert_eq!(all(&*store).await, events);
    let appended = store
        .append(one("new", ExpectedVersion::NoStream))
        .await
        .unwrap();
    assert_eq!(appended.last, Position(13));

    // The next cut is made the same way, under this store.
    outside.execute(CUT_AGAIN).await;
    let events = (0..4).map(event).collect();
    let append = Append::new(vec![write("new", ExpectedVersion::Exact(1), events)]);
    store.append(append.clone()).await.unwrap();
    assert!(store.append(append).await.unwrap().already_stored);
    assert_eq!(count(&mut outside, "events_third").await, 3);
    assert_in_order(&all(&*store).await, 1);
}

async fn count(outside: &mut Outside, table: &str) -> i64 {
    outside
        .number(&format!("SELECT count(*) FROM {table} WHERE lane = 0"))
        .await
}

/// Forgets the scans so far; this session makes none from here on.
async fn reset_scans(outside: &mut Outside) {
    for sql in [
        "SET enable_seqscan = off",
        "SELECT pg_stat_force_next_flush()",
        "SELECT pg_stat_reset()",
    ] {
        outside.execute(sql).await;
    }
}
