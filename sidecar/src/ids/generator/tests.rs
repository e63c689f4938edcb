//! Given a ring, when ids are asked for, then each is given once, in turn, or the reason why not.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::content::Origin;

const NO_TIME: Duration = Duration::from_millis(20);
const TIME: Duration = Duration::from_secs(20);

fn known(capacity: u64) -> KnownGenerator {
    KnownGenerator {
        capacity,
        refill_at_percent: 10,
        outage_budget_seconds: 0,
        origin: Origin::Segment { start: 1 },
    }
}

fn generator(capacity: u64) -> Arc<Generator> {
    Arc::new(Generator::new("order-id", known(capacity)))
}

/// As the filler does.
fn arrive(generator: &Generator, start: u64, end: u64) {
    generator
        .ring
        .load()
        .push(Range::new(start, end, 1, 1).unwrap())
        .unwrap();
    generator.set_supply(Supply::Arriving);
}

fn ids(ranges: &[Range]) -> Vec<u64> {
    ranges.iter().flat_map(Range::ids).collect()
}

/// Waits until so many requests stand in line.
async fn in_line(generator: &Generator, count: usize) {
    while generator.waiting() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ids_at_hand_are_given_at_once() {
    let generator = generator(100);
    arrive(&generator, 1, 101);
    assert_eq!(ids(&generator.take(1, NO_TIME).await.unwrap()), [1]);
    assert_eq!(ids(&generator.take(3, NO_TIME).await.unwrap()), [2, 3, 4]);
    assert_eq!((generator.taken(), generator.level()), (4, 96));
}

#[tokio::test]
async fn a_request_waits_for_ids_and_says_what_it_lacks() {
    let generator = generator(100);
    arrive(&generator, 1, 4);
    let waiting = tokio::spawn({
        let generator = Arc::clone(&generator);
        async move { generator.take(10, TIME).await }
    });
    generator.demanded.notified().await;
    assert_eq!(generator.demand(0.0), 100, "the ring is empty: fill it");
    arrive(&generator, 10, 60);
    let given = ids(&waiting.await.unwrap().unwrap());
    assert_eq!(given, [1, 2, 3, 10, 11, 12, 13, 14, 15, 16]);
    assert_eq!(generator.demand(0.0), 0, "nobody lacks anything any more");
}

#[tokio::test]
async fn those_who_wait_are_served_in_turn_and_not_overtaken() {
    let generator = generator(100);
    let mut requests = Vec::new();
    for place in 0..5 {
        let generator = Arc::clone(&generator);
        let line = Arc::clone(&generator);
        requests.push(tokio::spawn(async move { generator.take(2, TIME).await }));
        in_line(&line, place + 1).await;
    }
    arrive(&generator, 1, 11);
    let latecomer = generator.take(1, NO_TIME);
    let mut given = Vec::new();
    let (late, ()) = tokio::join!(latecomer, async {
        for request in requests {
            given.push(ids(&request.await.unwrap().unwrap()));
        }
    });
    assert_eq!(given, [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]);
    assert!(matches!(late, Err(IdError::Late { .. })), "{late:?}");
}

#[tokio::test]
async fn a_batch_larger_than_the_ring_is_gathered() {
    let generator = generator(10);
    let waiting = tokio::spawn({
        let generator = Arc::clone(&generator);
        async move { generator.take(25, TIME).await }
    });
    for start in [1, 11, 21] {
        generator.demanded.notified().await;
        while generator.level() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(generator.demand(0.0), 10, "never more than the ring holds");
        arrive(&generator, start, start + 10);
    }
    assert_eq!(
        ids(&waiting.await.unwrap().unwrap()),
        (1..26).collect::<Vec<_>>()
    );
    assert_eq!(
        ids(&generator.take(5, NO_TIME).await.unwrap()),
        (26..31).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_was_gathered_for_a_request_that_gave_up_goes_to_the_next() {
    let generator = generator(100);
    arrive(&generator, 1, 6);
    let late = generator.take(10, NO_TIME).await;
    assert_eq!(
        late,
        Err(IdError::Late {
            name: "order-id".to_owned(),
            waited: NO_TIME
        })
    );
    arrive(&generator, 50, 60);
    let mut given = Vec::new();
    // The ring is asked before what was set aside, and nothing of either is lost.
    for _ in 0..15 {
        given.extend(ids(&generator.take(1, NO_TIME).await.unwrap()));
    }
    given.sort_unstable();
    assert_eq!(given, (1..6).chain(50..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_reason_is_what_central_says() {
    let name = || "order-id".to_owned();
    let generator = generator(100);
    generator.set_supply(Supply::Failing("central is away".to_owned()));
    let problem = "central is away".to_owned();
    let refused = generator.take(1, NO_TIME).await;
    assert_eq!(
        refused,
        Err(IdError::Unreachable {
            name: name(),
            problem
        })
    );
    // These do not wait: it would be of no use.
    generator.set_supply(Supply::Exhausted);
    assert_eq!(
        generator.take(1, TIME).await,
        Err(IdError::Exhausted { name: name() })
    );
    generator.set_supply(Supply::Unknown);
    assert_eq!(
        generator.take(1, TIME).await,
        Err(IdError::Unknown { name: name() })
    );
    generator.set_supply(Supply::Arriving);
    generator.withdrawn();
    assert_eq!(
        generator.take(1, TIME).await,
        Err(IdError::Unknown { name: name() })
    );
}

/// The filler brings what the first in line waits for, so it may not wait for the line itself.
#[tokio::test]
async fn a_new_declaration_does_not_wait_for_those_in_line() {
    let generator = generator(100);
    let waiting = tokio::spawn({
        let generator = Arc::clone(&generator);
        async move { generator.take(4, TIME).await }
    });
    generator.demanded.notified().await;
    arrive(&generator, 1, 3);
    generator.demanded.notified().await;

    generator.replace_ring(ring_for(&known(2)), false);
    arrive(&generator, 3, 8);
    assert_eq!(ids(&waiting.await.unwrap().unwrap()), [1, 2, 3, 4]);

    // Smaller than what is held: what does not fit is still given, and only once.
    generator.replace_ring(ring_for(&known(100)), false);
    arrive(&generator, 8, 10);
    generator.replace_ring(ring_for(&known(1)), false);
    assert_eq!(generator.level(), 3);
    let mut rest = ids(&generator.take(5, TIME).await.unwrap());
    rest.sort_unstable();
    assert_eq!(rest, [5, 6, 7, 8, 9]);
    generator.take(1, NO_TIME).await.unwrap_err();
}

#[tokio::test]
async fn ids_of_a_generator_that_became_another_are_dropped() {
    let generator = generator(100);
    let waiting = tokio::spawn({
        let generator = Arc::clone(&generator);
        async move { generator.take(4, TIME).await }
    });
    generator.demanded.notified().await;
    arrive(&generator, 1, 3);
    generator.demanded.notified().await;

    generator.replace_ring(ring_for(&known(100)), true);
    arrive(&generator, 1_001, 1_010);
    assert_eq!(
        ids(&waiting.await.unwrap().unwrap()),
        [1_001, 1_002, 1_003, 1_004]
    );
}

#[tokio::test]
async fn exhaustion_reaches_everybody_in_line() {
    let generator = generator(100);
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let generator = Arc::clone(&generator);
            tokio::spawn(async move { generator.take(1, TIME).await })
        })
        .collect();
    in_line(&generator, 20).await;
    generator.set_supply(Supply::Exhausted);
    for request in requests {
        assert!(matches!(
            request.await.unwrap(),
            Err(IdError::Exhausted { .. })
        ));
    }
    assert_eq!(generator.waiting(), 0);
}

#[tokio::test]
async fn the_line_is_bounded() {
    let generator = generator(100);
    let requests: Vec<_> = (0..LONGEST_LINE)
        .map(|_| {
            let generator = Arc::clone(&generator);
            tokio::spawn(async move { generator.take(1, TIME).await })
        })
        .collect();
    in_line(&generator, LONGEST_LINE).await;
    assert!(matches!(
        generator.take(1, TIME).await,
        Err(IdError::Crowded { .. })
    ));
    generator.set_supply(Supply::Exhausted);
    for request in requests {
        assert!(request.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_withdrawn_generator_asks_for_nothing_and_keeps_its_ids() {
    let generator = generator(100);
    arrive(&generator, 1, 6);
    generator.withdrawn();
    assert_eq!(generator.demand(0.0), 0);
    generator.declared(&known(100));
    assert_eq!(
        ids(&generator.take(5, NO_TIME).await.unwrap()),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(generator.demand(0.0), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_given_twice_to_many_who_ask_and_give_up() {
    let generator = generator(50);
    let feeder = tokio::spawn({
        let generator = Arc::clone(&generator);
        async move {
            let mut next = 1;
            loop {
                let wanted = generator.demand(0.0);
                if wanted == 0 {
                    generator.demanded.notified().await;
                    continue;
                }
                arrive(&generator, next, next + wanted);
                next += wanted;
            }
        }
    });
    let requests: Vec<_> = (0..200_u64)
        .map(|number| {
            let generator = Arc::clone(&generator);
            tokio::spawn(async move {
                let mut given = Vec::new();
                for round in 0..20 {
                    let count = 1 + (number * 7 + round * 13) % 90;
                    // Every third gives up almost at once.
                    let hasty = number % 3 == 0;
                    let wait = if hasty {
                        Duration::from_micros(50)
                    } else {
                        TIME
                    };
                    match generator.take(count, wait).await {
                        Ok(ranges) => given.extend(ids(&ranges)),
                        Err(error) => assert!(hasty, "ids stopped arriving: {error}"),
                    }
                }
                given
            })
        })
        .collect();
    let (mut all, mut count) = (HashSet::new(), 0);
    for request in requests {
        for id in request.await.unwrap() {
            all.insert(id);
            count += 1;
        }
    }
    feeder.abort();
    assert_eq!(all.len(), count, "an id was given twice");
    assert_eq!(generator.taken(), count as u64);
}

proptest! {
    /// Splitting neither loses nor doubles an id, and keeps their order.
    #[test]
    fn splitting_keeps_every_id(lengths in prop::collection::vec((1_u64..20, 1_u64..4), 1..6), share in 0.0..=1.0) {
        let mut start = 1;
        let mut ranges = Vec::new();
        for (length, stride) in lengths {
            let end = start + length * stride;
            ranges.push(Range::new(start, end, stride, 1).unwrap());
            start = end;
        }
        let all = ids(&ranges);
        let count = (all.len() as f64 * share) as u64;
        let taken = split_off(&mut ranges, count);
        prop_assert_eq!(ids(&taken).len() as u64, count);
        prop_assert_eq!([ids(&taken), ids(&ranges)].concat(), all);
    }
}
