//! Pages of any query, put together, are what a filter over all events gives: however small the
//! windows are and whatever is appended between the pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ::time::{Duration, OffsetDateTime};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use uuid::Uuid;

use super::run::{Effort, run_with};
use super::{Direction, EventQuery};
use crate::event::{
    Append, ExpectedVersion, Metadata, NewEvent, Position, RecordedEvent, StreamKey, StreamWrite,
};
use crate::options::Options;
use crate::reader::Source;
use crate::store::EventStore;

const EVENTS: u64 = 60;

/// Stands still now and then, so that events share a time.
fn clock() -> OffsetDateTime {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    OffsetDateTime::UNIX_EPOCH + Duration::microseconds(calls / 3)
}

/// An event whose every part has few values.
fn append(n: u64) -> Append {
    // Multiplied, so that the parts do not go in step.
    let pick = |salt: u64, kinds: u64| (n.wrapping_mul(2_654_435_761) >> salt) % kinds;
    let stream = StreamKey::new(
        format!("t{}", pick(3, 2)),
        format!("k{}", pick(5, 2)),
        format!("s{}", pick(7, 2)),
    );
    let mut event = NewEvent::new(format!("E{}", pick(11, 3)), 1, json!({ "n": n }));
    event.metadata = Metadata {
        correlation_id: (pick(13, 3) > 0).then(|| Uuid::from_u128(pick(17, 2).into())),
        ..Metadata::default()
    };
    Append::to(stream, ExpectedVersion::Any, vec![event])
}

async fn filled() -> Arc<dyn EventStore> {
    let options = Options {
        clock,
        ..Options::default()
    };
    let store = crate::open("sqlite::memory:", options).await.unwrap();
    // A few at once, for it is done many times; they share a time then.
    for n in (0..EVENTS).step_by(5) {
        let mut streams: BTreeMap<StreamKey, Vec<NewEvent>> = BTreeMap::new();
        for write in (n..n + 5).flat_map(|n| append(n).writes) {
            streams
                .entry(write.stream)
                .or_default()
                .extend(write.events);
        }
        let writes = streams.into_iter().map(|(stream, events)| StreamWrite {
            stream,
            expected: ExpectedVersion::Any,
            events,
        });
        store.append(Append::new(writes.collect())).await.unwrap();
    }
    store
}

/// A query whose times are given as positions of events, and microseconds beside them.
#[derive(Debug, Clone)]
struct Asked {
    query: EventQuery,
    from: Option<(u64, i64)>,
    until: Option<(u64, i64)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let text = |values: &'static [&'static str]| {
        proptest::option::of(select(values).prop_map(str::to_owned))
    };
    let position = || proptest::option::of((0..=EVENTS).prop_map(Position));
    let at = || proptest::option::of((1..=EVENTS, -2_i64..=2));
    let types = proptest::collection::vec(select(&["E0", "E1", "E2", "E9"]), 0..3);
    let correlation = proptest::option::of((0_u128..3).prop_map(Uuid::from_u128));
    let filters = (
        text(&["t0", "t1", "t9"]),
        text(&["k0", "k1"]),
        text(&["s0", "s1"]),
        types,
        correlation,
    );
    let bounds = (position(), position(), at(), at());
    (filters, bounds, 1_usize..9, any::<bool>()).prop_map(|(filters, bounds, limit, backward)| {
        let (tenant, stream_type, stream_id, types, correlation_id) = filters;
        let (after, at_most, from, until) = bounds;
        // Turned round where they would be refused.
        let (after, at_most) = match (after, at_most) {
            (Some(after), Some(at_most)) if after > at_most => (Some(at_most), Some(after)),
            bounds => bounds,
        };
        let query = EventQuery {
            tenant,
            stream_type,
            stream_id,
            event_types: types.into_iter().map(str::to_owned).collect(),
            correlation_id,
            after,
            at_most,
            limit,
            direction: if backward {
                Direction::Backward
            } else {
                Direction::Forward
            },
            ..EventQuery::default()
        };
        Asked { query, from, until }
    })
}

