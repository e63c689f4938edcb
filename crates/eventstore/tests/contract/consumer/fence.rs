//! The fence in front of an effect, where only one of the databases can be brought into the situation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use eventstore::consumer::{ConsumerOptions, Consumers, ConsumersOptions, Delivery, HandlerError};
use eventstore::{Position, RecordedEvent};
use time::OffsetDateTime;

use super::failures::letters;
use super::stage::{
    Check, Effects, Log, NAME, append, consumers, effects, effects_table, logging, options, status,
    until, until_all_at,
};
use crate::database::{Database, PATIENCE, postgres_only};

postgres_only!(
    a_transaction_that_waited_long_does_not_think_its_lease_valid,
    who_joins_while_others_go_on_is_not_ahead_of_the_store,
    nothing_begins_to_wait_for_a_dead_letter_that_is_gone,
);

// "A lease judged by the database's now()", which is the time when the transaction began: the lease was
// good then, and another's when the wait for the row ended.
async fn a_transaction_that_waited_long_does_not_think_its_lease_valid(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let consumers = consumers(&store);
    let options = ConsumerOptions {
        lease: PATIENCE * 10,
        partitions: 1,
        ..options()
    };
    let delivery = Delivery::exactly_once(Effects {
        holder: "late",
        pause: Duration::ZERO,
    });
    consumers.start(options, delivery).await.unwrap();
    let store_seen = &store;
    until("the lease", || async move {
        status(store_seen).await.partitions[0].owner.is_some()
    })
    .await;
    let mut thief = database.connect().await;
    thief
        .execute(
            "BEGIN; UPDATE event_subscription_partitions SET owner = 'thief', epoch = epoch + 1, \
               lease_until = 9000000000000000 WHERE subscription = 'mail'",
        )
        .await;

    append(&*store, 1, 1).await;
    until_waiting(&database, 1).await;
    thief.execute("COMMIT").await;
    let consumers_seen = &consumers;
    until("the loss", || async move {
        consumers_seen.health().remove(0).partitions.is_empty()
    })
    .await;

    assert_eq!(effects(&database).await, []);
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!(partition.position, Position::START);
    assert_eq!(partition.owner.as_deref(), Some("thief"));
}

async fn waiting(database: &Database) -> i64 {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND wait_event_type = 'Lock'";
    let mut onlooker = database.connect().await;
    let count = onlooker.number(waiting).await;
    onlooker.close().await;
    count
}

async fn until_waiting(database: &Database, count: i64) {
    until("somebody to wait", || async move {
        waiting(database).await >= count
    })
    .await;
}

// The worker sees the dead letter and is about to put another event behind it, when the replay of the
// first one is done: it has to find the other one, too.
async fn nothing_begins_to_wait_for_a_dead_letter_that_is_gone(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 1).await;
    let (log, is_broken) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(true)));
    let broken = Arc::clone(&is_broken);
    let check = Check(Arc::clone(&log), move |_: &RecordedEvent| {
        match broken.load(Ordering::SeqCst) {
            true => Err(HandlerError::permanent("broken")),
            false => Ok(()),
        }
    });
    let consumers = Arc::new(consumers(&store));
    let delivery = Delivery::at_least_once(check);
    consumers.start(options(), delivery).await.unwrap();
    until_all_at(&store, Position(1)).await;
    is_broken.store(false, Ordering::SeqCst);
    // The place of the second one is taken, for a while.
    let mut outside = database.connect().await;
    outside
        .execute(
            "BEGIN; INSERT INTO event_dead_letters SELECT subscription, 2, partition, tenant, \
               stream_type, stream_id, event_id, event_type, error, attempts, first_failed_at, \
               last_failed_at, claim, claimed_at, claimed_until FROM event_dead_letters",
        )
        .await;
    append(&*store, 1, 1).await;
    until_waiting(&database, 1).await;

    let replaying = Arc::clone(&consumers);
    let replay = tokio::spawn(async move { replaying.replay(NAME, Position(1)).await });
    let (replay_seen, database_seen) = (&replay, &*database);
    until("the replay to wait or to end", || async move {
        replay_seen.is_finished() || waiting(database_seen).await >= 2
    })
    .await;
    outside.execute("ROLLBACK").await;

    assert_eq!(replay.await.unwrap().unwrap().handled, 2);
    until_all_at(&store, Position(2)).await;
    assert_eq!(letters(&store).await, []);
    assert_eq!(log.positions(), [1, 2].map(Position));
}

// It looked at the end of the store before others appended and handled more, and at their checkpoints
// after that.
async fn who_joins_while_others_go_on_is_not_ahead_of_the_store(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 5).await;
    let log = Arc::new(Log::default());
    let (others, joining) = (consumers(&store), Arc::new(consumers(&store)));
    let delivery = Delivery::at_least_once(logging(&log));
    others.start(options(), delivery.clone()).await.unwrap();
    until_all_at(&store, Position(5)).await;
    let mut outside = database.connect().await;
    outside
        .execute("BEGIN; LOCK TABLE event_subscriptions IN SHARE MODE")
        .await;
    let join = Arc::clone(&joining);
    let join = tokio::spawn(async move { join.start(options(), delivery).await });
    until_waiting(&database, 1).await;

    append(&*store, 1, 5).await;
    until_all_at(&store, Position(10)).await;
    outside.execute("COMMIT").await;

    join.await.unwrap().unwrap();
}

/// By how many seconds the clock of the test below is off.
static OFF: AtomicI64 = AtomicI64::new(0);

fn clock() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::from_secs(3600)
        - Duration::from_secs(OFF.load(Ordering::SeqCst).unsigned_abs())
}

// On PostgreSQL the server's clock counts, which no test can set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_keeps_no_lease_of_a_dead_holder() {
    Database::sqlite()
        .run(|database| async move {
            let store = database.open().await;
            let log = Arc::new(Log::default());
            let set = || {
                let by_clock = ConsumersOptions {
                    clock,
                    ..ConsumersOptions::default()
                };
                Consumers::new(Arc::clone(&store), by_clock)
            };
            let start = async |consumers: &Consumers| {
                let delivery = Delivery::at_least_once(logging(&log));
                let options = ConsumerOptions {
                    lease: Duration::from_millis(600),
                    ..options()
                };
                consumers.start(options, delivery).await.unwrap();
            };
            let dying = set();
            start(&dying).await;
            let head = append(&*store, 5, 2).await;
            until_all_at(&store, head).await;
            drop(dying);
            // Its leases end an hour from now.
            OFF.store(3600, Ordering::SeqCst);
            let next = set();
            start(&next).await;
            let head = append(&*store, 5, 2).await;

            until_all_at(&store, head).await;

            // And one that lives through it goes on.
            OFF.store(7200, Ordering::SeqCst);
            let head = append(&*store, 5, 2).await;
            until_all_at(&store, head).await;
            assert_eq!(log.positions().len(), 30);
            next.shutdown(PATIENCE).await;
        })
        .await;
}
