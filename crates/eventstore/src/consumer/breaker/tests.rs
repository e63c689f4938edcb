use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Admission, Breaker, CircuitBreaker};

const OPEN_FOR: Duration = Duration::from_secs(10);

fn breaker(failures: u32) -> Breaker {
    Breaker::new(CircuitBreaker {
        failures,
        open_for: OPEN_FOR,
    })
}

#[test]
fn it_opens_at_the_threshold_and_lets_one_through_after_the_pause() {
    let (mut breaker, start) = (breaker(2), Instant::now());
    breaker.failed(false, start);
    assert_eq!(breaker.admit(start), Admission::Granted { trial: false });
    breaker.failed(false, start);

    let until = start + OPEN_FOR;
    assert_eq!(breaker.admit(start), Admission::WaitUntil(until));
    assert_eq!(breaker.admit(until), Admission::Granted { trial: true });
    assert_eq!(breaker.admit(until), Admission::WaitForTrial);

    breaker.succeeded(true);
    assert!(breaker.is_closed());
    assert_eq!(breaker.admit(until), Admission::Granted { trial: false });
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let (mut breaker, now) = (breaker(2), Instant::now());
    for _ in 0..5 {
        breaker.failed(false, now);
        breaker.succeeded(false);
    }
    assert!(breaker.is_closed());
}

#[test]
fn an_abandoned_trial_lets_another_one_try() {
    let (mut breaker, start) = (breaker(1), Instant::now());
    breaker.failed(false, start);
    let later = start + OPEN_FOR;
    assert_eq!(breaker.admit(later), Admission::Granted { trial: true });
    breaker.abandoned(true);
    assert_eq!(breaker.admit(later), Admission::Granted { trial: true });
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Try,
    /// One of the attempts under way ends: 0 well, 1 badly, 2 without an outcome.
    End(usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0_u64..15).prop_map(Step::Pass),
        3 => Just(Step::Try),
        3 => (0_usize..8, 0_u8..3).prop_map(|(which, how)| Step::End(which, how)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    // The model counts by itself: failures in a row, when it opened, the trials under way.
    #[test]
    fn it_is_never_open_too_early_nor_for_ever_and_tries_one_at_a_time(
        threshold in 1_u32..5,
        steps in steps(),
    ) {
        let mut breaker = breaker(threshold);
        let mut now = Instant::now();
        let mut under_way: Vec<bool> = Vec::new();
        let (mut in_a_row, mut opened): (u32, Option<Instant>) = (0, None);
        for step in steps {
            match step {
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
                Step::Try => match breaker.admit(now) {
                    Admission::Granted { trial } => {
                        prop_assert_eq!(trial, opened.is_some());
                        prop_assert!(opened.is_none_or(|at| now >= at + OPEN_FOR));
                        prop_assert!(!trial || !under_way.contains(&true));
                        under_way.push(trial);
                    }
                    Admission::WaitUntil(until) => {
                        prop_assert_eq!(opened.map(|at| at + OPEN_FOR), Some(until));
                        prop_assert!(until > now);
                    }
                    Admission::WaitForTrial => prop_assert!(under_way.contains(&true)),
                },
                Step::End(which, how) if which < under_way.len() => {
                    let trial = under_way.swap_remove(which);
                    match how {
                        0 => {
                            breaker.succeeded(trial);
                            if trial || opened.is_none() {
                                (in_a_row, opened) = (0, None);
                            }
                        }
                        1 => {
                            breaker.failed(trial, now);
                            if opened.is_none() {
                                in_a_row += 1;
                                opened = (in_a_row >= threshold).then_some(now);
                            } else if trial {
                                opened = Some(now);
                            }
                        }
                        _ => breaker.abandoned(trial),
                    }
                }
                Step::End(..) => {}
            }
            prop_assert_eq!(breaker.is_closed(), opened.is_none());
        }
    }
}
