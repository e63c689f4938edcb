//! Queries with filters, in pages.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{
    Append, Direction, EventPage, EventQuery, EventStore, ExpectedVersion, Metadata, NewEvent,
    Options, Position, ReadError, RecordedEvent, StreamKey, StreamWrite,
};
use serde_json::json;
use uuid::Uuid;

use crate::database::{Database, contract};
use crate::samples::{all, event, one, write};

contract!(
    every_combination_of_filters_gives_what_a_filter_over_everything_gives,
    a_rare_event_among_many_is_found_in_bounded_steps,
    pages_do_not_shift_while_events_are_appended,
    the_end_of_a_query_tells_where_to_look_again_if_anything_can_come,
    an_empty_store_answers_an_empty_page,
    a_cursor_beyond_the_end_is_refused,
    what_can_never_be_answered_is_refused_with_the_field,
    a_position_is_waited_for_until_another_store_has_written_it,
    a_position_that_does_not_come_is_a_clear_error,
    waiting_ends_when_the_store_is_closed,
    reads_through_a_view_without_a_replica_go_to_the_primary,
);

const TENANTS: [&str; 2] = ["acme", "bolt"];
const KINDS: [&str; 2] = ["order", "cart"];
const IDS: [&str; 2] = ["1", "2"];
const TYPES: [&str; 3] = ["Placed", "Paid", "Sent"];

fn correlation(n: usize) -> Uuid {
    Uuid::from_u128(n as u128 + 1)
}

/// Events of every kind, in an order that mixes them; times as they come.
async fn fill(store: &dyn EventStore) {
    for n in 0..40 {
        let kind = |nth: usize| n * (nth + 3) / (nth + 1);
        let event = |salt: usize| NewEvent {
            metadata: Metadata {
                correlation_id: (kind(salt) % 3 > 0).then(|| correlation(kind(salt) % 2)),
                ..Metadata::default()
            },
            ..NewEvent::new(TYPES[kind(salt) % 3], 1, json!({ "n": n }))
        };
        let write = |salt: usize| StreamWrite {
            stream: StreamKey::new(TENANTS[salt % 2], KINDS[kind(salt) % 2], IDS[kind(1) % 2]),
            expected: ExpectedVersion::Any,
            events: vec![event(salt), event(salt + 2)],
        };
        let append = Append::new(vec![write(0), write(1)]);
        store.append(append).await.unwrap();
    }
}

/// All pages of a query, one after the other.
async fn pages(store: &dyn EventStore, mut query: EventQuery) -> Vec<u64> {
    let mut positions = Vec::new();
    loop {
        let EventPage { events, next, end } = store.query(&query).await.unwrap();
        assert!(events.len() <= query.limit);
        positions.extend(events.iter().map(|event| event.position.0));
        if end {
            return positions;
        }
        query = query.continued(next.unwrap());
    }
}

async fn every_combination_of_filters_gives_what_a_filter_over_everything_gives(
    database: Arc<Database>,
) {
    let store = database.open().await;
    fill(&*store).await;
    let events = all(&*store).await;
    let (from, until) = (events[30].recorded_at, events[120].recorded_at);
    let mut found = 0;
    // One bit for each filter.
    for filters in 0_u32..1 << 8 {
        let on = |bit: u32| filters & (1 << bit) != 0;
        let types = [&TYPES[..1], &TYPES[1..]][filters as usize % 2];
        let query = EventQuery {
            tenant: on(0).then(|| TENANTS[0].into()),
            stream_type: on(1).then(|| KINDS[1].into()),
            stream_id: on(2).then(|| IDS[0].into()),
            event_types: types
                .iter()
                .filter(|_| on(3))
                .map(ToString::to_string)
                .collect(),
            correlation_id: on(4).then(|| correlation(1)),
            recorded_from: on(5).then_some(from),
            recorded_until: on(5).then_some(until),
            after: on(6).then_some(Position(20)),
            at_most: on(6).then_some(Position(140)),
            limit: 15,
            direction: if on(7) {
                Direction::Backward
            } else {
                Direction::Forward
            },
        };
        let wanted = |event: &&RecordedEvent| {
            (!on(0) || event.stream.tenant == TENANTS[0])
                && (!on(1) || event.stream.stream_type == KINDS[1])
                && (!on(2) || event.stream.stream_id == IDS[0])
                && (!on(3) || types.contains(&event.event_type.as_str()))
                && (!on(4) || event.metadata.correlation_id == Some(correlation(1)))
                && (!on(5) || (event.recorded_at >= from && event.recorded_at < until))
                && (!on(6) || (event.position.0 > 20 && event.position.0 <= 140))
        };
        let mut expected: Vec<u64> = events.iter().filter(wanted).map(|e| e.position.0).collect();
        if on(7) {
            expected.reverse();
        }
        found += expected.len();
        assert_eq!(pages(&*store, query.clone()).await, expected, "{query:?}");
    }
    assert!(found > 2000, "only {found} events were asked for");
}