fn is_asked_for(query: &EventQuery, event: &RecordedEvent) -> bool {
    let is = |wanted: &Option<String>, part: &String| wanted.as_ref().is_none_or(|w| w == part);
    is(&query.tenant, &event.stream.tenant)
        && is(&query.stream_type, &event.stream.stream_type)
        && is(&query.stream_id, &event.stream.stream_id)
        && (query.event_types.is_empty() || query.event_types.contains(&event.event_type))
        && (query.correlation_id.is_none() || query.correlation_id == event.metadata.correlation_id)
        && query
            .recorded_from
            .is_none_or(|from| event.recorded_at >= from)
        && query
            .recorded_until
            .is_none_or(|until| event.recorded_at < until)
        && query.after.is_none_or(|after| event.position > after)
        && query
            .at_most
            .is_none_or(|at_most| event.position <= at_most)
}

/// All pages of a query, one event being appended after each of the first.
async fn pages(store: &dyn EventStore, query: &EventQuery, effort: Effort) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    let mut asked = query.clone();
    for page in 0.. {
        assert!(page < 1000, "it does not come to an end");
        let mut source = Source::Database(store.database());
        let got = run_with(&asked, effort, &mut source).await.unwrap();
        assert!(got.events.len() <= query.limit);
        let is_full = got.events.len() == query.limit;
        events.extend(got.events);
        if got.end {
            let goes_on = query.direction == Direction::Forward
                && query.at_most.is_none()
                && query.recorded_until.is_none();
            assert!(
                !goes_on || got.next.is_some(),
                "a later event would be missed"
            );
            break;
        }
        let next = got.next.expect("there is more, but nowhere to go on");
        assert!(
            is_full || effort.looks < 10 * EVENTS || effort.bytes < 10_000,
            "a short page for no reason"
        );
        assert_ne!(asked.cursor(), Some(next), "it does not move");
        asked = asked.continued(next);
        if page < 3 {
            store.append(append(EVENTS + page)).await.unwrap();
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn pages_put_together_are_what_a_filter_over_everything_gives(
        questions in proptest::collection::vec(asked(), 1..4),
        window in 1_u64..20,
        looks in select(&[1_u64, 7, 10_000]),
        bytes in select(&[1_usize, 300, 1 << 20]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = filled().await;
            for Asked { mut query, from, until } in questions {
                let before = store.read_all(Position::START, 1000).await.unwrap();
                let time = |(position, beside): (u64, i64)| {
                    before[position as usize - 1].recorded_at + Duration::microseconds(beside)
                };
                query.recorded_from = from.map(time);
                query.recorded_until = until.map(time);
                if query.recorded_from > query.recorded_until && query.recorded_until.is_some() {
                    query.recorded_from = None;
                }

                let paged = pages(&*store, &query, Effort { window, looks, bytes }).await;

                let after = store.read_all(Position::START, 1000).await.unwrap();
                let known = before.len() as u64;
                let of = |events: &[RecordedEvent]| -> Vec<u64> {
                    events.iter().map(|event| event.position.0).collect()
                };
                let mut expected = after.clone();
                expected.retain(|event| is_asked_for(&query, event));
                let mut paged = of(&paged);
                if query.direction == Direction::Backward {
                    // What came after the first page was asked for is not behind it.
                    expected.retain(|event| event.position.0 <= known);
                    expected.reverse();
                } else if paged.len() < expected.len() {
                    // Nor need the last page have what came after it.
                    let missed = &of(&expected)[paged.len()..];
                    assert!(missed.iter().all(|position| *position > known), "{query:?}");
                    paged.extend(missed);
                }
                assert_eq!(paged, of(&expected), "{query:?}");
            }
            store.close().await;
        });
    }
}
