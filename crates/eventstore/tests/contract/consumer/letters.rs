//! Dead letters: listed, handled again, dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use eventstore::consumer::{
    ConsumerError, ConsumerOptions, Consumers, DeadLetterCursor, DeadLetterQuery, Delivery,
    Handler, HandlerError, Replayed, Subscriptions, TransactionalHandler,
};
use eventstore::{
    Append, EventStore, ExpectedVersion, Position, RecordedEvent, StreamKey, Transaction,
};
use tokio::sync::{Notify, Semaphore};

use super::failures::{letters, patient};
use super::stage::{
    NAME, append, consumers, effects, effects_table, insert_effect, options, until_all_at,
};
use crate::database::{Database, PATIENCE, contract};
use crate::samples::event;

contract!(
    dead_letters_are_listed_by_subscription_and_tenant_page_by_page,
    a_replay_that_succeeds_removes_the_dead_letter_with_its_effect,
    two_replays_of_one_dead_letter_exclude_each_other,
    a_replay_that_was_cut_off_can_be_repeated,
    dead_letters_can_be_dropped,
);

/// Writes effects, unless it is broken.
struct Breakable(Arc<AtomicBool>);

#[async_trait]
impl TransactionalHandler for Breakable {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            insert_effect(event, "a", transaction).await?;
        }
        if self.0.load(Ordering::SeqCst) {
            return Err(HandlerError::permanent("broken"));
        }
        Ok(())
    }
}

/// Two subscriptions with a dead letter for each of six events, three of each of two tenants.
async fn six_letters(store: &Arc<dyn EventStore>) -> (Consumers, Arc<AtomicBool>) {
    for n in 0..3 {
        for tenant in ["acme", "other"] {
            let stream = StreamKey::new(tenant, "order", n.to_string());
            let write = Append::to(stream, ExpectedVersion::NoStream, vec![event(n)]);
            store.append(write).await.unwrap();
        }
    }
    let (consumers, is_broken) = (consumers(store), Arc::new(AtomicBool::new(true)));
    for name in [NAME, "other-mail"] {
        let options = ConsumerOptions {
            name: name.into(),
            ..options()
        };
        let delivery = Delivery::exactly_once(Breakable(Arc::clone(&is_broken)));
        consumers.start(options, delivery).await.unwrap();
    }
    until_all_at(store, Position(6)).await;
    let store_seen = store;
    super::stage::until("all dead letters", || async move {
        all(store_seen, None, None, 1000).await.len() == 12
    })
    .await;
    (consumers, is_broken)
}

async fn all(
    store: &Arc<dyn EventStore>,
    subscription: Option<&str>,
    tenant: Option<&str>,
    limit: usize,
) -> Vec<(String, u64)> {
    let subscriptions = Subscriptions::new(Arc::clone(store));
    let mut query = DeadLetterQuery {
        subscription: subscription.map(str::to_owned),
        tenant: tenant.map(str::to_owned),
        after: None,
        limit,
    };
    let mut all = Vec::new();
    loop {
        let page = subscriptions.dead_letters(&query).await.unwrap();
        assert!(page.letters.len() <= limit);
        for letter in page.letters {
            assert!(tenant.is_none_or(|tenant| letter.stream.tenant == tenant));
            all.push((letter.subscription, letter.position.0));
        }
        let Some(next) = page.next else {
            return all;
        };
        // As it would come back from a caller.
        let text = serde_json::to_string(&next).unwrap();
        query.after = Some(serde_json::from_str::<DeadLetterCursor>(&text).unwrap());
    }
}

async fn dead_letters_are_listed_by_subscription_and_tenant_page_by_page(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let (_consumers, _) = six_letters(&store).await;
    let of = |name: &str, positions: &[u64]| -> Vec<(String, u64)> {
        positions.iter().map(|at| (name.to_owned(), *at)).collect()
    };
    for limit in [1, 2, 3, 5, 1000] {
        let every = [
            of(NAME, &[1, 2, 3, 4, 5, 6]),
            of("other-mail", &[1, 2, 3, 4, 5, 6]),
        ];
        assert_eq!(all(&store, None, None, limit).await, every.concat());
        let acme = [of(NAME, &[1, 3, 5]), of("other-mail", &[1, 3, 5])];
        assert_eq!(all(&store, None, Some("acme"), limit).await, acme.concat());
        let others = all(&store, Some(NAME), Some("other"), limit).await;
        assert_eq!(others, of(NAME, &[2, 4, 6]));
        let one = all(&store, Some("other-mail"), None, limit).await;
        assert_eq!(one, of("other-mail", &[1, 2, 3, 4, 5, 6]));
    }
    assert_eq!(all(&store, Some("nobody"), None, 10).await, []);
}

