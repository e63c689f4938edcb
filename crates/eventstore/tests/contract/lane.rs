//! The lane: what happens to appends that wait for it together.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{
    Append, AppendError, Appended, EventStore, ExpectedVersion, NewEvent, Options, Position,
};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::task::JoinHandle;

use crate::database::{Database, PATIENCE, contract};
use crate::samples::{all, assert_in_order, event, ids, one, write};

contract!(
    a_bad_append_of_a_group_fails_alone,
    an_append_the_database_refuses_fails_alone,
    a_full_queue_is_overloaded_and_recovers,
    a_full_queue_is_waited_for_where_that_is_wanted,
    a_full_queue_is_not_waited_for_longer_than_wanted,
    a_caller_that_leaves_hurts_nobody,
    the_same_append_twice_at_once_is_stored_once,
    closing_commits_what_is_queued,
);

fn spawn(store: &Arc<dyn EventStore>, append: Append) -> JoinHandle<Result<Appended, AppendError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.append(append).await })
}

/// Polls a future until it waits for somebody else: an append is in the queue then.
async fn poll_once<F: Future + Unpin>(future: &mut F) {
    assert!(futures::poll!(future).is_pending());
}

/// Appends while the lane is held elsewhere, so that all but the first wait in one group.
pub(crate) async fn append_as_group(
    database: &Database,
    store: &Arc<dyn EventStore>,
    appends: Vec<Append>,
) -> Vec<Result<Appended, AppendError>> {
    let hold = database.hold_lane().await;
    let mut calls: Vec<_> = Vec::new();
    for append in appends {
        let mut call = store.append(append);
        poll_once(&mut call).await;
        calls.push(call);
    }
    hold.release().await;
    join_all(calls).await
}

async fn a_bad_append_of_a_group_fails_alone(database: Arc<Database>) {
    let store = database.open().await;
    let appends = vec![
        one("first", ExpectedVersion::Any),
        one("a", ExpectedVersion::NoStream),
        one("a", ExpectedVersion::NoStream),
        one("a", ExpectedVersion::Exact(1)),
        one("b", ExpectedVersion::Any),
    ];

    let answers = append_as_group(&database, &store, appends).await;

    assert!(matches!(answers[2], Err(AppendError::Conflict { .. })));
    let last: Vec<_> = answers
        .iter()
        .flatten()
        .map(|appended| appended.last.0)
        .collect();
    assert_eq!(last, [1, 2, 3, 4]);
    assert_in_order(&all(&*store).await, 1);
}

async fn an_append_the_database_refuses_fails_alone(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    match *database {
        Database::Sqlite { .. } => {
            let sql = "CREATE TRIGGER no_poison BEFORE INSERT ON events \
                WHEN new.event_type = 'Poison' BEGIN SELECT RAISE(ABORT, 'poison'); END";
            outside.execute(sql).await;
        }
        Database::Postgres { .. } => {
            let sql = "ALTER TABLE events ADD CHECK (event_type <> 'Poison')";
            outside.execute(sql).await;
        }
    }
    let poison = NewEvent {
        event_type: "Poison".into(),
        ..event(1)
    };
    let appends = vec![
        one("first", ExpectedVersion::Any),
        one("a", ExpectedVersion::NoStream),
        Append::new(vec![write("a", ExpectedVersion::Any, vec![poison])]),
        one("a", ExpectedVersion::Exact(1)),
    ];

    let answers = append_as_group(&database, &store, appends).await;

    assert!(
        matches!(answers[2], Err(AppendError::Invalid { .. })),
        "{:?}",
        answers[2]
    );
    let last: Vec<_> = answers
        .iter()
        .flatten()
        .map(|appended| appended.last.0)
        .collect();
    assert_eq!(last, [1, 2, 3]);
    assert_in_order(&all(&*store).await, 1);
}

