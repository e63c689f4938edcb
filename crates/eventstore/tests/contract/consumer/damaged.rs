//! What was changed behind the consumers' back: events that cannot be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use eventstore::Position;
use eventstore::consumer::{Delivery, PartitionState, partition_of};

use super::stage::{Log, append, consumers, logging, options, until};
use crate::database::{Database, contract};

contract!(a_corrupt_event_stops_its_own_partition_when_it_is_reached_and_no_other,);

async fn a_corrupt_event_stops_its_own_partition_when_it_is_reached_and_no_other(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let head = append(&*store, 9, 4).await;
    let all = store.read_all(Position::START, 100).await.unwrap();
    let bad = &all[20];
    let its = partition_of(&bad.stream, 4);
    let sql = "UPDATE events SET metadata = '{\"actor\":1}' WHERE position = 21";
    database.connect().await.execute(sql).await;
    let log = Arc::new(Log::default());
    let consumers = consumers(&store);
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(options(), delivery).await.unwrap();

    let consumers_seen = &consumers;
    until("the others at the end and its own stopped", || async move {
        let partitions = consumers_seen.health().remove(0).partitions;
        partitions.len() == 4
            && partitions.iter().all(|one| match &one.state {
                PartitionState::Failed { .. } => one.partition == its,
                _ => one.partition != its && one.position == head,
            })
    })
    .await;

    let partitions = consumers.health().remove(0).partitions;
    let stopped = partitions.into_iter().find(|one| one.partition == its);
    let state = stopped.unwrap().state;
    assert!(
        matches!(&state, PartitionState::Failed { reason } if reason.contains("position 21")),
        "{state:?}"
    );
    let handled: BTreeSet<_> = log.positions().into_iter().collect();
    let expected = all
        .iter()
        .filter(|event| event.position < bad.position || partition_of(&event.stream, 4) != its);
    assert_eq!(handled, expected.map(|event| event.position).collect());
}
