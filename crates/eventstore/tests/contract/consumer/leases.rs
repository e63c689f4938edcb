//! Several consumers of one subscription: who has what, and that only the owner commits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventstore::consumer::{
    ConsumerOptions, Consumers, ConsumersOptions, Delivery, Handler, HandlerError, PartitionStatus,
    TransactionalHandler,
};
use eventstore::{EventStore, Options, Position, RecordedEvent, Transaction};
use tokio::sync::{Notify, Semaphore};

use super::stage::{
    Effects, Log, NAME, append, assert_exactly_once, consumers, effects, effects_table, logging,
    options, status, until, until_all_at,
};
use crate::database::{Database, PATIENCE, contract};

contract!(
    what_a_dead_holder_had_is_taken_over_and_no_effect_is_doubled,
    partitions_are_shared_evenly_as_consumers_come_and_go,
    who_lost_its_lease_does_not_move_the_checkpoint,
    who_lost_its_lease_while_it_waited_commits_nothing,
    a_handler_slower_than_its_lease_keeps_it,
    a_shutdown_lets_the_batch_at_hand_end,
    what_does_not_end_in_time_is_rolled_back,
);

async fn what_a_dead_holder_had_is_taken_over_and_no_effect_is_doubled(database: Arc<Database>) {
    let poll_interval = Duration::from_millis(20);
    let poll = Options {
        poll_interval,
        ..Options::default()
    };
    let stores = [
        database.open_with(poll.clone()).await,
        database.open_with(poll).await,
    ];
    effects_table(&database).await;
    let options = ConsumerOptions {
        partitions: 5,
        batch_size: 4,
        lease: Duration::from_millis(300),
        ..options()
    };
    let holders = ["first", "second", "third", "fourth"];
    let mut running: Vec<Consumers> = Vec::new();
    let mut head = Position::START;
    for (round, holder) in holders.into_iter().enumerate() {
        let joining = consumers(&stores[round % 2]);
        let delivery = Delivery::exactly_once(Effects {
            holder,
            pause: Duration::from_millis(3),
        });
        joining.start(options.clone(), delivery).await.unwrap();
        running.push(joining);
        head = append(&*stores[0], 8, 8).await;
        let database = &database;
        until("effects of the one that joined", || async move {
            let effects = effects(database).await;
            effects.iter().any(|effect| effect.holder == holder) || effects.len() as u64 == head.0
        })
        .await;
        if running.len() == 2 {
            // Without a word; at the first time in the middle of its work.
            drop(running.remove(0));
        }
    }
    until_all_at(&stores[0], head).await;

    let effects = effects(&database).await;
    assert_exactly_once(&effects, head);
    let worked: BTreeSet<_> = effects.iter().map(|effect| &effect.holder).collect();
    assert!(worked.len() >= 2, "nobody took over");
}

/// Number of partitions by owner, those without one left out.
async fn held(consumers: &[&Consumers], store: &Arc<dyn EventStore>) -> Vec<usize> {
    let partitions = status(store).await.partitions;
    let of = |owner: &str| {
        let is_owners = |at: &&PartitionStatus| at.owner.as_deref() == Some(owner);
        partitions.iter().filter(is_owners).count()
    };
    let mut held: Vec<_> = consumers.iter().map(|one| of(one.owner())).collect();
    held.sort_unstable();
    held
}

async fn are_held(store: &Arc<dyn EventStore>, consumers: &[&Consumers], expected: &[usize]) {
    let what = format!("shares of {expected:?}");
    until(
        &what,
        || async move { held(consumers, store).await == expected },
    )
    .await;
}

async fn partitions_are_shared_evenly_as_consumers_come_and_go(database: Arc<Database>) {
    let store = database.open().await;
    let log = Arc::new(Log::default());
    let options = ConsumerOptions {
        partitions: 7,
        lease: Duration::from_millis(600),
        ..options()
    };
    let start = async || {
        let joining = consumers(&store);
        let delivery = Delivery::at_least_once(logging(&log));
        joining.start(options.clone(), delivery).await.unwrap();
        joining
    };
    let a = start().await;
    are_held(&store, &[&a], &[7]).await;
    let b = start().await;
    are_held(&store, &[&a, &b], &[3, 4]).await;
    let c = start().await;
    are_held(&store, &[&a, &b, &c], &[2, 2, 3]).await;
    // One that says goodbye, one that does not.
    a.shutdown(PATIENCE).await;
    are_held(&store, &[&a, &b, &c], &[0, 3, 4]).await;
    drop(b);
    are_held(&store, &[&c], &[7]).await;
}

const STEAL: &str = "UPDATE event_subscription_partitions SET owner = 'thief', \
    epoch = epoch + 1, lease_until = 9000000000000000, leased_at = lease_until \
    WHERE subscription = 'mail'";

/// Has its partition stolen while it works.
struct Robbed {
    database: Arc<Database>,
    is_through: Arc<Notify>,
}

#[async_trait]
impl Handler for Robbed {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        self.database.connect().await.execute(STEAL).await;
        self.is_through.notify_one();
        Ok(())
    }
}

async fn who_lost_its_lease_does_not_move_the_checkpoint(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 5).await;
    let is_through = Arc::new(Notify::new());
    let consumers = consumers(&store);
    let robbed = Robbed {
        database: Arc::clone(&database),
        is_through: Arc::clone(&is_through),
    };
    // So long that it does not notice by itself.
    let options = ConsumerOptions {
        lease: PATIENCE * 10,
        partitions: 1,
        batch_size: 2,
        ..options()
    };
    let delivery = Delivery::at_least_once(robbed);
    consumers.start(options, delivery).await.unwrap();
    tokio::time::timeout(PATIENCE, is_through.notified())
        .await
        .unwrap();
    let consumers_seen = &consumers;
    until("the loss", || async move {
        consumers_seen.health().remove(0).partitions.is_empty()
    })
    .await;

    consumers.shutdown(PATIENCE).await;
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!(partition.position, Position::START);
    assert_eq!(partition.owner.as_deref(), Some("thief"));
}

