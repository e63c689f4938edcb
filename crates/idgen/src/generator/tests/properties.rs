//! Whatever is asked, in whatever order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Range;

const NAMESPACES: [&str; 3] = ["shop", "mail", "bank"];

fn namespace() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&NAMESPACES[..])
}

/// Small numbers, so that segments meet; and the edges of what numbers there are.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0_u64..120,
        1 => (crate::MAX_ID - 60)..=(crate::MAX_ID + 1),
        1 => Just(u64::MAX),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let segments = (
        number(),
        prop_oneof![3 => 1_u64..60, 1 => number()],
        0_u64..12,
    )
        .prop_map(|(start, size, step)| segment(start, start.saturating_add(size), step));
    prop_oneof![15 => segments, 1 => Just(snowflake("2026-01-01T00:00:00Z", ""))]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (namespace(), spec()).prop_map(|(namespace, spec)| declare(namespace, spec)),
        1 => namespace().prop_map(remove),
        6 => (namespace(), prop_oneof![0_u64..40, Just(u64::MAX)])
            .prop_map(|(namespace, count)| allocate(namespace, count)),
    ]
}

/// Growing what is there, which random declarations seldom do.
fn grown(state: &State, namespace: &str, by: u64) -> Option<Command> {
    let mut spec = state.members.get(namespace)?.spec.clone();
    if let Algorithm::Segment(segment) = &mut spec.algorithm {
        segment.max = segment.max.saturating_add(by);
    }
    Some(declare(namespace, spec))
}

#[derive(Clone, Debug)]
enum Move {
    Command(Command),
    Grow(&'static str, u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        10 => command().prop_map(Move::Command),
        1 => (namespace(), 0_u64..30).prop_map(|(namespace, by)| Move::Grow(namespace, by)),
    ];
    vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_id_is_ever_committed_twice(moves in moves()) {
        let mut state = State::default();
        let mut ranges: Vec<Range> = Vec::new();
        for one in moves {
            let command = match one {
                Move::Command(command) => command,
                Move::Grow(namespace, by) => match grown(&state, namespace, by) {
                    Some(command) => command,
                    None => continue,
                },
            };
            for event in decide(&state, command).unwrap_or_default() {
                if let Event::RangeAllocated { namespace, range, .. } = &event {
                    let segment = state.member(namespace).unwrap().segment().unwrap();
                    prop_assert!(!range.is_empty());
                    // Its ends only: a range may have 2^59 ids.
                    let inside = segment.contains(range.start) && segment.contains(range.end - 1);
                    prop_assert!(inside, "{range:?} of {segment:?}");
                    for earlier in &ranges {
                        prop_assert!(range.start >= earlier.end || earlier.start >= range.end);
                    }
                    prop_assert_eq!(range.epoch, ranges.len() as u64 + 1);
                    ranges.push(*range);
                }
                let stored = serde_json::to_string(&event).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Event>(&stored).unwrap(), &event);
                state = evolve(state, &event);
            }
        }
    }

    #[test]
    fn declared_segments_never_share_an_id(moves in moves()) {
        let mut state = State::default();
        for one in moves {
            let Move::Command(command) = one else { continue };
            for event in decide(&state, command).unwrap_or_default() {
                state = evolve(state, &event);
            }
            let segments: Vec<Segment> = NAMESPACES
                .iter()
                .filter_map(|namespace| state.member(namespace)?.segment())
                .collect();
            for (place, one) in segments.iter().enumerate() {
                for other in &segments[place + 1..] {
                    prop_assert!(one.max < other.start || other.max < one.start);
                }
            }
        }
    }

    #[test]
    fn a_segment_is_handed_out_to_the_last_id(start in 0_u64..1000, size in 2_u64..500, step in 1_u64..50, count in 1_u64..100) {
        let step = step.min(size);
        let mut state = given([declare("shop", segment(start, start + size - 1, step))]);
        let mut ids = Vec::new();
        while let Ok(events) = decide(&state, allocate("shop", count)) {
            for event in events {
                let Event::RangeAllocated { range, .. } = &event else { panic!() };
                let bound = step.max(state.member("shop").unwrap().remaining() / 16);
                prop_assert!(range.len() <= bound);
                ids.extend(range.ids());
                state = evolve(state, &event);
            }
        }
        prop_assert_eq!(ids, (start..start + size).collect::<Vec<_>>());
        prop_assert_eq!(refusal(&state, allocate("shop", 1)).reason, Reason::Exhausted);
    }

    #[test]
    fn what_was_done_is_done_again_without_an_event(first in command(), second in command()) {
        let mut state = State::default();
        for command in [first, second] {
            let Ok(events) = decide(&state, command.clone()) else { continue };
            state = events.iter().fold(state, evolve);
            if !matches!(command, Command::Allocate { .. }) {
                prop_assert_eq!(decide(&state, command), Ok(vec![]));
            }
        }
    }
}
