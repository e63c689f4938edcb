//! The range that ids are taken from, shared by all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Range;

/// A range and how much of it is claimed. Claims are atomic, and only ever go up.
pub(super) struct Block {
    range: Option<Range>,
    len: u64,
    /// Place of the next id. May run past `len` by one for each thread that came too late.
    next: AtomicU64,
    /// Ids claimed from the ring before this block was opened.
    before: u64,
}

impl Block {
    pub(super) fn new(range: Range, before: u64) -> Self {
        Self {
            range: Some(range),
            len: range.len(),
            next: AtomicU64::new(0),
            before,
        }
    }

    pub(super) fn empty() -> Self {
        Self::nothing_left(0)
    }

    /// What stays open when a request emptied the block and took from the queue as well.
    pub(super) fn nothing_left(before: u64) -> Self {
        Self {
            range: None,
            len: 0,
            next: AtomicU64::new(0),
            before,
        }
    }

    pub(super) fn claim_one(&self) -> Option<u64> {
        // Looked at first, so that asking an empty ring for ever cannot overflow the counter.
        if self.position() >= self.len {
            return None;
        }
        // Relaxed: the counter publishes nothing but itself; the range came with the block.
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        self.range?.get(place)
    }

    pub(super) fn claim_if_enough(&self, n: u64) -> Option<Range> {
        let mut position = self.position();
        while self.remaining_at(position) >= n {
            match self.claim_at(position, n) {
                Ok(range) => return range,
                Err(moved) => position = moved,
            }
        }
        None
    }

    /// Claims the next `count` ids, which must be there, if the block still stands at `position`;
    /// else says where it stands. `None` when `count` is 0.
    pub(super) fn claim_at(&self, position: u64, count: u64) -> Result<Option<Range>, u64> {
        if count == 0 {
            return Ok(None);
        }
        self.next.compare_exchange(
            position,
            position + count,
            Ordering::Relaxed,
            Ordering::Relaxed,
        )?;
        Ok(self.range.and_then(|range| range.slice(position, count)))
    }

    pub(super) fn position(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn remaining_at(&self, position: u64) -> u64 {
        self.len.saturating_sub(position)
    }

    /// Ids claimed from the ring, this block's included.
    pub(super) fn taken(&self) -> u64 {
        self.before + self.position().min(self.len)
    }
}
