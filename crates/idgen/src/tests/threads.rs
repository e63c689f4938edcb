//! Many threads at one ring: every id once, and every id.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Range, Ring, RingSettings};

const TAKERS: u64 = 8;

fn ring(capacity: u64) -> Ring {
    Ring::new(RingSettings {
        capacity,
        refill_at_percent: 10,
        outage_budget: Duration::from_secs(60),
    })
}

/// Ranges of uneven lengths, some of one id, that together are `0..total`.
fn ranges(total: u64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < total {
        let epoch = ranges.len() as u64 + 1;
        let end = (start + 1 + epoch * 7919 % 997).min(total);
        ranges.push(Range::new(start, end, 1, epoch).unwrap());
        start = end;
    }
    ranges
}

/// One turn of a thread: singles, many, exact, in an order of its own.
fn turn(ring: &Ring, turn: u64, ids: &mut Vec<u64>) {
    match turn % 5 {
        0 | 1 => ids.extend(ring.take()),
        2 => ids.extend(ring.take_many(turn % 37).into_iter().flatten()),
        3 => {
            let wanted = turn % 211;
            if let Some(ranges) = ring.take_exact(wanted) {
                let got: u64 = ranges.iter().map(Range::len).sum();
                assert_eq!(got, wanted);
                ids.extend(ranges.into_iter().flatten());
            }
        }
        _ => {
            for _ in 0..20 {
                ids.extend(ring.take());
            }
        }
    }
}

fn every_id_once(taken: Vec<Vec<u64>>, total: u64) {
    let mut ids: Vec<u64> = taken.into_iter().flatten().collect();
    ids.sort_unstable();
    assert_eq!(ids.len() as u64, total);
    assert!(
        ids.iter().copied().eq(0..total),
        "an id is missing or doubled"
    );
}

#[test]
fn eight_threads_share_what_another_pushes() {
    const TOTAL: u64 = 400_000;
    let ring = ring(20_000);
    let done = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|taker| {
                let (ring, done) = (&ring, &done);
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    for round in taker.. {
                        // Read before the last look into the ring, so that nothing is left behind.
                        let last = done.load(Ordering::Acquire);
                        let before = ids.len();
                        turn(ring, round, &mut ids);
                        if ids.len() == before {
                            ids.extend(ring.take());
                        }
                        if ids.len() == before {
                            if last {
                                break;
                            }
                            thread::yield_now();
                        }
                    }
                    ids
                })
            })
            .collect();
        for range in ranges(TOTAL) {
            while ring.push(range).is_err() {
                thread::yield_now();
            }
            assert!(ring.level() <= 20_000 + 1000);
        }
        done.store(true, Ordering::Release);
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect()
    });
    every_id_once(taken, TOTAL);
    assert_eq!((ring.level(), ring.taken()), (0, TOTAL));
}

#[test]
fn eight_threads_empty_one_large_range() {
    // The fast path and nothing else, long enough for every pair of threads to meet in it.
    const TOTAL: u64 = 2_000_000;
    let ring = ring(TOTAL);
    ring.push(Range::new(0, TOTAL, 1, 1).unwrap()).unwrap();
    let start = Barrier::new(TAKERS as usize);
    let taken = thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    std::iter::from_fn(|| ring.take()).collect::<Vec<u64>>()
                })
            })
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect()
    });
    every_id_once(taken, TOTAL);
}

#[test]
fn eight_threads_empty_a_ring_of_single_ids() {
    // A change of block for every id: the slow path under contention.
    const TOTAL: u64 = 4000;
    let ring = ring(TOTAL);
    for id in 0..TOTAL {
        ring.push(Range::new(id, id + 1, 1, id + 1).unwrap())
            .unwrap();
    }
    let taken = thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|_| scope.spawn(|| std::iter::from_fn(|| ring.take()).collect::<Vec<u64>>()))
            .collect();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect()
    });
    every_id_once(taken, TOTAL);
}

#[test]
fn what_is_read_beside_the_takers_is_never_absurd() {
    const TOTAL: u64 = 200_000;
    let ring = ring(TOTAL);
    for range in ranges(TOTAL) {
        ring.push(range).unwrap();
    }
    thread::scope(|scope| {
        for taker in 0..TAKERS / 2 {
            let ring = &ring;
            scope.spawn(move || {
                for round in taker.. {
                    let mut ids = Vec::new();
                    turn(ring, round, &mut ids);
                    if ids.is_empty() && ring.take().is_none() {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            let (mut taken, mut level) = (0, TOTAL);
            while level > 0 {
                let (taken_now, level_now) = (ring.taken(), ring.level());
                assert!(taken_now >= taken, "taken went back");
                assert!(level_now <= level, "the level rose and nobody pushed");
                (taken, level) = (taken_now, level_now);
            }
        });
    });
    assert_eq!(ring.taken(), TOTAL);
}
