//! What was changed behind the consumers' back: events that cannot be read, checkpoints put back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eventstore::consumer::{
    ConsumerOptions, Delivery, Handler, HandlerError, PartitionState, Subscriptions, partition_of,
};
use eventstore::{Position, RecordedEvent};
use tokio::sync::Semaphore;

use super::stage::{
    Effects, Log, NAME, append, consumers, effects, effects_table, logging, options, status, until,
    until_all_at,
};
use crate::database::{Database, PATIENCE, contract};

contract!(
    a_corrupt_event_stops_its_own_partition_when_it_is_reached_and_no_other,
    an_event_at_a_position_that_was_handled_before_the_database_was_put_back_is_handled,
    a_checkpoint_that_was_put_back_is_not_moved_by_renewing_the_lease,
    who_divides_as_before_replays_nothing,
    a_partition_that_stopped_at_a_corrupt_event_goes_on_when_it_is_mended_and_resumed,
);

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

fn one_partition() -> ConsumerOptions {
    ConsumerOptions {
        partitions: 1,
        lease: PATIENCE * 10,
        ..options()
    }
}

// A failover that loses the last commit: the worker knows itself beyond an event that is another one by
// now. What it did for the former one is lost with the checkpoint.
async fn an_event_at_a_position_that_was_handled_before_the_database_was_put_back_is_handled(
    database: Arc<Database>,
) {
    let store = database.open().await;
    effects_table(&database).await;
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(Effects {
        holder: "a",
        pause: Duration::ZERO,
    });
    consumers.start(one_partition(), delivery).await.unwrap();
    append(&*store, 1, 10).await;
    until_all_at(&store, Position(10)).await;
    let epoch = status(&store).await.partitions[0].epoch;
    let mut outside = database.connect().await;
    outside
        .execute(
            "UPDATE event_subscription_partitions SET position = 9; \
             DELETE FROM effects WHERE position = 10",
        )
        .await;

    append(&*store, 1, 1).await;
    until_all_at(&store, Position(11)).await;

    let handled = effects(&database).await;
    let positions: Vec<u64> = handled.iter().map(|effect| effect.position).collect();
    assert_eq!(positions, (1..=11).collect::<Vec<_>>());
    // It began again as its own successor.
    assert_eq!(status(&store).await.partitions[0].epoch, epoch + 1);
}

// The keeper moves the checkpoint to what the worker reached, and so do the ends of both.
async fn a_checkpoint_that_was_put_back_is_not_moved_by_renewing_the_lease(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let log = Arc::new(Log::default());
    let consumers = consumers(&store);
    let short = ConsumerOptions {
        partitions: 1,
        ..options()
    };
    let delivery = Delivery::at_least_once(logging(&log));
    consumers.start(short, delivery).await.unwrap();
    append(&*store, 1, 10).await;
    until_all_at(&store, Position(10)).await;
    let back = "UPDATE event_subscription_partitions SET position = 7";
    database.connect().await.execute(back).await;

    until_all_at(&store, Position(10)).await;

    let again: Vec<_> = (1..=10).chain(8..=10).map(Position).collect();
    assert_eq!(log.positions(), again);
}

// It would hold the row of another partition than the one that puts events of the stream aside, or none.
async fn who_divides_as_before_replays_nothing(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 3, 1).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));
    let (once, tried) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let former = consumers(&store);
    let delivery = Delivery::at_least_once(Refusing(Arc::clone(&once), Arc::clone(&tried)));
    former.start(options(), delivery).await.unwrap();
    until_all_at(&store, Position(3)).await;
    subscriptions.pause(NAME).await.unwrap();
    subscriptions.repartition(NAME, 7).await.unwrap();
    once.add_permits(100);
    let before = tried.available_permits();

    let refused = former.replay(NAME, Position(2)).await.unwrap_err();

    assert_eq!(refused.code(), "SIGNET-EVENTS-0061");
    assert!(
        refused.to_string().contains("into 7 partitions, not 4"),
        "{refused}"
    );
    // Nothing was handled, and the dead letter is there for who divides as the table says.
    assert_eq!(tried.available_permits(), before);
    former.shutdown(PATIENCE).await;
    let joined = consumers(&store);
    let seven = ConsumerOptions {
        partitions: 7,
        ..options()
    };
    let delivery = Delivery::at_least_once(Refusing(once, tried));
    joined.start(seven, delivery).await.unwrap();
    assert_eq!(joined.replay(NAME, Position(2)).await.unwrap().handled, 1);
}

/// Accepts an event for each permit of the first, and counts the attempts in the second.
struct Refusing(Arc<Semaphore>, Arc<Semaphore>);

#[async_trait]
impl Handler for Refusing {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        self.1.add_permits(1);
        match self.0.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(())
            }
            Err(_) => Err(HandlerError::permanent("not now")),
        }
    }
}

async fn a_partition_that_stopped_at_a_corrupt_event_goes_on_when_it_is_mended_and_resumed(
    database: Arc<Database>,
) {
    let store = database.open().await;
    let head = append(&*store, 1, 5).await;
    let mut outside = database.connect().await;
    let set =
        |metadata: &str| format!("UPDATE events SET metadata = '{metadata}' WHERE position = 3");
    outside.execute(&set(r#"{"actor":1}"#)).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let delivery = Delivery::at_least_once(logging(&log));
    let options = ConsumerOptions {
        batch_size: 2,
        ..one_partition()
    };
    consumers.start(options, delivery).await.unwrap();
    let seen = &consumers;
    until("the stop", || async move {
        let partitions = seen.health().remove(0).partitions;
        let is_failed = |state: &PartitionState| matches!(state, PartitionState::Failed { .. });
        partitions.iter().any(|one| is_failed(&one.state))
    })
    .await;
    assert_eq!(log.positions(), [1, 2].map(Position));

    outside.execute(&set("{}")).await;
    Subscriptions::new(Arc::clone(&store))
        .resume(NAME)
        .await
        .unwrap();
    until_all_at(&store, head).await;

    assert_eq!(log.positions(), [1, 2, 3, 4, 5].map(Position));
    // By the same holder, who had the partition all the time.
    assert_eq!(status(&store).await.partitions[0].epoch, 1);
}
