//! Handlers that fail: tried again, given a rest, their events put aside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::consumer::{
    AfterDeadLetter, CircuitBreaker, ConsumerOptions, DeadLetter, DeadLetterQuery, Delivery,
    Exhausted, Handler, HandlerError, PartitionState, Subscriptions, TransactionalHandler,
};
use eventstore::{EventStore, Position, RecordedEvent, Transaction};

use super::stage::{
    Check, Log, NAME, append, consumers, effects, effects_table, insert_effect, options, status,
    until, until_all_at,
};
use crate::database::{Database, PATIENCE, contract};

contract!(
    only_the_guilty_event_becomes_a_dead_letter,
    what_can_never_succeed_is_not_tried_again,
    a_panic_is_a_failure_with_its_text,
    a_handler_that_hangs_is_given_up,
    a_statement_that_failed_and_was_hidden_is_the_handlers_failure,
    while_the_circuit_is_open_nothing_is_put_aside,
    a_partition_may_stop_instead,
    a_partition_that_stopped_tries_again_when_it_is_resumed,
);

pub(super) async fn letters(store: &Arc<dyn EventStore>) -> Vec<DeadLetter> {
    let query = DeadLetterQuery {
        subscription: Some(NAME.into()),
        limit: 1000,
        ..DeadLetterQuery::default()
    };
    let subscriptions = Subscriptions::new(Arc::clone(store));
    subscriptions.dead_letters(&query).await.unwrap().letters
}

/// A breaker that does not open, and streams that go on behind a dead letter.
pub(super) fn patient() -> ConsumerOptions {
    ConsumerOptions {
        after_dead_letter: AfterDeadLetter::Continue,
        breaker: CircuitBreaker {
            failures: u32::MAX,
            ..CircuitBreaker::default()
        },
        ..options()
    }
}

/// Writes effects, and fails at every seventh event after having written its effect.
struct FailsAtSevens;

#[async_trait]
impl TransactionalHandler for FailsAtSevens {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, "a", transaction).await?;
            if event.position.0 % 7 == 0 {
                return Err(HandlerError::retryable("no sevens\0please"));
            }
        }
        Ok(())
    }
}

async fn only_the_guilty_event_becomes_a_dead_letter(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let head = append(&*store, 5, 10).await;
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(FailsAtSevens);
    consumers.start(patient(), delivery).await.unwrap();
    until_all_at(&store, head).await;

    let letters = letters(&store).await;
    let positions: Vec<_> = letters.iter().map(|letter| letter.position.0).collect();
    assert_eq!(positions, [7, 14, 21, 28, 35, 42, 49]);
    for letter in &letters {
        assert_eq!(letter.error, "no sevens\u{fffd}please");
        assert_eq!(letter.attempts, 3);
        assert!(letter.first_failed_at <= letter.last_failed_at);
        let before = Position(letter.position.0 - 1);
        let event = store.read_all(before, 1).await.unwrap().remove(0);
        assert_eq!(letter.stream, event.stream);
        assert_eq!(letter.event_id, event.id);
        assert_eq!(letter.event_type, event.event_type);
        let partition = eventstore::consumer::partition_of(&event.stream, 4);
        assert_eq!(letter.partition, partition);
    }
    let mut handled: Vec<_> = effects(&database).await;
    handled.sort_by_key(|effect| effect.position);
    let handled: Vec<_> = handled.iter().map(|effect| effect.position).collect();
    let expected: Vec<_> = (1..=head.0).filter(|position| position % 7 != 0).collect();
    assert_eq!(handled, expected);
    let statistics = consumers.statistics().remove(0);
    assert_eq!((statistics.handled, statistics.dead_lettered), (43, 7));
    assert!(statistics.failed >= 21 && statistics.retried >= 14);
    assert_eq!(status(&store).await.dead_letters, 7);
}

