//! What taking an id from the ring costs, against a bare `AtomicU64::fetch_add`, which is the least
//! that anything shared between threads can cost. Prints the JSON that `cargo xtask bench` reads.

#![allow(clippy::print_stdout)] // the result is what this prints

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use idgen::{Range, Ring, RingSettings};

/// Ids of one measurement.
const IDS: u64 = 4_000_000;
/// Measurements of each side, taken in turn; the median counts.
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = thread::available_parallelism()?.get().max(2) as u64;
    let results = [
        compare(
            "ring/take",
            "one id at a time, one thread, one range",
            1,
            1,
            8.0,
        ),
        compare(
            "ring/take-shared",
            &format!("one id at a time, {threads} threads"),
            threads,
            1,
            8.0,
        ),
        compare(
            "ring/take-blocks",
            "one id at a time, one thread, ranges of 1000",
            1,
            IDS / 1000,
            8.0,
        ),
    ];
    println!("{}", serde_json::to_string(&results)?);
    Ok(())
}

fn compare(id: &str, work: &str, threads: u64, ranges: u64, at_most: f64) -> serde_json::Value {
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ring = filled(ranges);
        ours.push(nanoseconds(threads, || ring.take()));
        let counter = AtomicU64::new(0);
        baseline.push(nanoseconds(threads, || {
            Some(counter.fetch_add(1, Ordering::Relaxed))
        }));
    }
    let (ours, baseline) = (median(ours), median(baseline));
    let ratio = ours / baseline;
    serde_json::json!({
        "id": id,
        "work": work,
        "unit": "ns/id",
        "ours": ours,
        "baseline": baseline,
        "baseline_name": "AtomicU64::fetch_add",
        "ratio": ratio,
        "goal": format!("ratio at most {at_most}"),
        "holds": ratio <= at_most,
    })
}

/// A ring with [`IDS`] ids in so many ranges.
fn filled(ranges: u64) -> Ring {
    let ring = Ring::new(RingSettings {
        capacity: IDS,
        refill_at_percent: 10,
        outage_budget: Duration::from_secs(60),
    });
    let length = IDS / ranges;
    for number in 0..ranges {
        let range = Range::new(number * length, (number + 1) * length, 1, number + 1);
        ring.push(range.expect("it has ids"))
            .expect("the ring has room");
    }
    ring
}

/// Nanoseconds for one call, as the clock on the wall saw all threads do their share of [`IDS`].
fn nanoseconds(threads: u64, take: impl Fn() -> Option<u64> + Sync) -> f64 {
    let share = IDS / threads;
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..share {
                    black_box(take()).expect("there are enough ids");
                }
            });
        }
    });
    started.elapsed().as_secs_f64() * 1e9 / (share * threads) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
