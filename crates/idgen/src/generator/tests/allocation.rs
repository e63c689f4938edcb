//! Handing out ranges, and how events are stored.

use super::*;
use crate::{ErrorCode, MAX_ID, Range};

#[test]
fn counts_are_rounded_up_to_the_step() {
    let state = given([declare("shop", segment(1, 1_000_000, 1000))]);
    assert_eq!(allocated(&state, allocate("shop", 1)), 1..1001);
    assert_eq!(allocated(&state, allocate("shop", 1000)), 1..1001);
    assert_eq!(allocated(&state, allocate("shop", 1001)), 1..2001);
}

#[test]
fn nobody_gets_more_than_a_sixteenth_of_what_remains_or_a_step() {
    let state = given([declare("shop", segment(1, 160_000, 1000))]);
    assert_eq!(allocated(&state, allocate("shop", u64::MAX)), 1..10_001);
    // A sixteenth is not a multiple of the step: whole steps below it.
    let state = given([declare("shop", segment(1, 168_000, 1000))]);
    assert_eq!(allocated(&state, allocate("shop", 50_000)), 1..10_001);
    let state = given([declare("shop", segment(1, 100, 50))]);
    assert_eq!(allocated(&state, allocate("shop", 100)), 1..51);
}

#[test]
fn the_last_piece_is_what_is_left_and_then_there_is_none() {
    let spec = segment(1, 25, 10);
    let history = [
        declare("shop", spec),
        allocate("shop", 10),
        allocate("shop", 10),
    ];
    let state = given(history.clone());
    assert_eq!(allocated(&state, allocate("shop", 10)), 21..26);
    let state = given(history.into_iter().chain([allocate("shop", 10)]));
    let exhausted = refusal(&state, allocate("shop", 1));
    assert_eq!(
        (exhausted.reason, exhausted.code(), exhausted.may_heal),
        (Reason::Exhausted, ErrorCode::SegmentExhausted, true)
    );
    let state = decide(&state, declare("shop", segment(1, 26, 10)))
        .unwrap()
        .iter()
        .fold(state, evolve);
    assert_eq!(allocated(&state, allocate("shop", 1)), 26..27);
}

#[test]
fn the_largest_id_is_given_and_nothing_overflows() {
    let state = given([declare("shop", segment(MAX_ID - 4, MAX_ID, 5))]);
    let events = decide(&state, allocate("shop", u64::MAX)).unwrap();
    let Event::RangeAllocated { range, .. } = &events[0] else {
        panic!()
    };
    assert_eq!(range.ids().last(), Some(MAX_ID));
    let state = events.iter().fold(state, evolve);
    assert_eq!(
        refusal(&state, allocate("shop", 1)).reason,
        Reason::Exhausted
    );

    let whole = given([declare("shop", segment(0, MAX_ID, MAX_ID + 1))]);
    assert_eq!(allocated(&whole, allocate("shop", 1)), 0..MAX_ID + 1);
}

#[test]
fn epochs_count_the_allocations_of_all_members() {
    let mut state = given([
        declare("shop", segment(1, 1000, 10)),
        declare("mail", segment(2001, 3000, 10)),
    ]);
    for (epoch, namespace) in (1..).zip(["shop", "mail", "mail", "shop"]) {
        let events = decide(&state, allocate(namespace, 10)).unwrap();
        let Event::RangeAllocated { range, owner, .. } = &events[0] else {
            panic!()
        };
        assert_eq!(
            (range.epoch, range.stride, owner.as_str()),
            (epoch, 1, "pod")
        );
        state = events.iter().fold(state, evolve);
    }
}

#[test]
fn an_allocation_names_a_count_a_generator_and_an_owner() {
    let state = given([declare("shop", segment(1, 1000, 10))]);
    assert_eq!(
        refusal(&state, allocate("shop", 0)).code(),
        ErrorCode::InvalidRequest
    );
    let unknown = refusal(&state, allocate("mail", 1));
    assert_eq!(
        (unknown.reason, unknown.code()),
        (Reason::UnknownGenerator, ErrorCode::UnknownGenerator)
    );
    for owner in [String::new(), "x".repeat(513)] {
        let command = Command::Allocate {
            namespace: "shop".into(),
            count: 1,
            owner,
        };
        assert_eq!(refusal(&state, command).code(), ErrorCode::InvalidRequest);
    }
}

#[test]
fn events_are_stored_under_these_names() {
    let range = Range::new(1, 11, 1, 1).unwrap();
    for (event, stored) in [
        (
            Event::Declared {
                namespace: "shop".into(),
                spec: segment(1, 1000, 10),
            },
            r#"{"type":"Declared","namespace":"shop","spec":{"algorithm":{"segment":{"start":1,"max":1000,"step":10}},"buffer":{"capacity":1000000,"refillAtPercent":10,"outageBudgetSeconds":600}}}"#,
        ),
        (
            Event::Changed {
                namespace: "shop".into(),
                spec: snowflake("e", "b"),
            },
            r#"{"type":"Changed","namespace":"shop","spec":{"algorithm":{"snowflake":{"epoch":"e","bits":"b"}},"buffer":{"capacity":1000000,"refillAtPercent":10,"outageBudgetSeconds":600}}}"#,
        ),
        (
            Event::Removed {
                namespace: "shop".into(),
            },
            r#"{"type":"Removed","namespace":"shop"}"#,
        ),
        (
            Event::RangeAllocated {
                namespace: "shop".into(),
                range,
                owner: "pod".into(),
            },
            r#"{"type":"RangeAllocated","namespace":"shop","range":{"start":1,"end":11,"stride":1,"epoch":1},"owner":"pod"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Event>(stored).unwrap(), event);
        assert!(stored.starts_with(&format!(r#"{{"type":"{}""#, event.event_type())));
    }
}