async fn a_rare_event_among_many_is_found_in_bounded_steps(database: Arc<Database>) {
    const MANY: i64 = 60_000;
    let store = database.open().await;
    let mut outside = database.connect().await;
    let (numbers, id, time, hash) = match *database {
        Database::Sqlite { .. } => (
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
               WHERE n < 60000)",
            "printf('00000000-0000-0000-0000-%012x', n)",
            "n",
            "zeroblob(32)",
        ),
        Database::Postgres { .. } => (
            "WITH numbers (n) AS (SELECT generate_series(1, 60000))",
            "lpad(to_hex(n), 32, '0')::uuid",
            "to_timestamp(n)",
            "decode(repeat('00', 32), 'hex')",
        ),
    };
    // Beyond what one call looks at.
    outside
        .execute(&format!(
            "{numbers} INSERT INTO events (lane, position, event_id, tenant, stream_type, \
               stream_id, stream_version, event_type, schema_version, recorded_at, data, \
               metadata, tenant_sequence, hash) \
             SELECT 0, n, {id}, 'acme', CASE n WHEN 55000 THEN 'rare' ELSE 'order' END, 'a', n, \
               CASE n WHEN 55000 THEN 'Rare' ELSE 'Happened' END, 1, {time}, '{{}}', '{{}}', n, \
               {hash} FROM numbers"
        ))
        .await;
    outside
        .execute(&format!("UPDATE event_lanes SET head = {MANY}"))
        .await;
    let by_tenant = EventQuery {
        stream_type: Some("rare".into()),
        ..EventQuery::of_tenant("acme")
    };
    let by_position = EventQuery {
        event_types: vec!["Rare".into()],
        ..EventQuery::default()
    };
    for mut query in [by_tenant, by_position] {
        let mut calls = 0;
        let mut found = Vec::new();
        loop {
            let page = store.query(&query).await.unwrap();
            calls += 1;
            found.extend(page.events.into_iter().map(|event| event.position.0));
            if page.end {
                break;
            }
            let next = page.next.unwrap();
            assert!(
                next.0 - query.after.unwrap_or_default().0 <= 50_000,
                "too much at once"
            );
            query = query.continued(next);
        }
        assert_eq!(found, [55_000]);
        assert!((2..=3).contains(&calls), "{calls} calls");
    }
    // With an index of its own it is one step.
    let by_type = EventQuery {
        event_types: vec!["Rare".into()],
        ..EventQuery::of_tenant("acme")
    };
    let page = store.query(&by_type).await.unwrap();
    assert_eq!((page.events.len(), page.end), (1, true));
}

async fn pages_do_not_shift_while_events_are_appended(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..6 {
        store.append(one(n, ExpectedVersion::Any)).await.unwrap();
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let mut query = EventQuery {
            limit: 2,
            direction,
            at_most: Some(Position(6)),
            ..EventQuery::of_tenant("acme")
        };
        let mut seen = Vec::new();
        loop {
            let page = store.query(&query).await.unwrap();
            seen.extend(page.events.iter().map(|event| event.position.0));
            store
                .append(one("more", ExpectedVersion::Any))
                .await
                .unwrap();
            if page.end {
                break;
            }
            query = query.continued(page.next.unwrap());
        }
        if direction == Direction::Backward {
            seen.reverse();
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    }
}

async fn the_end_of_a_query_tells_where_to_look_again_if_anything_can_come(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let events = vec![event(1), event(2)];
    let append = Append::new(vec![write("a", ExpectedVersion::Any, events)]);
    store.append(append).await.unwrap();
    let other = EventQuery::of_tenant("bolt");

    let page = store.query(&other).await.unwrap();
    assert_eq!(
        (page.events.len(), page.next, page.end),
        (0, Some(Position(2)), true)
    );
    let again = other.continued(page.next.unwrap());
    let page = store.query(&again).await.unwrap();
    assert_eq!(
        (page.events.len(), page.next, page.end),
        (0, Some(Position(2)), true)
    );

    let open = EventQuery {
        limit: 2,
        ..EventQuery::default()
    };
    let page = store.query(&open).await.unwrap();
    assert_eq!(
        (page.events.len(), page.next, page.end),
        (2, Some(Position(2)), true)
    );

    // Bounded above, or backward: nothing will ever follow.
    let closed = EventQuery {
        at_most: Some(Position(2)),
        ..open.clone()
    };
    let backward = EventQuery {
        direction: Direction::Backward,
        ..open.clone()
    };
    let until = EventQuery {
        recorded_until: Some(all(&*store).await[0].recorded_at),
        ..open
    };
    for query in [closed, backward, until] {
        let page = store.query(&query).await.unwrap();
        assert_eq!((page.next, page.end), (None, true), "{query:?}");
    }
}

async fn an_empty_store_answers_an_empty_page(database: Arc<Database>) {
    let store = database.open().await;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = EventQuery {
            direction,
            ..EventQuery::default()
        };
        let page = store.query(&query).await.unwrap();
        assert!(page.events.is_empty() && page.end);
    }
}

