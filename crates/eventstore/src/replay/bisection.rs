//! Finding the last of some numbers that fits, where all that fit come before all that do not.

/// A search in progress; nothing is looked up here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bisection {
    /// Fits, or is the one before the first.
    low: u64,
    /// None above it fits.
    high: u64,
}

impl Bisection {
    /// Between `below`, which counts as fitting, and `last`.
    pub(super) fn new(below: u64, last: u64) -> Self {
        Self {
            low: below,
            high: last.max(below),
        }
    }

    /// What to look at next; none when the search is over.
    pub(super) fn probe(&self) -> Option<u64> {
        (self.low < self.high).then(|| self.low + (self.high - self.low).div_ceil(2))
    }

    /// Takes what was seen at [`probe`](Self::probe).
    pub(super) fn answer(&mut self, fits: bool) {
        match self.probe() {
            Some(probe) if fits => self.low = probe,
            Some(probe) => self.high = probe - 1,
            None => {}
        }
    }

    /// The last that fits, once there is nothing to look at any more.
    pub(super) fn found(&self) -> u64 {
        self.low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bisection;

    proptest! {
        #[test]
        fn the_last_that_fits_is_found_in_few_steps(last in 0..100_000_u64, fits_to in 0..120_000_u64) {
            let mut bisection = Bisection::new(0, last);
            let mut steps = 0;
            while let Some(probe) = bisection.probe() {
                prop_assert!(probe >= 1 && probe <= last);
                bisection.answer(probe <= fits_to);
                steps += 1;
            }
            prop_assert_eq!(bisection.found(), fits_to.min(last));
            prop_assert!(steps <= 17);
        }
    }

    #[test]
    fn the_greatest_numbers_do_not_overflow() {
        let mut bisection = Bisection::new(u64::MAX - 2, u64::MAX);
        while bisection.probe().is_some() {
            bisection.answer(true);
        }
        assert_eq!(bisection.found(), u64::MAX);
    }
}
