//! Finding a border among ordered keys by a few look-ups, several in one statement. Pure.

/// Look-ups per statement: a round trip costs more than they do.
const PROBES: u64 = 15;

/// Where `below` ends: every key up to some border is below the target, and none after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bisection {
    /// Greatest key known to be below.
    below: u64,
    /// Smallest key known not to be below.
    beyond: u64,
}

impl Bisection {
    /// Looks for the border among the keys above `after` and up to `up_to`.
    pub(super) fn new(after: u64, up_to: u64) -> Self {
        Self {
            below: after,
            beyond: up_to.max(after).saturating_add(1),
        }
    }

    /// The keys to look up next; none when the border is found.
    pub(super) fn probes(&self) -> Vec<u64> {
        let unknown = self.beyond - self.below - 1;
        let count = unknown.min(PROBES);
        (1..=count)
            .map(|nth| {
                let step = u128::from(unknown + 1) * u128::from(nth) / u128::from(count + 1);
                self.below + u64::try_from(step).unwrap_or(unknown)
            })
            .collect()
    }

    /// Takes note of what a look-up said.
    pub(super) fn narrow(&mut self, key: u64, is_below: bool) {
        if is_below {
            self.below = self.below.max(key);
        } else {
            self.beyond = self.beyond.min(key);
        }
        // Answers that contradict each other must not keep anybody busy for ever.
        self.beyond = self.beyond.max(self.below + 1);
    }

    /// The last key that is below the target, `after` if none is.
    pub(super) fn border(&self) -> u64 {
        self.below
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bisection, PROBES};

    fn find(after: u64, up_to: u64, border: u64) -> (u64, usize) {
        let mut bisection = Bisection::new(after, up_to);
        let mut rounds = 0;
        loop {
            let probes = bisection.probes();
            if probes.is_empty() {
                return (bisection.border(), rounds);
            }
            assert!(probes.len() as u64 <= PROBES);
            rounds += 1;
            for probe in probes {
                assert!(probe > after && probe <= up_to);
                bisection.narrow(probe, probe <= border);
            }
        }
    }

    proptest! {
        #[test]
        fn the_border_is_found_wherever_it_lies(
            after in 0_u64..1000,
            length in 0_u64..5000,
            place in 0.0..=1.0,
        ) {
            let border = after + (length as f64 * place) as u64;
            prop_assert_eq!(find(after, after + length, border).0, border);
        }
    }

    #[test]
    fn ten_million_keys_take_six_statements() {
        for border in [0, 1, 4_999_999, 9_999_999, 10_000_000] {
            let (found, rounds) = find(0, 10_000_000, border);
            assert_eq!(found, border);
            assert!(rounds <= 6, "{rounds} rounds");
        }
    }

    #[test]
    fn nothing_is_looked_up_in_an_empty_range() {
        assert_eq!(find(7, 7, 7), (7, 0));
        assert_eq!(find(7, 3, 7), (7, 0));
    }

    #[test]
    fn contradictory_answers_end() {
        let mut bisection = Bisection::new(0, 100);
        let mut rounds = 0;
        while let probes @ [_, ..] = bisection.probes().as_slice() {
            rounds += 1;
            assert!(rounds < 100);
            for (nth, probe) in probes.iter().copied().enumerate() {
                bisection.narrow(probe, nth % 2 == 1);
            }
        }
    }
}
