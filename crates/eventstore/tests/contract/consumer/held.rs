//! Later events of a stream that has a dead letter: held back, and handled in order when it is replayed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::consumer::{
    ConsumerError, ConsumerOptions, Consumers, Delivery, Handler, HandlerError, Replayed,
    Subscriptions, TransactionalHandler,
};
use eventstore::{EventStore, Options, Position, RecordedEvent, Transaction};
use tokio::sync::{Notify, Semaphore};

use super::failures::letters;
use super::stage::{
    Log, NAME, append, assert_exactly_once, consumers, effects, effects_table, insert_effect,
    options, until, until_all_at,
};
use crate::database::{Database, PATIENCE, contract};

contract!(
    later_events_of_a_stream_wait_behind_its_dead_letter_and_follow_it,
    a_new_owner_holds_back_what_the_former_one_would_have,
    behind_one_that_fails_again_everything_stays,
    what_was_behind_a_dropped_one_can_be_replayed_in_order,
    what_comes_during_a_replay_follows_it,
    order_and_effects_hold_while_replays_race_with_deliveries,
);

/// Writes effects, and refuses some positions after having written theirs.
#[derive(Clone, Default)]
struct Refuses(Arc<Mutex<BTreeSet<u64>>>);

impl Refuses {
    fn set(&self, positions: &[u64]) {
        *self.0.lock().unwrap() = positions.iter().copied().collect();
    }
}

#[async_trait]
impl TransactionalHandler for Refuses {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, "a", transaction).await?;
            if self.0.lock().unwrap().contains(&event.position.0) {
                return Err(HandlerError::permanent("refused"));
            }
        }
        Ok(())
    }
}

/// Three streams of six events each, in turn: the second stream has the positions 2, 5, 8, 11, 14, 17.
async fn refusing(
    database: &Database,
    positions: &[u64],
) -> (Arc<dyn EventStore>, Consumers, Refuses) {
    let store = database.open().await;
    effects_table(database).await;
    let head = append(&*store, 3, 6).await;
    let refuses = Refuses::default();
    refuses.set(positions);
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(refuses.clone());
    consumers.start(options(), delivery).await.unwrap();
    until_all_at(&store, head).await;
    (store, consumers, refuses)
}

/// Position and what it is held behind of every dead letter.
async fn waiting(store: &Arc<dyn EventStore>) -> Vec<(u64, Option<u64>)> {
    let letters = letters(store).await.into_iter();
    let waiting = letters.map(|letter| {
        let behind = letter.held_behind.map(|behind| behind.0);
        // One that only waits was never tried.
        assert_eq!(behind.is_some(), letter.attempts == 0, "{letter:?}");
        (letter.position.0, behind)
    });
    waiting.collect()
}

async fn handled(database: &Database) -> BTreeSet<u64> {
    let effects = effects(database).await.into_iter();
    effects.map(|effect| effect.position).collect()
}

fn counts(handled: u64, failed: u64, held_back: u64) -> Replayed {
    Replayed {
        handled,
        failed,
        held_back,
        ..Replayed::default()
    }
}

async fn later_events_of_a_stream_wait_behind_its_dead_letter_and_follow_it(
    database: Arc<Database>,
) {
    let (store, consumers, refuses) = refusing(&database, &[5]).await;

    let behind = Some(5);
    let expected = [
        (5, None),
        (8, behind),
        (11, behind),
        (14, behind),
        (17, behind),
    ];
    assert_eq!(waiting(&store).await, expected);
    let error = &letters(&store).await[1].error;
    assert_eq!(error, "held back behind the dead letter at 5");
    // The other streams went on.
    assert_eq!(handled(&database).await.len(), 18 - 5);

    let early = consumers.replay(NAME, Position(8)).await.unwrap_err();
    assert_eq!(early.code(), "SIGNET-EVENTS-0069");
    assert!(early.to_string().contains("behind 5"), "{early}");
    let again = consumers.replay(NAME, Position(5)).await.unwrap_err();
    assert_eq!(again.code(), "SIGNET-EVENTS-0067");
    assert_eq!(letters(&store).await.len(), 5);
    refuses.set(&[]);
    let replayed = consumers.replay(NAME, Position(5)).await.unwrap();
    assert_eq!(replayed, counts(5, 0, 0));

    assert_eq!(letters(&store).await, []);
    let head = append(&*store, 3, 2).await;
    until_all_at(&store, head).await;
    assert_exactly_once(&effects(&database).await, head);
}

async fn a_new_owner_holds_back_what_the_former_one_would_have(database: Arc<Database>) {
    let (store, former, refuses) = refusing(&database, &[17]).await;
    assert_eq!(waiting(&store).await, [(17, None)]);
    former.shutdown(PATIENCE).await;
    refuses.set(&[]);
    let next = consumers(&store);
    let delivery = Delivery::exactly_once(refuses);
    next.start(options(), delivery).await.unwrap();

    let head = append(&*store, 3, 2).await;
    until_all_at(&store, head).await;

    let expected = [(17, None), (20, Some(17)), (23, Some(17))];
    assert_eq!(waiting(&store).await, expected);
    let all = next.replay_all(NAME, None).await.unwrap();
    assert_eq!(all, counts(3, 0, 0));
    assert_exactly_once(&effects(&database).await, head);
}

