//! The rate, at times that are handed in.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::RateMeter;

fn near(rate: f64, expected: f64) -> bool {
    (rate - expected).abs() <= expected * 1e-9
}

#[test]
fn a_steady_rate_is_read_from_the_second_reading_on() {
    let start = Instant::now();
    let mut meter = RateMeter::new(Duration::from_secs(10));
    assert_eq!(meter.observe(7, start), 0.0);
    for second in 1..50 {
        let rate = meter.observe(7 + second * 250, start + Duration::from_secs(second));
        assert!(near(rate, 250.0), "{rate}");
    }
}

#[test]
fn half_of_a_stopped_rate_is_left_after_a_half_life() {
    let start = Instant::now();
    let mut meter = RateMeter::new(Duration::from_secs(10));
    meter.observe(0, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    meter.observe(1_000_000, at(1000));
    let rate = meter.observe(1_000_000, at(1010));
    assert!(near(rate, 500.0), "{rate}");
}

#[test]
fn readings_close_together_are_one() {
    let start = Instant::now();
    let mut meter = RateMeter::default();
    meter.observe(0, start);
    assert_eq!(meter.observe(1000, start + Duration::from_micros(1)), 0.0);
    let rate = meter.observe(1000, start + Duration::from_secs(1));
    assert!(near(rate, 1000.0), "{rate}");
}

#[test]
fn another_ring_or_a_clock_that_stands_is_no_reading() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut meter = RateMeter::default();
    meter.observe(0, start);
    meter.observe(100, at(1));
    assert!(near(meter.observe(10, at(2)), 100.0));
    assert!(near(meter.observe(20, at(2)), 100.0));
    assert!(near(meter.observe(20, at(1)), 100.0));
    assert!(near(meter.observe(110, at(3)), 100.0));
}

proptest! {
    #[test]
    fn a_rate_lies_between_the_slowest_and_the_fastest(steps in proptest::collection::vec((100_u64..5000, 0_u64..1_000_000), 1..30)) {
        let mut now = Instant::now();
        let mut total = 0;
        let mut meter = RateMeter::default();
        meter.observe(total, now);
        let (mut slowest, mut fastest) = (f64::INFINITY, 0.0_f64);
        for (milliseconds, taken) in steps {
            now += Duration::from_millis(milliseconds);
            total += taken;
            let measured = taken as f64 * 1000.0 / milliseconds as f64;
            slowest = slowest.min(measured);
            fastest = fastest.max(measured);
            let rate = meter.observe(total, now);
            prop_assert!(rate >= slowest * 0.999_999 && rate <= fastest * 1.000_001);
        }
    }
}
