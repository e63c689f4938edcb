//! Following a store.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Append, ExpectedVersion, NewEvent, Options, Position, ReadError};
use futures::StreamExt;
use tokio::time::timeout;

use crate::database::{Database, PATIENCE, contract};
use crate::samples::{assert_in_order, event, next, one, write};

contract!(
    what_is_there_comes_first_then_what_is_new,
    a_long_history_is_read_ahead_without_gaps,
    large_events_are_read_in_small_pages,
    a_subscription_begins_after_its_cursor,
    a_subscription_sees_what_another_store_appends,
    a_subscription_ends_when_the_store_is_closed,
    a_subscription_outlives_the_handle_of_its_store,
    a_cursor_ahead_of_the_store_is_an_error,
    who_waits_notices_that_the_store_was_put_back,
    a_removed_event_is_noticed,
    removed_events_at_the_end_are_noticed,
    another_event_where_the_reader_has_been_is_noticed,
);

async fn what_is_there_comes_first_then_what_is_new(database: Arc<Database>) {
    let store = database.open().await;
    // More than one page.
    for n in 0..300 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    let mut subscription = store.subscribe(Position::START);
    let mut seen = next(&mut subscription, 300).await;

    for n in 300..310 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
        seen.extend(next(&mut subscription, 1).await);
    }

    assert_eq!(seen.len(), 310);
    assert_in_order(&seen, 1);
}

async fn a_long_history_is_read_ahead_without_gaps(database: Arc<Database>) {
    let store = database.open().await;
    let batch = |count: usize| {
        let events = (0..count).map(event).collect();
        Append::new(vec![write("a", ExpectedVersion::Any, events)])
    };
    store.append(batch(4000)).await.unwrap();
    let mut subscription = store.subscribe(Position::START);
    let mut positions = Vec::new();
    for _ in 0..4 {
        let seen = next(&mut subscription, 1000).await;
        positions.extend(seen.iter().map(|event| event.position.0));
        // What is read ahead ends here or there, and what comes behind it must follow.
        store.append(batch(50)).await.unwrap();
    }
    let seen = next(&mut subscription, 200).await;
    positions.extend(seen.iter().map(|event| event.position.0));

    assert_eq!(positions, (1..=4200).collect::<Vec<_>>());
}

async fn large_events_are_read_in_small_pages(database: Arc<Database>) {
    let store = database.open().await;
    let large = || NewEvent::new("Happened", 1, serde_json::json!("x".repeat(40_000)));
    for _ in 0..3 {
        let events = (0..60).map(|_| large()).collect();
        let append = Append::new(vec![write("a", ExpectedVersion::Any, events)]);
        store.append(append).await.unwrap();
    }

    let mut subscription = store.subscribe(Position::START);
    let seen = next(&mut subscription, 180).await;

    assert_in_order(&seen, 1);
}