async fn a_cursor_beyond_the_end_is_refused(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let forward = EventQuery {
        after: Some(Position(2)),
        ..EventQuery::default()
    };
    let backward = EventQuery {
        at_most: Some(Position(2)),
        direction: Direction::Backward,
        ..EventQuery::default()
    };
    for query in [forward, backward] {
        let error = store.query(&query).await.unwrap_err();
        let (cursor, head) = (Position(2), Position(1));
        assert_eq!(error, ReadError::AheadOfStore { cursor, head });
    }
    // A bound that is not where one comes from may lie anywhere.
    let bounded = EventQuery {
        at_most: Some(Position(u64::MAX)),
        ..EventQuery::default()
    };
    assert_eq!(store.query(&bounded).await.unwrap().events.len(), 1);
}

async fn what_can_never_be_answered_is_refused_with_the_field(database: Arc<Database>) {
    let store = database.open().await;
    let nul = EventQuery::of_tenant("a\0");
    let limit = EventQuery {
        limit: 0,
        ..EventQuery::default()
    };
    for (expected, query) in [("tenant", nul), ("limit", limit)] {
        for answer in [
            store.query(&query).await,
            store.at_least(Position::START).query(&query).await,
        ] {
            match answer.unwrap_err() {
                ReadError::Invalid { field, .. } => assert_eq!(field, expected),
                other => panic!("{other}"),
            }
        }
    }
}

async fn a_position_is_waited_for_until_another_store_has_written_it(database: Arc<Database>) {
    let options = || Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let (here, there) = (database.open_with(options()).await, database.open().await);
    assert_eq!(
        here.wait_for(Position::START, Duration::ZERO)
            .await
            .unwrap(),
        Position::START
    );
    let waiting = {
        let here = Arc::clone(&here);
        tokio::spawn(async move { here.wait_for(Position(3), crate::database::PATIENCE).await })
    };
    for n in 0..3 {
        assert!(!waiting.is_finished());
        there.append(one(n, ExpectedVersion::Any)).await.unwrap();
    }
    assert_eq!(waiting.await.unwrap().unwrap(), Position(3));
}

async fn a_position_that_does_not_come_is_a_clear_error(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let bound = Duration::from_millis(30);
    let error = store.wait_for(Position(2), bound).await.unwrap_err();
    let (position, head) = (Position(2), Position(1));
    assert_eq!(error, ReadError::NotReached { position, head });
    assert_eq!(error.code(), "SIGNET-EVENTS-0015");
}

async fn waiting_ends_when_the_store_is_closed(database: Arc<Database>) {
    let store = database.open().await;
    let wait = store.wait_for(Position(1), crate::database::PATIENCE);
    let (waited, ()) = tokio::join!(wait, store.close());
    assert!(
        matches!(waited, Err(ReadError::Unavailable { .. })),
        "{waited:?}"
    );
}

async fn reads_through_a_view_without_a_replica_go_to_the_primary(database: Arc<Database>) {
    let store = database.open().await;
    let appended = store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let view = store.at_least(appended.last);
    assert_eq!(view.head().await.unwrap(), Position(1));
    assert_eq!(view.read_all(Position::START, 9).await.unwrap().len(), 1);
    let statistics = store.read_statistics();
    assert_eq!((statistics.primary, statistics.replica), (2, 0));
    assert_eq!(statistics.replica_head, None);

    let error = store.at_least(Position(2)).head().await.unwrap_err();
    let (cursor, head) = (Position(2), Position(1));
    assert_eq!(error, ReadError::AheadOfStore { cursor, head });
}
