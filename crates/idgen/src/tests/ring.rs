//! The ring against a model: a plain queue of ids.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{InvalidRange, MAX_ID, Range, RangeRefused, Ring, RingSettings};

fn ring(capacity: u64) -> Ring {
    Ring::new(RingSettings {
        capacity,
        refill_at_percent: 10,
        outage_budget: Duration::from_secs(60),
    })
}

fn range(start: u64, end: u64, epoch: u64) -> Range {
    Range::new(start, end, 1, epoch).unwrap()
}

fn ids(ranges: impl IntoIterator<Item = Range>) -> Vec<u64> {
    ranges.into_iter().flatten().collect()
}

#[test]
fn ids_come_in_the_order_of_the_ranges() {
    let ring = ring(100);
    ring.push(Range::new(1, 6, 2, 1).unwrap()).unwrap();
    ring.push(range(100, 102, 2)).unwrap();
    let taken: Vec<u64> = std::iter::from_fn(|| ring.take()).collect();
    assert_eq!(taken, [1, 3, 5, 100, 101]);
    assert_eq!((ring.level(), ring.taken()), (0, 5));
}

#[test]
fn exactly_is_all_or_nothing_across_ranges() {
    let ring = ring(100);
    for start in [0, 10, 20] {
        ring.push(range(start, start + 5, start + 1)).unwrap();
    }
    assert_eq!(ring.take(), Some(0));
    assert_eq!(ring.take_exact(15), None);
    assert_eq!((ring.level(), ring.taken()), (14, 1));
    let taken = ids(ring.take_exact(12).unwrap());
    assert_eq!(taken, [1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22]);
    assert_eq!((ring.level(), ring.taken()), (2, 13));
    assert_eq!(ring.take(), Some(23));
    assert_eq!(ids(ring.take_many(10)), [24]);
    assert_eq!(ring.take_many(10), []);
    assert_eq!(ring.take_exact(1), None);
    assert_eq!(ring.take_exact(0), Some(vec![]));
}

#[test]
fn a_range_is_taken_once() {
    let ring = ring(100);
    ring.push(range(10, 20, 1)).unwrap();
    for again in [
        range(10, 20, 1),
        range(19, 30, 1),
        range(0, 11, 1),
        range(12, 13, 2),
    ] {
        let held = range(10, 20, 1);
        assert_eq!(
            ring.push(again),
            Err(RangeRefused::Overlap { range: again, held })
        );
    }
    assert_eq!(ring.take_many(10).len(), 1);
    assert!(
        ring.push(range(10, 20, 1)).is_err(),
        "also when it is used up"
    );
    ring.push(range(20, 30, 1)).unwrap();
    ring.push(range(0, 10, 2)).unwrap();
    assert_eq!(ring.level(), 20);
}

#[test]
fn strides_that_interleave_share_no_id() {
    let ring = ring(100);
    ring.push(Range::new(0, 10, 2, 1).unwrap()).unwrap();
    ring.push(Range::new(1, 11, 2, 2).unwrap()).unwrap();
    assert!(matches!(
        ring.push(Range::new(4, 8, 2, 3).unwrap()),
        Err(RangeRefused::Overlap { .. })
    ));
    let mut taken = ids(ring.take_many(100));
    taken.sort_unstable();
    assert_eq!(taken, (0..10).collect::<Vec<_>>());
}

#[test]
fn what_was_forgotten_is_refused_as_stale() {
    let ring = ring(1_000_000);
    for epoch in 1..=2000 {
        ring.push(range(epoch * 10, epoch * 10 + 10, epoch))
            .unwrap();
        assert_eq!(ring.take_many(10).len(), 1);
    }
    for epoch in [1, 500, 976] {
        let old = range(epoch * 10, epoch * 10 + 10, epoch);
        assert_eq!(
            ring.push(old),
            Err(RangeRefused::Stale { range: old }),
            "{epoch}"
        );
    }
    for epoch in [977, 2000] {
        let old = range(epoch * 10, epoch * 10 + 10, epoch);
        assert!(
            matches!(ring.push(old), Err(RangeRefused::Overlap { .. })),
            "{epoch}"
        );
    }
    assert_eq!(ring.level(), 0);
}

#[test]
fn one_epoch_may_be_cut_into_any_number_of_pieces() {
    let ring = ring(1_000_000);
    for piece in 0..3000 {
        ring.push(range(piece, piece + 1, 7)).unwrap();
    }
    assert_eq!(ids(ring.take_many(3000)), (0..3000).collect::<Vec<_>>());
}

#[test]
fn answers_may_overtake_each_other() {
    let ring = ring(100);
    ring.push(range(20, 30, 3)).unwrap();
    ring.push(range(10, 20, 2)).unwrap();
    ring.push(range(0, 10, 1)).unwrap();
    assert_eq!(ring.level(), 30);
}