async fn a_subscription_begins_after_its_cursor(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..5 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    let mut from_middle = store.subscribe(Position(3));
    let mut from_end = store.subscribe(Position(5));
    assert_in_order(&next(&mut from_middle, 2).await, 4);

    store
        .append(one(5, ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_in_order(&next(&mut from_middle, 1).await, 6);
    assert_in_order(&next(&mut from_end, 1).await, 6);
}

async fn a_subscription_sees_what_another_store_appends(database: Arc<Database>) {
    // On PostgreSQL the notification alone has to do it, on SQLite there is only the poll.
    let poll_interval = match *database {
        Database::Sqlite { .. } => Duration::from_millis(20),
        Database::Postgres { .. } => Duration::from_secs(24 * 3600),
    };
    let options = Options {
        poll_interval,
        ..Options::default()
    };
    let (here, there) = (
        database.open_with(options.clone()).await,
        database.open().await,
    );
    let mut subscription = here.subscribe(Position::START);

    for n in 0..5 {
        there
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
        assert_in_order(&next(&mut subscription, 1).await, n + 1);
    }
}

async fn a_subscription_ends_when_the_store_is_closed(database: Arc<Database>) {
    let store = database.open().await;
    let mut subscription = store.subscribe(Position::START);
    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();
    next(&mut subscription, 1).await;

    store.close().await;

    let end = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap();
    assert_eq!(end, None);
    assert!(matches!(
        store.head().await,
        Err(ReadError::Unavailable { .. })
    ));
}

async fn a_subscription_outlives_the_handle_of_its_store(database: Arc<Database>) {
    let store = database.open_with(short_poll()).await;
    let mut subscription = store.subscribe(Position::START);
    drop(store);

    let other = database.open().await;
    other
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_in_order(&next(&mut subscription, 1).await, 1);
}

async fn a_cursor_ahead_of_the_store_is_an_error(database: Arc<Database>) {
    let store = database.open().await;
    store
        .append(one("a", ExpectedVersion::NoStream))
        .await
        .unwrap();
    let mut subscription = store.subscribe(Position(7));

    let item = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap();

    let error = ReadError::AheadOfStore {
        cursor: Position(7),
        head: Position(1),
    };
    assert_eq!(item, Some(Err(error)));
    assert_eq!(subscription.next().await, None);
}

// As after a database was restored from a backup under a running process: no read fails, and without
// a look at the head everything up to the old one would be missed.
async fn who_waits_notices_that_the_store_was_put_back(database: Arc<Database>) {
    let store = database.open_with(short_poll()).await;
    for n in 0..3 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    let mut subscription = store.subscribe(Position::START);
    assert_in_order(&next(&mut subscription, 3).await, 1);
    let quiet = tokio::time::timeout(Duration::from_millis(500), subscription.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");

    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE position > 1")
        .await;
    outside.execute("UPDATE event_lanes SET head = 1").await;

    let item = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap();
    let error = ReadError::AheadOfStore {
        cursor: Position(3),
        head: Position(1),
    };
    assert_eq!(item, Some(Err(error)));
    assert_eq!(subscription.next().await, None);
}

async fn a_removed_event_is_noticed(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..3 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    database
        .connect()
        .await
        .execute("DELETE FROM events WHERE position = 2")
        .await;
    let mut subscription = store.subscribe(Position::START);
    next(&mut subscription, 1).await;

    let item = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap();

    let error = ReadError::Gap {
        expected: Position(2),
        found: Position(3),
    };
    assert_eq!(item, Some(Err(error)));
    assert_eq!(subscription.next().await, None);
}

fn short_poll() -> Options {
    Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    }
}

async fn removed_events_at_the_end_are_noticed(database: Arc<Database>) {
    let store = database.open().await;
    for n in 0..4 {
        let append = one(n, ExpectedVersion::NoStream);
        store.append(append).await.unwrap();
    }
    let mut outside = database.connect().await;
    outside
        .execute("DELETE FROM events WHERE position > 2")
        .await;

    let mut subscription = store.subscribe(Position::START);
    next(&mut subscription, 2).await;
    let answer = timeout(PATIENCE, subscription.next()).await.unwrap();

    let error = ReadError::Gap {
        expected: Position(3),
        found: Position(5),
    };
    assert_eq!(answer.unwrap().unwrap_err(), error);
}

async fn another_event_where_the_reader_has_been_is_noticed(database: Arc<Database>) {
    let store = database.open().await;
    let append = async |n: u32| {
        let append = one(n, ExpectedVersion::NoStream);
        store.append(append).await.unwrap().last
    };
    append(1).await;
    let mut subscription = store.subscribe(Position::START);
    let read = next(&mut subscription, 1).await.remove(0);

    // As after a failover that lost it, and an append since: the positions are what they were.
    let other = format!(
        "UPDATE events SET event_id = '{}' WHERE position = {}",
        uuid::Uuid::now_v7(),
        read.position
    );
    database.connect().await.execute(&other).await;
    append(2).await;

    let noticed = timeout(PATIENCE, subscription.next()).await.unwrap();
    let error = noticed.unwrap().unwrap_err();
    assert_eq!(
        error,
        ReadError::Rewritten {
            position: read.position
        }
    );
    assert_eq!(error.code(), "SIGNET-EVENTS-0017");
    assert!(subscription.next().await.is_none());
}
