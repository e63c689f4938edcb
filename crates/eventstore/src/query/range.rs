//! What of an index is still to be looked at.

use super::Direction;

/// Keys above `after` and up to `up_to`, eaten up from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) after: u64,
    pub(super) up_to: u64,
    pub(super) direction: Direction,
}

impl Range {
    pub(super) fn is_empty(&self) -> bool {
        self.after >= self.up_to
    }

    /// The first `count` keys of it, in its direction.
    pub(super) fn window(&self, count: u64) -> Self {
        let mut window = *self;
        match self.direction {
            Direction::Forward => {
                window.up_to = self.up_to.min(self.after.saturating_add(count));
            }
            Direction::Backward => {
                window.after = self.after.max(self.up_to.saturating_sub(count));
            }
        }
        window
    }

    /// The key that comes last in its direction; it must not be empty.
    pub(super) fn last(&self) -> u64 {
        match self.direction {
            Direction::Forward => self.up_to,
            Direction::Backward => self.after + 1,
        }
    }

    /// Takes `key` and everything before it, in its direction, out of the range.
    pub(super) fn advance(&mut self, key: u64) {
        match self.direction {
            Direction::Forward => self.after = key,
            Direction::Backward => self.up_to = key.saturating_sub(1),
        }
    }

    pub(super) fn finish(&mut self) {
        self.up_to = self.after;
    }
}
