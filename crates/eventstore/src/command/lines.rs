//! Three lines of those who wait, one for each priority. Pure.
//!
//! High goes before normal before low, and within a line first come, first served. Only that a line
//! that others were called before [`PASSED_OVER`] times in a row is called next: so low ones get one
//! turn in nine at least, whatever else comes, and nobody waits for ever.

use std::collections::VecDeque;

use super::call::Priority;

/// How often others may be called before a line that is less urgent.
pub(super) const PASSED_OVER: u32 = 8;

#[derive(Debug)]
pub(super) struct Lines<T> {
    lines: [Line<T>; 3],
    /// Longest line.
    bound: usize,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<T>,
    passed_over: u32,
}

impl<T> Lines<T> {
    pub(super) fn new(bound: usize) -> Self {
        let line = || Line {
            waiting: VecDeque::new(),
            passed_over: 0,
        };
        Self {
            lines: [line(), line(), line()],
            bound,
        }
    }

    /// Puts one at the end of its line; false: the line is full. Those that went away do not count.
    pub(super) fn push(&mut self, priority: Priority, one: T, waits: impl Fn(&T) -> bool) -> bool {
        let line = &mut self.lines[priority as usize].waiting;
        if line.len() >= self.bound {
            line.retain(waits);
        }
        let fits = line.len() < self.bound;
        if fits {
            line.push_back(one);
        }
        fits
    }

    /// Takes the next one that still waits.
    pub(super) fn pop(&mut self, waits: impl Fn(&T) -> bool) -> Option<T> {
        for line in &mut self.lines {
            while line.waiting.front().is_some_and(|one| !waits(one)) {
                line.waiting.pop_front();
            }
            if line.waiting.is_empty() {
                line.passed_over = 0;
            }
        }
        let overdue = (0..self.lines.len())
            .filter(|line| self.lines[*line].passed_over >= PASSED_OVER)
            .max_by_key(|line| self.lines[*line].passed_over);
        let most_urgent =
            || (0..self.lines.len()).find(|line| !self.lines[*line].waiting.is_empty());
        let called = overdue.or_else(most_urgent)?;
        for line in &mut self.lines[called + 1..] {
            if !line.waiting.is_empty() {
                line.passed_over += 1;
            }
        }
        let line = &mut self.lines[called];
        line.passed_over = 0;
        line.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Lines, PASSED_OVER};
    use crate::command::Priority::{self, High, Low, Normal};

    fn all<T>(_: &T) -> bool {
        true
    }

    #[test]
    fn the_urgent_go_first_and_the_early_among_equals() {
        let mut lines = Lines::new(10);
        for (n, priority) in [Low, Normal, High, Low, High, Normal]
            .into_iter()
            .enumerate()
        {
            assert!(lines.push(priority, n, all));
        }
        let called: Vec<_> = std::iter::from_fn(|| lines.pop(all)).collect();
        assert_eq!(called, [2, 4, 1, 5, 0, 3]);
    }

    #[test]
    fn low_ones_do_not_starve_under_a_flood_of_urgent_ones() {
        let mut lines = Lines::new(10);
        assert!(lines.push(Low, Low, all) && lines.push(Normal, Normal, all));
        let mut turns = Vec::new();
        while !turns.contains(&Low) || !turns.contains(&Normal) {
            lines.push(High, High, all);
            turns.push(lines.pop(all).unwrap());
        }
        assert!(turns.len() as u32 <= PASSED_OVER + 2, "{turns:?}");
    }

    #[test]
    fn a_line_is_bounded_alone_and_without_those_who_left() {
        let mut lines = Lines::new(2);
        assert!(lines.push(Low, (1, false), all) && lines.push(Low, (2, true), all));
        assert!(!lines.push(Low, (3, true), all));
        assert!(lines.push(High, (4, true), all));
        assert!(lines.push(Low, (5, true), |one| one.1));
        let called: Vec<_> = std::iter::from_fn(|| lines.pop(|one| one.1)).collect();
        assert_eq!(called, [(4, true), (2, true), (5, true)]);
    }

    proptest! {
        /// Nobody is lost, and nobody of one line is called before an earlier one of it.
        #[test]
        fn everybody_gets_a_turn_in_the_order_of_the_line(
            steps in prop::collection::vec(prop::option::of(0_usize..3), 0..200),
        ) {
            let mut lines = Lines::new(usize::MAX);
            let mut called: Vec<(Priority, usize)> = Vec::new();
            let mut pushed = 0;
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Some(priority) => {
                        let priority = [High, Normal, Low][priority];
                        prop_assert!(lines.push(priority, (priority, n), all));
                        pushed += 1;
                    }
                    None => called.extend(lines.pop(all)),
                }
            }
            called.extend(std::iter::from_fn(|| lines.pop(all)));
            prop_assert_eq!(called.len(), pushed);
            for priority in [High, Normal, Low] {
                let line: Vec<_> = called.iter().filter(|one| one.0 == priority).collect();
                prop_assert!(line.is_sorted());
            }
        }
    }
}
