//! Declaring, changing, removing.

use super::*;
use crate::{ErrorCode, MAX_ID};

fn field(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_first_declaration_is_declared() {
    let events = decide(&State::default(), declare("shop", segment(1, 1000, 10))).unwrap();
    assert_eq!(
        events,
        [Event::Declared {
            namespace: "shop".into(),
            spec: segment(1, 1000, 10)
        }]
    );
    let state = after(&events);
    let member = state.member("shop").unwrap();
    assert_eq!((member.next, member.remaining()), (1, 1000));
}

#[test]
fn the_same_declaration_again_is_no_event() {
    let state = given([declare("shop", segment(1, 1000, 10))]);
    assert_eq!(
        decide(&state, declare("shop", segment(1, 1000, 10))),
        Ok(vec![])
    );
}

#[test]
fn buffer_step_and_a_larger_maximum_may_change_at_any_time() {
    let state = given([declare("shop", segment(1, 1000, 10)), allocate("shop", 10)]);
    let mut changed = segment(1, 2000, 20);
    changed.buffer.capacity = 5;
    let events = decide(&state, declare("shop", changed.clone())).unwrap();
    assert_eq!(
        events,
        [Event::Changed {
            namespace: "shop".into(),
            spec: changed
        }]
    );
    let state = events.iter().fold(state, evolve);
    assert_eq!(state.member("shop").unwrap().next, 11);
}

#[test]
fn a_tenant_that_is_missing_may_come() {
    let context = Context {
        tenant_open: false,
        ..CONTEXT
    };
    let command = Command::Declare {
        namespace: "shop".into(),
        spec: segment(1, 1000, 10),
        context,
    };
    let expected = (Reason::TenantNotFound, field("spec.tenant"), true);
    assert_eq!(reason(&State::default(), command), expected);
    let context = Context {
        namespace_admitted: false,
        ..CONTEXT
    };
    let command = Command::Declare {
        namespace: "shop".into(),
        spec: segment(1, 1000, 10),
        context,
    };
    let expected = (Reason::NamespaceNotAdmitted, field("spec.tenant"), true);
    assert_eq!(reason(&State::default(), command), expected);
}

#[test]
fn a_segment_that_is_none_is_refused() {
    for (spec, kind, name) in [
        (
            segment(10, 10, 1),
            Reason::InvalidSegment,
            "spec.segment.max",
        ),
        (
            segment(10, 9, 1),
            Reason::InvalidSegment,
            "spec.segment.max",
        ),
        (
            segment(0, MAX_ID + 1, 1),
            Reason::InvalidSegment,
            "spec.segment.max",
        ),
        (
            segment(0, u64::MAX, 1),
            Reason::InvalidSegment,
            "spec.segment.max",
        ),
        (segment(1, 10, 0), Reason::InvalidStep, "spec.segment.step"),
        (segment(1, 10, 11), Reason::InvalidStep, "spec.segment.step"),
        (
            segment(1, 10, u64::MAX),
            Reason::InvalidStep,
            "spec.segment.step",
        ),
    ] {
        let found = reason(&State::default(), declare("shop", spec.clone()));
        assert_eq!(found, (kind, field(name), false), "{spec:?}");
    }
    for spec in [
        segment(0, 1, 2),
        segment(1, 10, 10),
        segment(0, MAX_ID, MAX_ID + 1),
    ] {
        assert!(
            decide(&State::default(), declare("shop", spec.clone())).is_ok(),
            "{spec:?}"
        );
    }
    let message = refusal(&State::default(), declare("shop", segment(0, u64::MAX, 1))).message;
    assert!(message.contains("9223372036854775807"), "{message}");
}

#[test]
fn a_buffer_out_of_bounds_is_refused() {
    let sound = Buffer::default();
    for (buffer, name) in [
        (
            Buffer {
                capacity: 0,
                ..sound
            },
            "spec.buffer.capacity",
        ),
        (
            Buffer {
                capacity: u64::MAX,
                ..sound
            },
            "spec.buffer.capacity",
        ),
        (
            Buffer {
                refill_at_percent: 0,
                ..sound
            },
            "spec.buffer.refillAt",
        ),
        (
            Buffer {
                refill_at_percent: 91,
                ..sound
            },
            "spec.buffer.refillAt",
        ),
        (
            Buffer {
                outage_budget_seconds: u64::MAX,
                ..sound
            },
            "spec.buffer.outageBudget",
        ),
    ] {
        let spec = Spec {
            buffer,
            ..segment(1, 1000, 10)
        };
        let found = reason(&State::default(), declare("shop", spec));
        assert_eq!(found, (Reason::InvalidBuffer, field(name), false));
    }
}

#[test]
fn segments_of_two_namespaces_never_share_an_id() {
    let state = given([declare("shop", segment(100, 199, 10))]);
    for spec in [
        segment(0, 100, 1),
        segment(199, 300, 1),
        segment(120, 130, 1),
        segment(0, 1000, 1),
        segment(100, 199, 10),
    ] {
        let found = reason(&state, declare("mail", spec.clone()));
        assert_eq!(
            found,
            (Reason::SegmentOverlap, field("spec.segment"), true),
            "{spec:?}"
        );
    }
    for spec in [segment(0, 99, 1), segment(200, 300, 1)] {
        assert!(
            decide(&state, declare("mail", spec.clone())).is_ok(),
            "{spec:?}"
        );
    }
    let both = given([
        declare("shop", segment(100, 199, 10)),
        declare("mail", segment(200, 299, 10)),
    ]);
    let grown = declare("shop", segment(100, 200, 10));
    assert_eq!(refusal(&both, grown).reason, Reason::SegmentOverlap);
}

#[test]
fn a_segment_never_shrinks() {
    let state = given([declare("shop", segment(1, 1000, 10))]);
    let found = reason(&state, declare("shop", segment(1, 999, 10)));
    assert_eq!(
        found,
        (Reason::SegmentShrunk, field("spec.segment.max"), false)
    );
}

#[test]
fn a_start_moves_only_before_ids_were_handed_out() {
    let fresh = [
        declare("shop", segment(100, 1000, 10)),
        declare("shop", segment(50, 1000, 10)),
    ];
    let state = given(fresh.clone());
    assert_eq!(state.member("shop").unwrap().next, 50);
    let state = given(fresh.into_iter().chain([allocate("shop", 1)]));
    for start in [49, 51, 60, 61] {
        let found = reason(&state, declare("shop", segment(start, 1000, 10)));
        assert_eq!(
            found,
            (Reason::SegmentMoved, field("spec.segment.start"), false),
            "{start}"
        );
    }
}

#[test]
fn a_valid_snowflake_is_not_served_and_a_bad_one_is_told_why() {
    let found = |epoch: &str, bits: &str| {
        let refusal = refusal(&State::default(), declare("shop", snowflake(epoch, bits)));
        assert!(!refusal.may_heal);
        refusal.reason
    };
    for bits in [
        "",
        "1/42/3/8/10",
        "1/41/5/5/12",
        "1/63/0/0/0",
        "1/36/0/0/27",
    ] {
        let expected = if bits == "1/63/0/0/0" {
            Reason::InvalidBits
        } else {
            Reason::AlgorithmNotServed
        };
        assert_eq!(found("2026-01-01T00:00:00Z", bits), expected, "{bits}");
    }
    for epoch in [
        "",
        "2026-01-01",
        "yesterday",
        "2026-11-21T12:00:01Z",
        "2026-11-21T12:00:00-00:01",
    ] {
        assert_eq!(found(epoch, ""), Reason::InvalidEpoch, "{epoch}");
    }
    for bits in [
        "1/42/3/8",
        "1/42/3/8/11",
        "0/43/3/8/10",
        "1/35/10/8/10",
        "a",
        "1/42/3/8/10/0",
        "//",
        "1/300/3/8/10",
    ] {
        assert_eq!(
            found("2026-01-01T00:00:00Z", bits),
            Reason::InvalidBits,
            "{bits}"
        );
    }
}

#[test]
fn an_algorithm_and_an_epoch_stay() {
    let state = given([declare("shop", segment(1, 1000, 10))]);
    let found = reason(
        &state,
        declare("shop", snowflake("2026-01-01T00:00:00Z", "")),
    );
    assert_eq!(
        found,
        (Reason::AlgorithmChanged, field("spec.snowflake"), false)
    );

    // As a later release, which serves Snowflake, may have stored it.
    let stored = snowflake("2026-01-01T00:00:00Z", "");
    let state = after(&[Event::Declared {
        namespace: "shop".into(),
        spec: stored,
    }]);
    let found = reason(&state, declare("shop", segment(1, 1000, 10)));
    assert_eq!(
        found,
        (Reason::AlgorithmChanged, field("spec.segment"), false)
    );
    let moved = declare("shop", snowflake("2026-01-02T00:00:00Z", ""));
    assert_eq!(
        reason(&state, moved),
        (Reason::InvalidEpoch, field("spec.snowflake.epoch"), false)
    );
    let rewritten = declare("shop", snowflake("2026-01-01T01:00:00+01:00", ""));
    assert_eq!(
        refusal(&state, rewritten).reason,
        Reason::AlgorithmNotServed
    );
    assert_eq!(
        refusal(&state, allocate("shop", 1)).reason,
        Reason::AlgorithmNotServed
    );
}

#[test]
fn removing_is_idempotent() {
    let state = given([declare("shop", segment(1, 1000, 10))]);
    assert_eq!(
        decide(&state, remove("shop")),
        Ok(vec![Event::Removed {
            namespace: "shop".into()
        }])
    );
    assert_eq!(decide(&state, remove("mail")), Ok(vec![]));
    let state = given([declare("shop", segment(1, 1000, 10)), remove("shop")]);
    assert_eq!(state.member("shop"), None);
    assert_eq!(decide(&state, remove("shop")), Ok(vec![]));
}

#[test]
fn a_removed_generator_goes_on_where_it_stopped() {
    let history = [
        declare("shop", segment(1, 1000, 10)),
        allocate("shop", 50),
        remove("shop"),
    ];
    let state = given(history.clone());
    assert_eq!(
        refusal(&state, allocate("shop", 1)).code(),
        ErrorCode::UnknownGenerator
    );
    let again = declare("shop", segment(1, 1000, 10));
    assert!(matches!(
        decide(&state, again.clone()).as_deref(),
        Ok([Event::Declared { .. }])
    ));
    let state = given(history.into_iter().chain([again]));
    assert_eq!(allocated(&state, allocate("shop", 1)).start, 51);
}

#[test]
fn a_removed_generator_keeps_what_it_handed_out_and_nothing_else() {
    let state = given([
        declare("shop", segment(1, 1000, 10)),
        allocate("shop", 50),
        remove("shop"),
    ]);
    let found = reason(&state, declare("mail", segment(50, 1000, 10)));
    assert_eq!(
        found,
        (Reason::SegmentOverlap, field("spec.segment"), false)
    );
    assert!(decide(&state, declare("mail", segment(51, 1000, 10))).is_ok());
    // It may come back smaller, but not below what it gave, nor elsewhere.
    assert!(decide(&state, declare("shop", segment(1, 50, 10))).is_ok());
    assert_eq!(
        refusal(&state, declare("shop", segment(1, 49, 10))).reason,
        Reason::SegmentShrunk
    );
    assert_eq!(
        refusal(&state, declare("shop", segment(2, 1000, 10))).reason,
        Reason::SegmentMoved
    );

    let unused = given([declare("shop", segment(1, 1000, 10)), remove("shop")]);
    assert!(decide(&unused, declare("shop", segment(5, 20, 10))).is_ok());
    assert!(decide(&unused, declare("mail", segment(1, 1000, 10))).is_ok());
}

#[test]
fn reasons_are_words_of_their_own() {
    let words = [
        Reason::TenantNotFound,
        Reason::NamespaceNotAdmitted,
        Reason::InvalidSegment,
        Reason::InvalidStep,
        Reason::InvalidBuffer,
        Reason::SegmentOverlap,
        Reason::SegmentShrunk,
        Reason::SegmentMoved,
        Reason::InvalidEpoch,
        Reason::InvalidBits,
        Reason::AlgorithmChanged,
        Reason::AlgorithmNotServed,
        Reason::UnknownGenerator,
        Reason::InvalidRequest,
        Reason::Exhausted,
    ]
    .map(Reason::as_str);
    let distinct: std::collections::BTreeSet<_> = words.into_iter().collect();
    assert_eq!(distinct.len(), words.len());
    assert!(
        words
            .iter()
            .all(|word| word.chars().all(char::is_alphabetic))
    );
}
