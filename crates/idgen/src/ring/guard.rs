//! The memory of what a ring has held, so that it takes nothing twice.

use std::collections::BTreeMap;

use super::RangeRefused;
use crate::Range;

/// How many ranges are remembered one by one: how far answers may overtake each other.
const REMEMBERED: usize = 1024;

/// The ranges last pushed, and a floor under them.
///
/// Ranges are ordered by epoch and start. When too many are remembered the lowest is forgotten, and
/// everything up to its end becomes the floor: what is pushed below it is refused, since nobody knows
/// any more whether it was held. Within one epoch nothing can thus come twice, however long ago.
#[derive(Default)]
pub(super) struct Guard {
    remembered: BTreeMap<(u64, u64), Range>,
    floor: (u64, u64),
}

impl Guard {
    /// Remembers the range, unless it may have been held before.
    pub(super) fn admit(&mut self, range: Range) -> Result<(), RangeRefused> {
        let key = (range.epoch, range.start);
        if key < self.floor {
            return Err(RangeRefused::Stale { range });
        }
        if let Some(&held) = self.remembered.values().find(|held| held.overlaps(&range)) {
            return Err(RangeRefused::Overlap { range, held });
        }
        self.remembered.insert(key, range);
        if self.remembered.len() > REMEMBERED
            && let Some((_, lowest)) = self.remembered.pop_first()
        {
            self.floor = self.floor.max((lowest.epoch, lowest.end));
        }
        Ok(())
    }
}