async fn what_can_never_succeed_is_not_tried_again(database: Arc<Database>) {
    let store = database.open().await;
    let head = append(&*store, 1, 3).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let check = Check(Arc::clone(&log), move |event: &RecordedEvent| {
        if event.position.0 == 2 {
            counted.fetch_add(1, Ordering::SeqCst);
            return Err(HandlerError::permanent("makes no sense"));
        }
        Ok(())
    });
    let options = ConsumerOptions {
        batch_size: 1,
        ..patient()
    };
    let delivery = Delivery::at_least_once(check);
    consumers.start(options, delivery).await.unwrap();
    until_all_at(&store, head).await;

    assert_eq!(log.positions(), [Position(1), Position(3)]);
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    assert_eq!(letters(&store).await[0].attempts, 1);
}

async fn a_panic_is_a_failure_with_its_text(database: Arc<Database>) {
    let store = database.open().await;
    let head = append(&*store, 1, 3).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let check = Check(Arc::clone(&log), |event: &RecordedEvent| {
        assert_ne!(event.position.0, 2, "position two");
        Ok(())
    });
    let delivery = Delivery::at_least_once(check);
    consumers.start(patient(), delivery).await.unwrap();
    until_all_at(&store, head).await;

    let error = &letters(&store).await[0].error;
    assert!(
        error.contains("panicked") && error.contains("position two"),
        "{error}"
    );
    assert_eq!(log.positions().last(), Some(&Position(3)));
}

/// Never ends with the second event; the effects before it are written.
struct Hangs;

#[async_trait]
impl TransactionalHandler for Hangs {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, "a", transaction).await?;
            if event.position.0 == 2 {
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }
}

async fn a_handler_that_hangs_is_given_up(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let head = append(&*store, 1, 3).await;
    let consumers = consumers(&store);
    let options = ConsumerOptions {
        batch_timeout: Some(Duration::from_millis(100)),
        ..patient()
    };
    let delivery = Delivery::exactly_once(Hangs);
    consumers.start(options, delivery).await.unwrap();
    until_all_at(&store, head).await;

    let letter = letters(&store).await.remove(0);
    assert_eq!(letter.position, Position(2));
    assert!(
        letter.error.contains("did not end within 100ms"),
        "{}",
        letter.error
    );
    let handled: Vec<_> = effects(&database).await;
    let handled: Vec<_> = handled.iter().map(|effect| effect.position).collect();
    assert_eq!(handled, [1, 3]);
}

/// Goes on after a statement that failed, and says that all is well.
struct Hides;

#[async_trait]
impl TransactionalHandler for Hides {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        let nonsense = "INSERT INTO nowhere VALUES (1)";
        if let Some(connection) = transaction.postgres() {
            let _ = sqlx::query(nonsense).execute(connection).await;
        } else if events.iter().any(|event| event.position.0 == 1) {
            // SQLite takes only the statement back.
            return Err(HandlerError::retryable("as on PostgreSQL"));
        }
        Ok(())
    }
}

async fn a_statement_that_failed_and_was_hidden_is_the_handlers_failure(database: Arc<Database>) {
    let store = database.open().await;
    let head = append(&*store, 1, 1).await;
    let consumers = consumers(&store);
    let delivery = Delivery::exactly_once(Hides);
    consumers.start(patient(), delivery).await.unwrap();

    until_all_at(&store, head).await;

    assert_eq!(letters(&store).await.len(), 1);
}

/// Fails while something it needs is down.
struct Needs(Arc<AtomicBool>, Arc<AtomicU32>);

#[async_trait]
impl Handler for Needs {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        if self.0.load(Ordering::SeqCst) {
            return Err(HandlerError::retryable("down"));
        }
        Ok(())
    }
}

