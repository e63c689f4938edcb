//! Replays that take longer than somebody waits for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventstore::{
    Append, EventStore, ExpectedVersion, NewEvent, Options, RecordedEvent, StreamKey,
    consumer::{
        ConsumerOptions, Consumers, ConsumersOptions, DeadLetterQuery, Delivery, Handler,
        HandlerError, Subscriptions,
    },
};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, oneshot};

use super::{detached, replay_all};

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_wait_for_it_is_done_all_the_same() {
    let (go, gone) = oneshot::channel();
    let (say, said) = oneshot::channel();
    let work = async move {
        gone.await.unwrap();
        say.send(7).unwrap();
        Ok(())
    };

    let outcome = detached(work, Duration::from_secs(1)).await.unwrap();
    assert_eq!(outcome, None);

    go.send(()).unwrap();
    assert_eq!(said.await.unwrap(), 7);
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let work = async { panic!("of a handler") };
    let outcome = detached::<()>(work, Duration::from_secs(1)).await;
    assert_eq!(outcome.unwrap_err().code(), "SIGNET-CENTRAL-0016");
}

/// Gives every event up at first; later it handles one whenever it is let.
struct Slow {
    gives_up: Arc<AtomicBool>,
    lets: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        if self.gives_up.load(Ordering::Relaxed) {
            return Err(HandlerError::permanent("not yet"));
        }
        let let_in = self.lets.acquire().await;
        let_in
            .map_err(|_| HandlerError::permanent("it is over"))?
            .forget();
        Ok(())
    }
}

/// A subscription with three dead letters, each of a stream of its own.
async fn with_letters(
    store: &Arc<dyn EventStore>,
    handler: Slow,
) -> (Subscriptions, Arc<Consumers>) {
    for id in ["a", "b", "c"] {
        let event = NewEvent::new("Asked", 1, serde_json::json!({}));
        let stream = StreamKey::new("acme", "order", id);
        let append = Append::to(stream, ExpectedVersion::NoStream, vec![event]);
        store.append(append).await.unwrap();
    }
    let consumers = Consumers::new(Arc::clone(store), ConsumersOptions::default());
    let mut options = ConsumerOptions::new("audit");
    options.partitions = 1;
    let started = consumers.start(options, Delivery::at_least_once(handler));
    started.await.unwrap();
    let subscriptions = Subscriptions::new(Arc::clone(store));
    for _ in 0..1000 {
        let now = OffsetDateTime::now_utc();
        let status = subscriptions.status("audit", now).await;
        if status.is_ok_and(|status| status.dead_letters == 3) {
            return (subscriptions, Arc::new(consumers));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the events were not given up");
}

#[tokio::test]
async fn a_letter_that_is_still_being_handled_is_named_and_the_round_goes_on_behind_it() {
    let store = eventstore::open("sqlite::memory:", Options::default());
    let store = store.await.unwrap();
    let (gives_up, lets) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let handler = Slow {
        gives_up: Arc::clone(&gives_up),
        lets: Arc::clone(&lets),
    };
    let (subscriptions, consumers) = with_letters(&store, handler).await;
    gives_up.store(false, Ordering::Relaxed);
    let round = async |after, patience| {
        let query = DeadLetterQuery {
            subscription: Some("audit".into()),
            tenant: None,
            after,
            limit: 1000,
        };
        let replay = replay_all(
            subscriptions.clone(),
            Arc::clone(&consumers),
            query,
            patience,
        );
        replay.await.unwrap()
    };

    let first = round(None, Duration::from_millis(50)).await;

    let replaying = first.replaying.unwrap();
    assert_eq!((replaying.position.0, first.replayed.handled), (1, 0));
    assert!(!first.end);
    assert_eq!(first.next.unwrap().position.0, 1);

    // The first round goes on by itself, so both take what is left; nobody misses anything.
    lets.add_permits(10);
    let second = round(Some(replaying), Duration::from_secs(20)).await;
    assert!(second.end && second.replaying.is_none(), "{second:?}");
    for _ in 0..1000 {
        let status = subscriptions.status("audit", OffsetDateTime::now_utc());
        if status.await.unwrap().dead_letters == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not all were handled");
}
