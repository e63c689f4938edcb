//! What the group before left behind, so that the next one needs not ask for it.

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::chain::{ChainEnd, Hash};
use crate::event::StreamKey;
use crate::plan::{Known, Row};

/// Most streams that are remembered, about 10 MB of them.
const MOST_STREAMS: usize = 1 << 16;

/// The event that was the last of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) position: u64,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: OffsetDateTime,
}

/// Versions of streams and ends of chains as they were when an event was the last of the store.
///
/// Another process may have written since, or an older copy of the file may have been put in its place and
/// grown to the same length. So it counts only while that event, told by its hash, is the last one: events
/// never change, and what is before an event is the same wherever it is.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    last: Option<Last>,
    versions: HashMap<StreamKey, u64>,
    chain_ends: HashMap<String, ChainEnd>,
}

impl Memory {
    /// What has to be the last event of the store for the rest to be true.
    pub(crate) fn last(&self) -> Option<Last> {
        self.last
    }

    pub(crate) fn is_of(&self, head: u64) -> bool {
        self.last.is_some_and(|last| last.position == head)
    }

    pub(crate) fn version(&self, stream: &StreamKey) -> Option<u64> {
        self.versions.get(stream).copied()
    }

    pub(crate) fn chain_end(&self, tenant: &str) -> Option<ChainEnd> {
        self.chain_ends.get(tenant).copied()
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes in a group that was committed, and what was known before it.
    pub(crate) fn take_in(
        &mut self,
        known: Known,
        rows: &[Row<'_>],
        links: &[ChainEnd],
        recorded_at: OffsetDateTime,
    ) {
        if self.versions.len() > MOST_STREAMS || self.chain_ends.len() > MOST_STREAMS {
            self.forget();
        }
        self.versions.extend(known.versions);
        self.chain_ends.extend(known.chain_ends);
        for (row, link) in rows.iter().zip(links) {
            self.last = Some(Last {
                position: row.position,
                hash: link.hash,
                recorded_at,
            });
            match self.versions.get_mut(row.stream) {
                Some(version) => *version = row.stream_version,
                None => {
                    let stream = row.stream.clone();
                    self.versions.insert(stream, row.stream_version);
                }
            }
            match self.chain_ends.get_mut(&row.stream.tenant) {
                Some(end) => *end = *link,
                None => {
                    let tenant = row.stream.tenant.clone();
                    self.chain_ends.insert(tenant, *link);
                }
            }
        }
    }
}
