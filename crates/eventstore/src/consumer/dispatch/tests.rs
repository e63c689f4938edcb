use proptest::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Page, partition_of};
use crate::chain::Hash;
use crate::event::{Metadata, Position, RecordedEvent, StreamKey};

// Computed by another program (Python). A change of these is a loss of order for whoever has
// checkpoints.
#[test]
fn the_partition_of_a_stream_never_changes() {
    let vectors = [
        (("acme", "order", "4711"), [0, 0, 1, 14, 142]),
        (("a", "b", "c"), [0, 1, 1, 3, 83]),
        (("acme", "order", "ü"), [0, 1, 4, 7, 231]),
        (
            ("tenant", "type", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            [0, 0, 6, 0, 96],
        ),
    ];
    for ((tenant, stream_type, stream_id), expected) in vectors {
        let stream = StreamKey::new(tenant, stream_type, stream_id);
        let found = [1, 2, 7, 16, 256].map(|partitions| partition_of(&stream, partitions));
        assert_eq!(found, expected, "{stream}");
    }
}

#[test]
fn streams_are_spread_evenly() {
    let mut counts = [0_u32; 16];
    for n in 0..16_000 {
        let stream = StreamKey::new("acme", "order", n.to_string());
        counts[partition_of(&stream, 16) as usize] += 1;
    }
    assert!(
        counts.iter().all(|count| (900..1100).contains(count)),
        "{counts:?}"
    );
}

fn event(position: u64, stream: u8) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::from_u128(u128::from(position)),
        position: Position(position),
        stream: StreamKey::new("acme", "order", stream.to_string()),
        stream_version: 1,
        event_type: "Happened".into(),
        schema_version: 1,
        data: serde_json::Value::Null,
        metadata: Metadata::default(),
        recorded_at: OffsetDateTime::UNIX_EPOCH,
        tenant_sequence: position,
        hash: Hash([0; 32]),
    }
}

proptest! {
    // What a filter leaves out are the holes in the positions.
    #[test]
    fn batches_give_each_event_once_in_order_and_reach_the_end(
        picked in prop::collection::btree_set(11_u64..100, 0..60),
        partitions in 1_u32..5,
        limit in 1_usize..10,
    ) {
        let events: Vec<_> = picked
            .iter()
            .map(|position| event(*position, (*position % 7) as u8))
            .collect();
        let page = Page::new(Position(10), Position(100), events.clone(), partitions);
        let mut seen = Vec::new();
        for partition in 0..partitions {
            let mut after = Position(10);
            while page.follows(after) {
                let (batch, reached) = page.batch(partition, after, limit);
                prop_assert!(batch.len() <= limit);
                prop_assert!(reached > after);
                for event in batch {
                    prop_assert!(event.position > after && event.position <= reached);
                    prop_assert_eq!(partition_of(&event.stream, partitions), partition);
                    seen.push(event.position.0);
                }
                after = reached;
            }
            prop_assert_eq!(after, Position(100));
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, picked.into_iter().collect::<Vec<_>>());
    }
}