async fn behind_one_that_fails_again_everything_stays(database: Arc<Database>) {
    let (store, consumers, refuses) = refusing(&database, &[5]).await;
    refuses.set(&[11]);

    let replayed = consumers.replay(NAME, Position(5)).await.unwrap();

    assert_eq!(replayed, counts(2, 1, 0));
    let expected = [(11, None), (14, Some(5)), (17, Some(5))];
    assert_eq!(waiting(&store).await, expected);
    let early = consumers.replay(NAME, Position(17)).await.unwrap_err();
    assert!(early.to_string().contains("behind 11"), "{early}");
    let all = consumers.replay_all(NAME, None).await.unwrap();
    assert_eq!(all, counts(0, 1, 2));
    refuses.set(&[]);
    let all = consumers.replay_all(NAME, None).await.unwrap();
    assert_eq!(all, counts(3, 0, 0));
    assert_exactly_once(&effects(&database).await, Position(18));
}

async fn what_was_behind_a_dropped_one_can_be_replayed_in_order(database: Arc<Database>) {
    let (store, consumers, _) = refusing(&database, &[11]).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));

    let drop = subscriptions.drop_dead_letter(NAME, Position(11));
    drop.await.unwrap();

    let early = consumers.replay(NAME, Position(17)).await.unwrap_err();
    assert!(early.to_string().contains("behind 14"), "{early}");
    let replayed = consumers.replay(NAME, Position(14)).await.unwrap();
    assert_eq!(replayed, counts(2, 0, 0));
    let head = append(&*store, 3, 1).await;
    until_all_at(&store, head).await;
    assert_eq!(letters(&store).await, []);
    let expected: BTreeSet<u64> = (1..=head.0).filter(|position| *position != 11).collect();
    assert_eq!(handled(&database).await, expected);
}

/// Refuses the first event once; then takes its time with it until it may go on.
struct Lingers {
    log: Arc<Log>,
    is_broken: Arc<AtomicBool>,
    is_there: Arc<Notify>,
    may_go: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Lingers {
    async fn handle(&self, events: &[RecordedEvent]) -> Result<(), HandlerError> {
        if events.iter().any(|event| event.position == Position(1)) {
            if self.is_broken.load(Ordering::SeqCst) {
                return Err(HandlerError::permanent("not yet"));
            }
            self.is_there.notify_one();
            let _ = self.may_go.acquire().await;
        }
        self.log.add(events);
        Ok(())
    }
}

async fn what_comes_during_a_replay_follows_it(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 2).await;
    let (log, is_broken) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(true)));
    let (is_there, may_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let handler = Lingers {
        log: Arc::clone(&log),
        is_broken: Arc::clone(&is_broken),
        is_there: Arc::clone(&is_there),
        may_go: Arc::clone(&may_go),
    };
    let consumers = Arc::new(consumers(&store));
    let options = ConsumerOptions {
        partitions: 1,
        ..options()
    };
    let delivery = Delivery::at_least_once(handler);
    consumers.start(options, delivery).await.unwrap();
    until_all_at(&store, Position(2)).await;
    is_broken.store(false, Ordering::SeqCst);
    let replaying = Arc::clone(&consumers);
    let replay = tokio::spawn(async move { replaying.replay(NAME, Position(1)).await });
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();

    append(&*store, 1, 2).await;
    until_all_at(&store, Position(4)).await;
    assert_eq!(log.positions(), []);
    assert_eq!(letters(&store).await.len(), 4);
    may_go.add_permits(1);
    let replayed = replay.await.unwrap().unwrap();

    assert_eq!(replayed, counts(4, 0, 0));
    assert_eq!(log.positions(), [1, 2, 3, 4].map(Position));
    assert_eq!(letters(&store).await, []);
}

/// Writes effects, and refuses one event in six whatever it is, while it is moody.
struct Moody(Arc<AtomicBool>);

#[async_trait]
impl TransactionalHandler for Moody {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, "a", transaction).await?;
            let drawn = uuid::Uuid::new_v4().as_bytes()[0];
            if drawn < 43 && self.0.load(Ordering::SeqCst) {
                return Err(HandlerError::permanent("not in the mood"));
            }
        }
        Ok(())
    }
}

async fn order_and_effects_hold_while_replays_race_with_deliveries(database: Arc<Database>) {
    let poll = Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let stores = [
        database.open_with(poll.clone()).await,
        database.open_with(poll).await,
    ];
    effects_table(&database).await;
    let is_moody = Arc::new(AtomicBool::new(true));
    let all = [consumers(&stores[0]), consumers(&stores[1])];
    for consumers in &all {
        let options = ConsumerOptions {
            batch_size: 3,
            partitions: 2,
            ..options()
        };
        let delivery = Delivery::exactly_once(Moody(Arc::clone(&is_moody)));
        consumers.start(options, delivery).await.unwrap();
    }
    let all = Arc::new(all);
    let is_over = Arc::new(AtomicBool::new(false));
    let replays = (0..2).map(|n| {
        let (all, is_over) = (Arc::clone(&all), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut handled = 0;
            while !is_over.load(Ordering::SeqCst) {
                match all[n].replay_all(NAME, None).await {
                    Ok(replayed) => handled += replayed.handled,
                    // A wait for the other's lock may take too long on a slow machine.
                    Err(ConsumerError::Database(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            handled
        })
    });
    let replays: Vec<_> = replays.collect();
    let mut head = Position::START;
    for _ in 0..6 {
        head = append(&*stores[0], 4, 5).await;
    }
    until_all_at(&stores[0], head).await;
    is_moody.store(false, Ordering::SeqCst);
    let store = &stores[1];
    until("no dead letter", || async move {
        letters(store).await.is_empty()
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    let mut handled = 0;
    for replay in replays {
        handled += tokio::time::timeout(PATIENCE, replay)
            .await
            .unwrap()
            .unwrap();
    }

    assert!(handled > 0, "nothing was replayed");
    assert_exactly_once(&effects(&database).await, head);
}