#[test]
fn a_full_ring_takes_no_more_and_one_that_is_not_takes_a_whole_range() {
    let ring = ring(10);
    ring.push(range(0, 9, 1)).unwrap();
    ring.push(range(1000, 2000, 2)).unwrap();
    let full = RangeRefused::Full {
        level: 1009,
        capacity: 10,
    };
    assert_eq!(ring.push(range(3000, 3001, 3)), Err(full));
    assert_eq!(ring.take_exact(1000).map(|ranges| ranges.len()), Some(2));
    ring.push(range(3000, 3001, 3)).unwrap();
    assert_eq!(ring.level(), 10);
}

#[test]
fn ranges_that_wait_are_bounded() {
    let ring = ring(u64::MAX);
    let pushed = (0..10_000)
        .take_while(|id| ring.push(range(*id, id + 1, *id)).is_ok())
        .count();
    assert_eq!(pushed, 4096);
}

#[test]
fn numbers_that_make_no_range_are_refused() {
    let ring = ring(10);
    let bad = Range {
        start: 5,
        end: 5,
        stride: 1,
        epoch: 1,
    };
    let empty = InvalidRange::Empty { start: 5, end: 5 };
    assert_eq!(ring.push(bad), Err(RangeRefused::Invalid(empty)));
    let bad = Range {
        start: 5,
        end: 6,
        stride: 0,
        epoch: 1,
    };
    assert_eq!(
        ring.push(bad),
        Err(RangeRefused::Invalid(InvalidRange::ZeroStride))
    );
}

#[test]
fn the_largest_ranges_do_not_overflow() {
    let ring = ring(u64::MAX);
    ring.push(range(0, MAX_ID + 1, 1)).unwrap();
    assert_eq!(ring.level(), MAX_ID + 1);
    assert_eq!(ring.take_exact(MAX_ID).map(|ranges| ranges.len()), Some(1));
    assert_eq!(ring.take(), Some(MAX_ID));
    assert_eq!(ring.take(), None);
}

#[test]
fn demand_follows_percentage_outage_budget_and_rate() {
    let ring = ring(1000);
    let demands = |rate: f64| ring.demand(rate);
    assert_eq!(demands(0.0), 1000);
    ring.push(range(0, 1000, 1)).unwrap();
    assert_eq!(ring.take_exact(899).map(|ranges| ranges.len()), Some(1));
    assert_eq!((ring.level(), demands(0.0)), (101, 0));
    // 60 s at two a second are 120 ids.
    assert_eq!((demands(1.68), demands(2.0)), (899, 899));
    assert_eq!(demands(1.66), 0);
    assert_eq!(ring.take().map(|_| demands(0.0)), Some(900));
    for odd in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        assert_eq!(demands(odd), 900, "{odd}");
    }
    ring.push(range(1000, 1800, 2)).unwrap();
    assert_eq!((ring.level(), demands(f64::INFINITY)), (900, 100));
    ring.push(range(1800, 1801, 3)).unwrap();
    assert_eq!((ring.level(), demands(f64::INFINITY)), (901, 0));
}

#[test]
fn settings_out_of_bounds_are_brought_within() {
    let ring = Ring::new(RingSettings {
        capacity: 0,
        refill_at_percent: 255,
        outage_budget: Duration::MAX,
    });
    assert_eq!((ring.capacity(), ring.demand(1e300)), (1, 1));
    ring.push(range(0, 1, 1)).unwrap();
    assert_eq!(ring.demand(1e300), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Push { gap: u64, count: u64, stride: u64 },
    Take,
    Many(u64),
    Exact(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..5, 1_u64..20, 1_u64..4)
            .prop_map(|(gap, count, stride)| Step::Push { gap, count, stride }),
        4 => Just(Step::Take),
        2 => (0_u64..40).prop_map(Step::Many),
        2 => (0_u64..40).prop_map(Step::Exact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_ring_is_a_queue(steps in vec(step(), 0..80)) {
        let ring = ring(60);
        let mut model = VecDeque::new();
        let (mut free, mut epoch, mut taken) = (0, 0, 0_u64);
        for step in steps {
            let got = match step {
                Step::Push { gap, count, stride } => {
                    epoch += 1;
                    let start = free + gap;
                    let range = Range::new(start, start + count * stride, stride, epoch).unwrap();
                    free = range.end;
                    let pushed = ring.push(range);
                    prop_assert_eq!(pushed.is_ok(), model.len() < 60);
                    if pushed.is_ok() {
                        model.extend(range.ids());
                    }
                    vec![]
                }
                Step::Take => ring.take().into_iter().collect(),
                Step::Many(n) => {
                    let got = ids(ring.take_many(n));
                    prop_assert_eq!(got.len(), model.len().min(n as usize));
                    got
                }
                Step::Exact(n) => {
                    let got = ring.take_exact(n);
                    prop_assert_eq!(got.is_some(), model.len() >= n as usize);
                    let got = ids(got.unwrap_or_default());
                    prop_assert!(got.is_empty() || got.len() == n as usize);
                    got
                }
            };
            taken += got.len() as u64;
            let expected: Vec<u64> = model.drain(..got.len()).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(ring.level(), model.len() as u64);
            prop_assert_eq!(ring.taken(), taken);
        }
    }
}