async fn a_full_queue_is_overloaded_and_recovers(database: Arc<Database>) {
    let options = Options {
        queue_len: 4,
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let hold = database.hold_lane().await;
    // Some are with the lane, four wait in the queue; sooner or later one is too many.
    let mut waiting = Vec::new();
    let refused = loop {
        let mut call = store.append(one(waiting.len(), ExpectedVersion::NoStream));
        match futures::poll!(&mut call) {
            std::task::Poll::Pending => waiting.push(call),
            std::task::Poll::Ready(answer) => break answer,
        }
        assert!(waiting.len() < 100, "the queue has no bound");
        tokio::task::yield_now().await;
    };

    assert_eq!(refused, Err(AppendError::Overloaded));

    hold.release().await;
    let accepted = waiting.len();
    for answer in join_all(waiting).await {
        answer.unwrap();
    }
    assert_eq!(all(&*store).await.len(), accepted);
    store
        .append(one("after", ExpectedVersion::NoStream))
        .await
        .unwrap();
}

async fn a_full_queue_is_waited_for_where_that_is_wanted(database: Arc<Database>) {
    let options = Options {
        queue_len: 2,
        queue_wait: PATIENCE,
        batch_max: 4,
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let hold = database.hold_lane().await;
    let mut calls = Vec::new();
    for n in 0..40 {
        let mut call = store.append(one(n, ExpectedVersion::NoStream));
        poll_once(&mut call).await;
        calls.push(call);
    }
    hold.release().await;

    for answer in join_all(calls).await {
        answer.unwrap();
    }

    assert_in_order(&all(&*store).await, 1);
    assert_eq!(store.head().await.unwrap(), Position(40));
}

async fn a_full_queue_is_not_waited_for_longer_than_wanted(database: Arc<Database>) {
    let options = Options {
        queue_len: 1,
        queue_wait: Duration::from_millis(20),
        // The lane takes one and leaves the others where they are.
        batch_max: 1,
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let hold = database.hold_lane().await;
    let mut calls: FuturesUnordered<_> = (0..20)
        .map(|n| spawn(&store, one(n, ExpectedVersion::NoStream)))
        .collect();

    // Nothing is stored while the lane is held, so whoever is answered was refused.
    let first = calls.next().await.unwrap().unwrap();
    assert_eq!(first, Err(AppendError::Overloaded));

    hold.release().await;
    while let Some(answer) = calls.next().await {
        let answer = answer.unwrap();
        assert!(
            matches!(answer, Ok(_) | Err(AppendError::Overloaded)),
            "{answer:?}"
        );
    }
    assert_in_order(&all(&*store).await, 1);
}

async fn a_caller_that_leaves_hurts_nobody(database: Arc<Database>) {
    let store = database.open().await;
    let hold = database.hold_lane().await;
    let appends: Vec<_> = (0..6).map(|n| one(n, ExpectedVersion::NoStream)).collect();
    let mut calls = Vec::new();
    for append in &appends {
        let mut call = store.append(append.clone());
        poll_once(&mut call).await;
        calls.push(call);
    }
    let stay: Vec<_> = calls
        .into_iter()
        .enumerate()
        .filter(|(n, _)| n % 2 == 1)
        .collect();
    hold.release().await;

    for (_, call) in stay {
        call.await.unwrap();
    }

    let stored = all(&*store).await;
    assert_in_order(&stored, 1);
    // Those who left find out by asking again.
    for append in appends {
        store.append(append.clone()).await.unwrap();
        let id = ids(&append)[0];
        assert_eq!(
            all(&*store)
                .await
                .iter()
                .filter(|event| event.id == id)
                .count(),
            1
        );
    }
    assert_eq!(store.head().await.unwrap(), Position(6));
}

async fn the_same_append_twice_at_once_is_stored_once(database: Arc<Database>) {
    let store = database.open().await;
    let other = database.open().await;
    for n in 0..20 {
        let append = one(n, ExpectedVersion::NoStream);
        let calls = [&store, &other, &store, &other].map(|store| spawn(store, append.clone()));
        let answers: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(|answer| answer.unwrap().unwrap())
            .collect();
        assert_eq!(
            answers
                .iter()
                .filter(|answer| !answer.already_stored)
                .count(),
            1
        );
        assert!(answers.iter().all(|answer| answer.last == Position(n + 1)));
    }
    assert_in_order(&all(&*store).await, 1);
}

async fn closing_commits_what_is_queued(database: Arc<Database>) {
    let store = database.open().await;
    let hold = database.hold_lane().await;
    let mut calls = Vec::new();
    for n in 0..3 {
        let mut call = store.append(one(n, ExpectedVersion::NoStream));
        poll_once(&mut call).await;
        calls.push(call);
    }

    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    // Closed is what refuses new ones; the old ones still wait for the lane.
    let refused = loop {
        let probe = one("late", ExpectedVersion::Any);
        let mut call = store.append(probe);
        match futures::poll!(&mut call) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(
        matches!(refused, Err(AppendError::Unavailable { .. })),
        "{refused:?}"
    );
    hold.release().await;

    for answer in join_all(calls).await {
        answer.unwrap();
    }
    closing.await.unwrap();
    let reopened = database.open().await;
    assert!(all(&*reopened).await.len() >= 3);
}