/// Occupies a place until it is let go.
struct Occupies {
    is_there: Arc<Notify>,
    may_go: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Occupies {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        self.is_there.notify_one();
        drop(self.may_go.acquire().await);
        Ok(())
    }
}

async fn who_lost_its_lease_while_it_waited_commits_nothing(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    append(&*store, 1, 5).await;
    let consumers = Consumers::new(
        Arc::clone(&store),
        ConsumersOptions {
            handlers_at_work: 1,
            ..ConsumersOptions::default()
        },
    );
    let (is_there, may_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let long = ConsumerOptions {
        lease: PATIENCE * 10,
        partitions: 1,
        batch_timeout: None,
        ..options()
    };
    let occupying = ConsumerOptions {
        name: "occupying".into(),
        ..long.clone()
    };
    let occupies = Occupies {
        is_there: Arc::clone(&is_there),
        may_go: Arc::clone(&may_go),
    };
    let delivery = Delivery::at_least_once(occupies);
    consumers.start(occupying, delivery).await.unwrap();
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();
    let delivery = Delivery::exactly_once(Effects {
        holder: "robbed",
        pause: Duration::ZERO,
    });
    consumers.start(long, delivery).await.unwrap();
    let store_seen = &store;
    until("the lease", || async move {
        status(store_seen).await.partitions[0].owner.is_some()
    })
    .await;

    database.connect().await.execute(STEAL).await;
    may_go.add_permits(1);
    let consumers_seen = &consumers;
    until("the loss", || async move {
        let health = consumers_seen.health();
        let robbed = health.iter().find(|health| health.subscription == NAME);
        robbed.unwrap().partitions.is_empty()
    })
    .await;

    assert_eq!(effects(&database).await, []);
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!(partition.position, Position::START);
}

async fn a_handler_slower_than_its_lease_keeps_it(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 1).await;
    let (is_there, may_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let occupies = Occupies {
        is_there: Arc::clone(&is_there),
        may_go: Arc::clone(&may_go),
    };
    let options = ConsumerOptions {
        partitions: 1,
        lease: Duration::from_secs(1),
        batch_timeout: None,
        ..options()
    };
    let slow = consumers(&store);
    let delivery = Delivery::at_least_once(occupies);
    slow.start(options.clone(), delivery).await.unwrap();
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();
    let (rival, log) = (consumers(&store), Arc::new(Log::default()));
    let delivery = Delivery::at_least_once(logging(&log));
    rival.start(options, delivery).await.unwrap();

    // Renewed again and again while the rival looks for partitions: two leases long.
    let mut outside = database.connect().await;
    let (mut renewals, mut last) = (0, 0);
    let began = Instant::now();
    while renewals < 6 {
        assert!(began.elapsed() < PATIENCE, "renewed {renewals} times only");
        let members = "SELECT count(*) FROM event_subscription_members";
        let leased_at = "SELECT leased_at FROM event_subscription_partitions";
        let both_live = outside.number(members).await == 2;
        let leased_at = outside.number(leased_at).await;
        renewals += i32::from(both_live && leased_at != last);
        last = leased_at;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!(partition.owner.as_deref(), Some(slow.owner()));
    assert_eq!(partition.epoch, 1);
    may_go.add_permits(1);
    until_all_at(&store, Position(1)).await;
    assert_eq!(log.positions(), []);
}

/// Begins, and ends some time later.
struct Lingers {
    is_there: Arc<Notify>,
    has_ended: Arc<AtomicBool>,
    lingers: Duration,
    effects: Effects,
}

#[async_trait]
impl TransactionalHandler for Lingers {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        self.effects.handle(events, transaction).await?;
        self.is_there.notify_one();
        tokio::time::sleep(self.lingers).await;
        self.has_ended.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Shuts down in the middle of a batch; gives whether it ended, the effects and the checkpoint.
async fn shut_down_in_a_batch(
    database: &Arc<Database>,
    lingers: Duration,
    grace: Duration,
) -> (bool, usize, Position) {
    let store = database.open().await;
    effects_table(database).await;
    append(&*store, 1, 1).await;
    let (is_there, has_ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let handler = Lingers {
        is_there: Arc::clone(&is_there),
        has_ended: Arc::clone(&has_ended),
        lingers,
        effects: Effects {
            holder: "lingers",
            pause: Duration::ZERO,
        },
    };
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(handler);
    let options = ConsumerOptions {
        partitions: 1,
        ..options()
    };
    consumers.start(options, delivery).await.unwrap();
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();
    consumers.shutdown(grace).await;
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!(partition.owner, None, "the lease was not given back");
    let effects = effects(database).await.len();
    (
        has_ended.load(Ordering::SeqCst),
        effects,
        partition.position,
    )
}

async fn a_shutdown_lets_the_batch_at_hand_end(database: Arc<Database>) {
    let ended = shut_down_in_a_batch(&database, Duration::from_millis(200), PATIENCE).await;
    assert_eq!(ended, (true, 1, Position(1)));
}

async fn what_does_not_end_in_time_is_rolled_back(database: Arc<Database>) {
    let ended = shut_down_in_a_batch(&database, PATIENCE * 10, Duration::from_millis(50)).await;
    assert_eq!(ended, (false, 0, Position::START));
}