async fn while_the_circuit_is_open_nothing_is_put_aside(database: Arc<Database>) {
    let store = database.open().await;
    let head = append(&*store, 5, 2).await;
    let consumers = consumers(&store);
    let (is_down, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let mut options = ConsumerOptions {
        partitions: 1,
        breaker: CircuitBreaker {
            failures: 3,
            open_for: Duration::from_secs(1),
        },
        ..options()
    };
    // The batch fails, then its first event twice: its attempts are used up when the circuit opens.
    options.backoff.attempts = 2;
    let needs = Needs(Arc::clone(&is_down), Arc::clone(&calls));
    let delivery = Delivery::at_least_once(needs);
    consumers.start(options, delivery).await.unwrap();
    let seen = &consumers;
    until("the open circuit", || async move {
        let partitions = seen.health().remove(0).partitions;
        let is_open = |state: &PartitionState| matches!(state, PartitionState::CircuitOpen { reason } if !reason.is_empty());
        !partitions.is_empty() && partitions.iter().all(|one| is_open(&one.state))
    })
    .await;

    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(letters(&store).await, []);
    let partitions = status(&store).await.partitions;
    assert!(partitions.iter().all(|at| at.position == Position::START));
    is_down.store(false, Ordering::SeqCst);
    until_all_at(&store, head).await;
    assert_eq!(letters(&store).await, []);
}

async fn a_partition_may_stop_instead(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 3).await;
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let check = Check(Arc::clone(&log), |event: &RecordedEvent| {
        if event.position.0 == 2 {
            return Err(HandlerError::retryable("no"));
        }
        Ok(())
    });
    let options = ConsumerOptions {
        exhausted: Exhausted::Stop,
        partitions: 1,
        ..patient()
    };
    let delivery = Delivery::at_least_once(check);
    consumers.start(options, delivery).await.unwrap();
    let seen = &consumers;
    until("the stop", || async move {
        let mut partitions = seen.health().remove(0).partitions.into_iter();
        partitions.any(|partition| {
            partition.state
                == PartitionState::Failed {
                    reason: "event 2 cannot be handled: no".into(),
                }
        })
    })
    .await;

    assert_eq!(log.positions(), [Position(1)]);
    assert_eq!(letters(&store).await, []);
    consumers.shutdown(PATIENCE).await;
    let partition = status(&store).await.partitions.remove(0);
    assert_eq!((partition.position, partition.owner), (Position(1), None));
}

async fn a_partition_that_stopped_tries_again_when_it_is_resumed(database: Arc<Database>) {
    let store = database.open().await;
    append(&*store, 1, 3).await;
    let (is_down, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let (log, consumers) = (Arc::new(Log::default()), consumers(&store));
    let check = Check(Arc::clone(&log), {
        let (is_down, tried) = (Arc::clone(&is_down), Arc::clone(&tried));
        move |event: &RecordedEvent| {
            if event.position.0 == 2 && is_down.load(Ordering::SeqCst) {
                tried.fetch_add(1, Ordering::SeqCst);
                return Err(HandlerError::retryable("no"));
            }
            Ok(())
        }
    });
    let options = ConsumerOptions {
        exhausted: Exhausted::Stop,
        partitions: 1,
        batch_size: 1,
        ..patient()
    };
    let delivery = Delivery::at_least_once(check);
    consumers.start(options, delivery).await.unwrap();
    let (seen, tried) = (&consumers, &tried);
    let stopped_after = async |attempts| {
        until("the stop", || async move {
            let partitions = seen.health().remove(0).partitions;
            let is_failed = |state: &PartitionState| matches!(state, PartitionState::Failed { .. });
            tried.load(Ordering::SeqCst) == attempts
                && partitions.iter().any(|one| is_failed(&one.state))
        })
        .await;
    };
    stopped_after(3).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));

    // With as many attempts as before.
    subscriptions.resume(NAME).await.unwrap();
    stopped_after(6).await;
    // And after a pause.
    subscriptions.pause(NAME).await.unwrap();
    is_down.store(false, Ordering::SeqCst);
    subscriptions.resume(NAME).await.unwrap();
    until_all_at(&store, Position(3)).await;

    assert_eq!(log.positions(), [1, 2, 3].map(Position));
    assert_eq!(letters(&store).await, []);
}
