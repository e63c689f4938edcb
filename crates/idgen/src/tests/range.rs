//! Ranges against the lists of ids they stand for.

use proptest::prelude::*;

use crate::{InvalidRange, MAX_ID, Range};

fn small() -> impl Strategy<Value = Range> {
    (0_u64..50, 1_u64..50, 1_u64..7)
        .prop_map(|(start, size, stride)| Range::new(start, start + size, stride, 1).unwrap())
}

fn list(range: &Range) -> Vec<u64> {
    (range.start..range.end)
        .step_by(range.stride as usize)
        .collect()
}

#[test]
fn numbers_that_make_no_range_are_refused() {
    assert_eq!(
        Range::new(5, 5, 1, 1),
        Err(InvalidRange::Empty { start: 5, end: 5 })
    );
    assert_eq!(
        Range::new(6, 5, 1, 1),
        Err(InvalidRange::Empty { start: 6, end: 5 })
    );
    assert_eq!(Range::new(1, 5, 0, 1), Err(InvalidRange::ZeroStride));
    assert_eq!(
        Range::new(0, MAX_ID + 2, 1, 1),
        Err(InvalidRange::TooHigh { end: MAX_ID + 2 })
    );
    assert_eq!(
        Range::new(0, MAX_ID + 1, 1, 1).map(|range| range.len()),
        Ok(MAX_ID + 1)
    );
}

#[test]
fn the_largest_ranges_do_not_overflow() {
    let mut range = Range::new(MAX_ID, MAX_ID + 1, u64::MAX, 1).unwrap();
    assert_eq!(range.ids().collect::<Vec<_>>(), [MAX_ID]);
    assert_eq!(range.get(1), None);
    assert_eq!(
        range.split_off_front(u64::MAX).map(|front| front.len()),
        Some(1)
    );
    assert!(range.is_empty());
    assert_eq!(range.split_off_front(1), None);
}

#[test]
fn a_stored_range_is_checked_when_read() {
    let text = r#"{"start":1,"end":4,"stride":2,"epoch":9}"#;
    let range = Range::new(1, 4, 2, 9).unwrap();
    assert_eq!(serde_json::from_str::<Range>(text).unwrap(), range);
    assert_eq!(serde_json::to_string(&range).unwrap(), text);
    for bad in [
        r#"{"start":1,"end":4,"stride":0,"epoch":9}"#,
        r#"{"start":4,"end":4,"stride":1,"epoch":9}"#,
        r#"{"start":0,"end":9223372036854775809,"stride":1,"epoch":9}"#,
    ] {
        assert!(serde_json::from_str::<Range>(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_range_is_its_list(range in small(), index in 0_u64..60) {
        let list = list(&range);
        prop_assert_eq!(range.len(), list.len() as u64);
        prop_assert_eq!(range.get(index), list.get(index as usize).copied());
        prop_assert_eq!(range.ids().size_hint(), (list.len(), Some(list.len())));
        prop_assert_eq!(range.into_iter().collect::<Vec<_>>(), list);
    }

    #[test]
    fn splitting_loses_and_doubles_nothing(range in small(), cuts in proptest::collection::vec(0_u64..12, 0..12)) {
        let mut rest = range;
        let mut ids = Vec::new();
        for cut in cuts {
            let before = rest.len();
            match rest.split_off_front(cut) {
                Some(front) => {
                    prop_assert_eq!(front.len(), cut.min(before));
                    ids.extend(front.ids());
                }
                None => prop_assert!(cut == 0 || before == 0),
            }
            prop_assert_eq!(rest.epoch, range.epoch);
        }
        ids.extend(rest.ids());
        prop_assert_eq!(ids, list(&range));
    }

    #[test]
    fn an_overlap_is_never_overlooked(one in small(), other in small()) {
        let shared = list(&one).iter().any(|id| list(&other).contains(id));
        prop_assert!(!shared || one.overlaps(&other));
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
        if one.stride == 1 && other.stride == 1 {
            prop_assert_eq!(one.overlaps(&other), shared);
        }
        if one.end <= other.start {
            prop_assert!(!one.overlaps(&other));
        }
    }
}
