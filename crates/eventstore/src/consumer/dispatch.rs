//! Dividing events among partitions: read and decoded once, handed to each partition as a slice.

use crate::error::ReadError;
use crate::event::{Position, RecordedEvent, StreamKey};

/// The partition of a stream; all its events go there, so their order holds.
///
/// FNV-1a (64 bits) over tenant, NUL, stream type, NUL, stream id; its upper half is folded onto the
/// lower, and the remainder by the number of partitions is the partition. This never changes:
/// checkpoints rest on it.
pub fn partition_of(stream: &StreamKey, partitions: u32) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let parts = [&stream.tenant, &stream.stream_type, &stream.stream_id];
    let hash = parts
        .iter()
        .enumerate()
        .fold(OFFSET, |hash, (index, part)| {
            let separator: &[u8] = if index == 0 { &[] } else { &[0] };
            separator
                .iter()
                .chain(part.as_bytes())
                .fold(hash, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
                })
        });
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    // Below `partitions`, which is a u32.
    (folded % u64::from(partitions.max(1))) as u32
}

/// All events of interest above `after` up to `upto`, by partition.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) after: Position,
    pub(super) upto: Position,
    partitions: Vec<Vec<RecordedEvent>>,
    corrupt: Option<Corrupt>,
}

/// An event that cannot be read.
#[derive(Debug)]
struct Corrupt {
    /// Whose it is; none if not even its stream can be read.
    partition: Option<u32>,
    error: ReadError,
}

impl Page {
    pub(super) fn new(
        after: Position,
        upto: Position,
        events: impl IntoIterator<Item = RecordedEvent>,
        partitions: u32,
    ) -> Self {
        let mut divided: Vec<Vec<RecordedEvent>> = (0..partitions).map(|_| Vec::new()).collect();
        for event in events {
            let partition = partition_of(&event.stream, partitions) as usize;
            if let Some(events) = divided.get_mut(partition) {
                events.push(event);
            }
        }
        Self {
            after,
            upto,
            partitions: divided,
            corrupt: None,
        }
    }

    /// The page of one event that cannot be read: nothing for those whose it is not.
    pub(super) fn corrupt(
        after: Position,
        at: Position,
        partition: Option<u32>,
        error: ReadError,
    ) -> Self {
        Self {
            after,
            upto: at,
            partitions: Vec::new(),
            corrupt: Some(Corrupt { partition, error }),
        }
    }

    /// Why a partition cannot go on here.
    pub(super) fn stops(&self, partition: u32) -> Option<&ReadError> {
        let corrupt = self.corrupt.as_ref()?;
        let is_its = corrupt.partition.is_none_or(|its| its == partition);
        is_its.then_some(&corrupt.error)
    }

    /// Whether it tells what comes directly after `position`.
    pub(super) fn follows(&self, position: Position) -> bool {
        self.after <= position && position < self.upto
    }

    /// Up to `limit` events of a partition above `after`, and the position that is reached with them.
    pub(super) fn batch(
        &self,
        partition: u32,
        after: Position,
        limit: usize,
    ) -> (&[RecordedEvent], Position) {
        let all = self.partitions.get(partition as usize);
        let all = all.map_or(&[][..], Vec::as_slice);
        let start = all.partition_point(|event| event.position <= after);
        let rest = &all[start..];
        match rest.get(..limit) {
            Some(batch) if limit < rest.len() => {
                let reached = batch.last().map_or(after, |event| event.position);
                (batch, reached)
            }
            _ => (rest, self.upto),
        }
    }
}

#[cfg(test)]
mod tests;
