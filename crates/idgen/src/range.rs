//! Blocks of ids that belong to somebody for ever.

use serde::{Deserialize, Serialize};

/// The largest id: 2^63 - 1, so that a `bigint` of SQL and a `long` of Java hold every id.
pub const MAX_ID: u64 = i64::MAX as u64;

/// The ids `start`, `start + stride`, … that are below `end`, committed to one owner under `epoch`.
///
/// Never empty, and no id above [`MAX_ID`], when made by [`Range::new`] or read by serde. `end` need
/// not be reached exactly: two ranges with the same ids may differ in it.
///
/// ```
/// use idgen::Range;
///
/// let range = Range::new(10, 15, 2, 1).unwrap();
/// assert_eq!(range.len(), 3);
/// assert_eq!(range.ids().collect::<Vec<_>>(), [10, 12, 14]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Range {
    /// The first id.
    pub start: u64,
    /// No id is at or above this.
    pub end: u64,
    /// The distance from one id to the next.
    pub stride: u64,
    /// Which allocation it came from, counted from 1.
    pub epoch: u64,
}

/// Why numbers do not make a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// There would be no id.
    #[error("a range must start below its end, and {start} is not below {end}")]
    Empty {
        /// The start asked for.
        start: u64,
        /// The end asked for.
        end: u64,
    },
    /// A stride of zero would give the same id for ever.
    #[error("a range's stride must be at least 1")]
    ZeroStride,
    /// Ids above [`MAX_ID`].
    #[error("a range must end at or below 2^63 (9223372036854775808), and {end} is above")]
    TooHigh {
        /// The end asked for.
        end: u64,
    },
}

#[derive(Deserialize)]
struct Unchecked {
    start: u64,
    end: u64,
    stride: u64,
    epoch: u64,
}

impl TryFrom<Unchecked> for Range {
    type Error = InvalidRange;

    fn try_from(range: Unchecked) -> Result<Self, InvalidRange> {
        Self::new(range.start, range.end, range.stride, range.epoch)
    }
}

impl Range {
    /// A range with at least one id.
    ///
    /// # Errors
    /// [`InvalidRange`], which says what to change.
    pub fn new(start: u64, end: u64, stride: u64, epoch: u64) -> Result<Self, InvalidRange> {
        if start >= end {
            Err(InvalidRange::Empty { start, end })
        } else if stride == 0 {
            Err(InvalidRange::ZeroStride)
        } else if end > MAX_ID + 1 {
            Err(InvalidRange::TooHigh { end })
        } else {
            Ok(Self {
                start,
                end,
                stride,
                epoch,
            })
        }
    }

    /// How many ids it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end
            .saturating_sub(self.start)
            .div_ceil(self.stride.max(1))
    }

    /// Whether it has none. Never so for a range that was checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The id at this place, counted from 0.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<u64> {
        (index < self.len()).then(|| self.start + index * self.stride)
    }

    /// The ids, in order.
    #[must_use]
    pub fn ids(&self) -> Ids {
        Ids {
            range: *self,
            next: 0,
        }
    }

    /// Cuts off the first `n` ids, at most as many as there are; `None` when `n` is 0 or nothing is
    /// left. What remains may be empty.
    ///
    /// ```
    /// use idgen::Range;
    ///
    /// let mut range = Range::new(1, 11, 1, 1).unwrap();
    /// assert_eq!(range.split_off_front(4), Range::new(1, 5, 1, 1).ok());
    /// assert_eq!(range.len(), 6);
    /// ```
    pub fn split_off_front(&mut self, n: u64) -> Option<Self> {
        let n = n.min(self.len());
        let front = self.slice(0, n)?;
        match self.slice(n, self.len() - n) {
            Some(rest) => *self = rest,
            None => self.start = self.end,
        }
        Some(front)
    }

    /// The `count` ids from place `from` on, which must be there; `None` when `count` is 0.
    pub(crate) fn slice(&self, from: u64, count: u64) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let start = self.get(from)?;
        // Up to the end itself when the last id is among them: start + count × stride may be beyond.
        let end = self.get(from + count).unwrap_or(self.end);
        Some(Self {
            start,
            end,
            ..*self
        })
    }

    /// Whether an id may be in both. Exact for equal strides; for unequal ones it may say yes where
    /// the common id would lie beyond an end, never no where there is one.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = self.start.abs_diff(other.start);
        let common = greatest_common_divisor(self.stride, other.stride).max(1);
        self.start < other.end && other.start < self.end && apart.is_multiple_of(common)
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl IntoIterator for Range {
    type Item = u64;
    type IntoIter = Ids;

    fn into_iter(self) -> Ids {
        self.ids()
    }
}

/// The ids of a [`Range`], in order.
#[derive(Clone, Debug)]
pub struct Ids {
    range: Range,
    next: u64,
}

impl Iterator for Ids {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let id = self.range.get(self.next)?;
        self.next += 1;
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.range.len() - self.next);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}
