//! States that are kept between commands, with a lock for each stream.
//!
//! Two commands of one process never meet in the store, only those of two processes do. What is kept is
//! never the truth by itself: every command reads what was appended since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::aggregate::{Aggregate, Versioned};
use crate::event::StreamKey;
use crate::snapshot::{SnapshotRecord, Tail};

/// A state, and what is known of the stream's last snapshot.
pub(super) struct Kept<A: Aggregate> {
    pub(super) at: Versioned<A>,
    /// Version of the last snapshot; 0 if there is none, or none that is known of.
    pub(super) snapshot_version: u64,
    /// Bytes of the events behind it, if they are counted.
    pub(super) tail_bytes: u64,
    /// See [`Tail::since`].
    pub(super) tail_since: Option<OffsetDateTime>,
}

impl<A: Aggregate> Default for Kept<A> {
    fn default() -> Self {
        Self {
            at: Versioned::default(),
            snapshot_version: 0,
            tail_bytes: 0,
            tail_since: None,
        }
    }
}

impl<A: Aggregate> Kept<A> {
    /// The tail as it will be with so many more events.
    pub(super) fn tail_with(&self, events: u64, bytes: u64, now: OffsetDateTime) -> Tail {
        Tail {
            events: (self.at.version + events).saturating_sub(self.snapshot_version),
            bytes: self.tail_bytes + bytes,
            since: Some(self.tail_since.unwrap_or(now)),
        }
    }

    /// There is a snapshot of this state now.
    pub(super) fn snapshot_taken(&mut self, snapshot: &SnapshotRecord) {
        self.snapshot_version = snapshot.stream_version;
        self.tail_bytes = 0;
        self.tail_since = Some(snapshot.taken_at);
    }

    /// There are further events behind the last snapshot.
    pub(super) fn tail_grew(&mut self, bytes: u64, at: OffsetDateTime) {
        self.tail_bytes += bytes;
        self.tail_since.get_or_insert(at);
    }
}

type Slot<A> = Arc<AsyncMutex<Kept<A>>>;
pub(super) type Held<A> = OwnedMutexGuard<Kept<A>>;

/// States by stream. Those in use are kept in any case, of the others the ones used last.
pub(super) struct States<A: Aggregate> {
    slots: Mutex<Slots<A>>,
    bound: usize,
}

struct Slots<A: Aggregate> {
    by_stream: HashMap<StreamKey, (Slot<A>, u64)>,
    /// Counts uses, as a clock for which one was longest ago.
    uses: u64,
}

impl<A: Aggregate> States<A> {
    pub(super) fn new(bound: usize) -> Self {
        let slots = Slots {
            by_stream: HashMap::new(),
            uses: 0,
        };
        Self {
            slots: Mutex::new(slots),
            bound,
        }
    }

    /// Takes the state of a stream, when nobody else has it.
    pub(super) async fn hold(&self, stream: &StreamKey) -> Held<A> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.uses += 1;
            let uses = slots.uses;
            match slots.by_stream.get_mut(stream) {
                Some((slot, used)) => {
                    *used = uses;
                    Arc::clone(slot)
                }
                None => {
                    if slots.by_stream.len() >= self.bound {
                        slots.forget(self.bound);
                    }
                    let slot = Slot::default();
                    let kept = (Arc::clone(&slot), uses);
                    slots.by_stream.insert(stream.clone(), kept);
                    slot
                }
            }
        };
        slot.lock_owned().await
    }

    #[cfg(test)]
    fn streams(&self) -> std::collections::BTreeSet<String> {
        let slots = self.slots.lock().unwrap();
        slots
            .by_stream
            .keys()
            .map(|stream| stream.stream_id.clone())
            .collect()
    }
}

impl<A: Aggregate> Slots<A> {
    /// Makes room: an eighth of what may be kept, so that this is not done for every new stream.
    fn forget(&mut self, bound: usize) {
        let idle = |slot: &Slot<A>| Arc::strong_count(slot) == 1;
        let mut uses: Vec<u64> = self
            .by_stream
            .values()
            .filter(|(slot, _)| idle(slot))
            .map(|(_, used)| *used)
            .collect();
        let room = (self.by_stream.len() + 1).saturating_sub(bound);
        let forgotten = room.max(bound / 8).min(uses.len());
        if forgotten == 0 {
            return;
        }
        let (_, youngest, _) = uses.select_nth_unstable(forgotten - 1);
        let youngest = *youngest;
        self.by_stream
            .retain(|_, (slot, used)| !idle(slot) || *used > youngest);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Aggregate, States};
    use crate::command::Encoded;

    struct Counter;

    impl Aggregate for Counter {
        type State = u64;
        type Event = ();
        const STREAM_TYPE: &'static str = "counter";

        fn encode((): &()) -> Result<Encoded, String> {
            Ok(Encoded::new("Counted", 1, Value::Null))
        }

        fn decode(_: &str, _: u32, _: Value) -> Result<(), String> {
            Ok(())
        }

        fn evolve(state: u64, (): &()) -> u64 {
            state + 1
        }
    }

    async fn touch(states: &States<Counter>, id: &str) -> u64 {
        let mut held = states.hold(&Counter::stream("acme", id)).await;
        held.at.version += 1;
        held.at.version
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_is_forgotten() {
        let states = States::<Counter>::new(3);
        for id in ["a", "b", "c", "a", "d"] {
            touch(&states, id).await;
        }
        assert!(states.streams().into_iter().eq(["a", "c", "d"]));
        assert_eq!(touch(&states, "a").await, 3);
        assert_eq!(touch(&states, "b").await, 1);
    }

    #[tokio::test]
    async fn what_is_in_use_is_kept() {
        let states = States::<Counter>::new(1);
        let held = states.hold(&Counter::stream("acme", "a")).await;
        touch(&states, "b").await;
        touch(&states, "c").await;
        assert!(states.streams().into_iter().eq(["a", "c"]));
        drop(held);
        touch(&states, "d").await;
        assert!(states.streams().into_iter().eq(["d"]));
    }

    #[tokio::test]
    async fn without_a_bound_to_keep_nothing_stays_longer_than_the_next_one() {
        let states = States::<Counter>::new(0);
        for id in ["a", "b", "b", "c"] {
            touch(&states, id).await;
        }
        assert_eq!(states.streams().len(), 1);
    }
}