async fn a_replay_that_succeeds_removes_the_dead_letter_with_its_effect(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let (consumers, is_broken) = six_letters(&store).await;

    let failed = consumers.replay(NAME, Position(2)).await.unwrap_err();
    assert_eq!(failed.code(), "SIGNET-EVENTS-0067");
    assert!(failed.to_string().contains("broken"));
    let letter = letters(&store).await.remove(1);
    assert_eq!((letter.position, letter.attempts), (Position(2), 2));
    assert!(letter.last_failed_at >= letter.first_failed_at);
    assert_eq!(effects(&database).await, []);

    is_broken.store(false, Ordering::SeqCst);
    consumers.replay(NAME, Position(2)).await.unwrap();
    let gone = consumers.replay(NAME, Position(2)).await.unwrap_err();
    assert_eq!(gone.code(), "SIGNET-EVENTS-0065");
    let positions = async || -> Vec<u64> {
        let effects = effects(&database).await;
        effects.iter().map(|effect| effect.position).collect()
    };
    assert_eq!(positions().await, [2]);

    let replayed = consumers.replay_all(NAME, Some("acme")).await.unwrap();
    let expected = Replayed {
        handled: 3,
        ..Replayed::default()
    };
    assert_eq!(replayed, expected);
    assert_eq!(positions().await, [2, 1, 3, 5]);

    is_broken.store(true, Ordering::SeqCst);
    let replayed = consumers.replay_all(NAME, None).await.unwrap();
    let expected = Replayed {
        failed: 2,
        ..Replayed::default()
    };
    assert_eq!(replayed, expected);
    let kept = all(&store, Some(NAME), None, 10).await;
    assert_eq!(kept, [(NAME.to_owned(), 4), (NAME.to_owned(), 6)]);
    let unknown = consumers.replay("nobody", Position(1)).await.unwrap_err();
    assert_eq!(unknown.code(), "SIGNET-EVENTS-0062");
}

/// Refuses the first attempt; the second one takes until it may go.
struct Second {
    calls: Arc<AtomicU32>,
    is_there: Arc<Notify>,
    may_go: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Second {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(HandlerError::permanent("not yet"));
        }
        self.is_there.notify_one();
        let _ = self.may_go.acquire().await;
        Ok(())
    }
}

/// A dead letter at position 1, whose replay takes until it may go.
async fn slow_replay(
    store: &Arc<dyn EventStore>,
    timeout: Option<Duration>,
) -> (Arc<Consumers>, Arc<Notify>, Arc<Semaphore>) {
    append(&**store, 1, 1).await;
    let (is_there, may_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let handler = Second {
        calls: Arc::default(),
        is_there: Arc::clone(&is_there),
        may_go: Arc::clone(&may_go),
    };
    let consumers = Arc::new(consumers(store));
    let options = ConsumerOptions {
        batch_timeout: timeout,
        // As long as a claim holds at least.
        lease: Duration::from_millis(600),
        ..patient()
    };
    let delivery = Delivery::at_least_once(handler);
    consumers.start(options, delivery).await.unwrap();
    until_all_at(store, Position(1)).await;
    (consumers, is_there, may_go)
}

async fn two_replays_of_one_dead_letter_exclude_each_other(database: Arc<Database>) {
    let store = database.open().await;
    let (consumers, is_there, may_go) = slow_replay(&store, None).await;
    let first = Arc::clone(&consumers);
    let first = tokio::spawn(async move { first.replay(NAME, Position(1)).await });
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();

    let second = consumers.replay(NAME, Position(1)).await;
    assert!(matches!(second, Err(ConsumerError::DeadLetterBusy { .. })));
    let all = consumers.replay_all(NAME, None).await.unwrap();
    assert_eq!((all.handled, all.failed, all.skipped), (0, 0, 1));

    may_go.add_permits(1);
    first.await.unwrap().unwrap();
    assert_eq!(letters(&store).await, []);
}

async fn a_replay_that_was_cut_off_can_be_repeated(database: Arc<Database>) {
    let store = database.open().await;
    let (consumers, is_there, may_go) = slow_replay(&store, Some(Duration::from_millis(50))).await;
    let first = Arc::clone(&consumers);
    let first = tokio::spawn(async move { first.replay(NAME, Position(1)).await });
    tokio::time::timeout(PATIENCE, is_there.notified())
        .await
        .unwrap();
    first.abort();
    let _ = first.await;
    may_go.add_permits(1);

    // As soon as its claim has run out.
    let consumers = &consumers;
    super::stage::until("the second replay", || async move {
        match consumers.replay(NAME, Position(1)).await {
            Ok(_) => true,
            Err(ConsumerError::DeadLetterBusy { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    assert_eq!(letters(&store).await, []);
}

async fn dead_letters_can_be_dropped(database: Arc<Database>) {
    let store = database.open().await;
    effects_table(&database).await;
    let (_consumers, _) = six_letters(&store).await;
    let subscriptions = Subscriptions::new(Arc::clone(&store));

    let one = subscriptions.drop_dead_letter(NAME, Position(4));
    one.await.unwrap();
    let gone = subscriptions.drop_dead_letter(NAME, Position(4)).await;
    assert_eq!(gone.unwrap_err().code(), "SIGNET-EVENTS-0065");
    let tenants = subscriptions.drop_dead_letters(NAME, Some("acme")).await;
    assert_eq!(tenants.unwrap(), 3);
    assert_eq!(
        subscriptions.drop_dead_letters(NAME, None).await.unwrap(),
        2
    );

    let positions: BTreeSet<_> = all(&store, None, None, 10).await.into_iter().collect();
    assert_eq!(positions.len(), 6);
    assert!(positions.iter().all(|(name, _)| name == "other-mail"));
}
