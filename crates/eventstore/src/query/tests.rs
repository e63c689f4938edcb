//! What is asked for decides which index is used; what cannot be answered is refused.

use ::time::macros::datetime;
use proptest::prelude::*;
use uuid::Uuid;

use super::plan::{Index, Plan};
use super::range::Range;
use super::{Direction, EventQuery};
use crate::error::ReadError;
use crate::event::Position;

fn all() -> EventQuery {
    EventQuery {
        tenant: Some("acme".into()),
        stream_type: Some("order".into()),
        stream_id: Some("1".into()),
        event_types: vec!["Paid".into(), "Placed".into(), "Paid".into()],
        correlation_id: Some(Uuid::from_u128(7)),
        ..EventQuery::default()
    }
}

#[test]
fn a_whole_stream_key_goes_by_the_stream() {
    let query = all();
    let plan = Plan::choose(&query);
    assert_eq!(plan.index, Index::Stream(["acme", "order", "1"]));
    assert_eq!(plan.remaining.event_types, ["Paid", "Placed"]);
    assert_eq!(plan.remaining.correlation_id, query.correlation_id);
    assert_eq!(plan.remaining.tenant, None);
    assert_eq!(plan.remaining.stream_id, None);
}

#[test]
fn a_correlation_id_goes_before_tenant_and_type() {
    let query = EventQuery {
        stream_id: None,
        ..all()
    };
    let plan = Plan::choose(&query);
    assert_eq!(plan.index, Index::Correlation);
    assert_eq!(plan.remaining.tenant, Some("acme"));
    assert_eq!(plan.remaining.stream_type, Some("order"));
    assert_eq!(plan.remaining.event_types, ["Paid", "Placed"]);
    assert_eq!(plan.remaining.correlation_id, None);
}

#[test]
fn types_of_a_tenant_are_looked_up_one_by_one_and_each_once() {
    let query = EventQuery {
        stream_id: None,
        correlation_id: None,
        ..all()
    };
    let plan = Plan::choose(&query);
    assert_eq!(plan.index, Index::Types("acme"));
    assert_eq!(plan.remaining.event_types, [""; 0]);
    assert_eq!(plan.remaining.stream_type, Some("order"));
    let range = Range {
        after: 0,
        up_to: 9,
        direction: Direction::Forward,
    };
    assert_eq!(plan.looks(range, 5).len(), 2);
}

#[test]
fn a_tenant_goes_by_its_own_index_and_all_others_by_the_primary_key() {
    let tenant = EventQuery::of_tenant("acme");
    let plan = Plan::choose(&tenant);
    assert_eq!(plan.index, Index::Tenant("acme"));
    assert!(plan.remaining.is_empty());

    let others = EventQuery {
        tenant: None,
        correlation_id: None,
        ..all()
    };
    let plan = Plan::choose(&others);
    assert_eq!(plan.index, Index::Positions);
    assert_eq!(plan.remaining.stream_id, Some("1"));
    assert_eq!(plan.remaining.event_types, ["Paid", "Placed"]);
}

#[test]
fn what_cannot_be_answered_is_refused_by_the_field() {
    let query = EventQuery::default;
    let refused = [
        (
            "limit",
            EventQuery {
                limit: 0,
                ..query()
            },
        ),
        (
            "limit",
            EventQuery {
                limit: 1001,
                ..query()
            },
        ),
        ("tenant", EventQuery::of_tenant("")),
        ("tenant", EventQuery::of_tenant("a\0b")),
        (
            "stream_type",
            EventQuery {
                stream_type: Some("\0".into()),
                ..query()
            },
        ),
        (
            "stream_id",
            EventQuery {
                stream_id: Some(String::new()),
                ..query()
            },
        ),
        (
            "event_types",
            EventQuery {
                event_types: vec!["A".into(), "\0".into()],
                ..query()
            },
        ),
        (
            "event_types",
            EventQuery {
                event_types: vec!["A".into(); 21],
                ..query()
            },
        ),
        (
            "recorded_until",
            EventQuery {
                recorded_from: Some(datetime!(2026-01-01 0:00:01 UTC)),
                recorded_until: Some(datetime!(2026-01-01 0:00 UTC)),
                ..query()
            },
        ),
        (
            "at_most",
            EventQuery {
                after: Some(Position(2)),
                at_most: Some(Position(1)),
                ..query()
            },
        ),
    ];
    for (expected, query) in refused {
        match query.check() {
            Err(error @ ReadError::Invalid { field, .. }) => {
                assert_eq!(field, expected, "{query:?}");
                assert_eq!(error.code(), "SIGNET-EVENTS-0014");
            }
            other => panic!("{other:?} for {query:?}"),
        }
    }
    all().check().unwrap();
    EventQuery {
        limit: 1000,
        ..query()
    }
    .check()
    .unwrap();
}

#[test]
fn a_query_is_read_from_json_and_a_misspelt_filter_is_refused() {
    let query: EventQuery = serde_json::from_str(
        r#"{"tenant":"acme","recorded_from":"2026-01-01T00:00:00Z","direction":"backward","at_most":7}"#,
    )
    .unwrap();
    assert_eq!(
        query,
        EventQuery {
            recorded_from: Some(datetime!(2026-01-01 0:00 UTC)),
            at_most: Some(Position(7)),
            direction: Direction::Backward,
            ..EventQuery::of_tenant("acme")
        }
    );
    serde_json::from_str::<EventQuery>(r#"{"tenent":"acme"}"#).unwrap_err();
}

proptest! {
    #[test]
    fn windows_of_a_range_follow_one_another_and_miss_nothing(
        after in 0_u64..50,
        length in 0_u64..50,
        count in 1_u64..20,
        backward in any::<bool>(),
    ) {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let mut range = Range { after, up_to: after + length, direction };
        let mut keys = Vec::new();
        while !range.is_empty() {
            let window = range.window(count);
            prop_assert!(window.up_to - window.after <= count);
            let mut part: Vec<u64> = (window.after + 1..=window.up_to).collect();
            if backward {
                part.reverse();
            }
            prop_assert_eq!(part.last().copied(), Some(window.last()));
            keys.extend(part);
            range.advance(window.last());
        }
        let mut expected: Vec<u64> = (after + 1..=after + length).collect();
        if backward {
            expected.reverse();
        }
        prop_assert_eq!(keys, expected);
    }
}
