//! Groups that are sent with all they need at once, decided by what the store remembers: what if it is not so.

use std::sync::Arc;

use eventstore::{AppendError, ExpectedVersion, Position};
use uuid::Uuid;

use crate::database::{Database, Outside, contract};
use crate::lane::append_as_group;
use crate::proof::assert_whole;
use crate::samples::one;

contract!(
    a_stream_that_another_process_made_is_not_new,
    a_stream_that_was_forgotten_is_not_new,
    recorded_time_does_not_go_back_behind_another_process,
    an_event_that_was_put_past_the_lane_is_not_overwritten,
    groups_of_any_size_are_stored,
    a_repetition_amid_others_is_recognised,
    a_chain_that_was_put_back_and_grew_again_is_gone_on_with,
);

pub(crate) fn assert_conflict(answer: Result<eventstore::Appended, AppendError>, actual: u64) {
    match answer {
        Err(AppendError::Conflict { actual: told, .. }) => assert_eq!(told.0, actual),
        other => panic!("{other:?}"),
    }
}

async fn a_stream_that_another_process_made_is_not_new(database: Arc<Database>) {
    let (here, there) = (database.open().await, database.open().await);
    here.append(one("a", ExpectedVersion::Any)).await.unwrap();
    there.append(one("b", ExpectedVersion::Any)).await.unwrap();

    let answer = here.append(one("b", ExpectedVersion::NoStream)).await;

    assert_conflict(answer, 1);
    assert_eq!(assert_whole(&database).await.len(), 2);
}

async fn a_stream_that_was_forgotten_is_not_new(database: Arc<Database>) {
    let first = database.open().await;
    first.append(one("a", ExpectedVersion::Any)).await.unwrap();
    first.close().await;
    let store = database.open().await;
    // Now it knows the end of the store and of the tenant's chain, but not of this stream.
    store.append(one("b", ExpectedVersion::Any)).await.unwrap();

    let answer = store.append(one("a", ExpectedVersion::NoStream)).await;

    assert_conflict(answer, 1);
    assert_eq!(assert_whole(&database).await.len(), 2);
}

async fn recorded_time_does_not_go_back_behind_another_process(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let mut outside = database.connect().await;
    // As one leaves it whose clock is ahead, and who found everything stored already.
    let ahead = match outside {
        Outside::Sqlite(_) => "UPDATE event_lanes SET recorded_at = recorded_at + 3600000000",
        Outside::Postgres(_) => {
            "UPDATE event_lanes SET recorded_at = recorded_at + interval '1 hour'"
        }
    };
    outside.execute(ahead).await;

    store.append(one("a", ExpectedVersion::Any)).await.unwrap();

    let behind = "SELECT count(*) FROM events, event_lanes \
        WHERE position = 2 AND events.recorded_at < event_lanes.recorded_at";
    assert_eq!(outside.number(behind).await, 0);
    assert_eq!(assert_whole(&database).await.len(), 2);
}

/// The statement that stores is refused by the database; the transaction behind it is, too, and says why.
async fn an_event_that_was_put_past_the_lane_is_not_overwritten(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let mut outside = database.connect().await;
    let past = format!(
        "INSERT INTO events (lane, position, event_id, tenant, stream_type, stream_id, stream_version, \
           event_type, schema_version, recorded_at, data, metadata, tenant_sequence, hash) \
         SELECT lane, 2, '{}', tenant, stream_type, 'b', 1, \
           event_type, schema_version, recorded_at, data, metadata, 2, hash FROM events",
        Uuid::now_v7()
    );
    outside.execute(&past).await;

    let answer = store.append(one("a", ExpectedVersion::Any)).await;

    assert!(
        matches!(answer, Err(AppendError::Invalid { .. })),
        "{answer:?}"
    );
    outside
        .execute("DELETE FROM events WHERE position = 2")
        .await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    assert_eq!(assert_whole(&database).await.len(), 2);
}

/// SQLite gets them in pieces, of which the first begins the transaction and the last ends it.
async fn groups_of_any_size_are_stored(database: Arc<Database>) {
    let store = database.open().await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let sizes = [1, 2, 3, 63, 64, 65, 127, 128, 200];
    for (round, size) in sizes.into_iter().enumerate() {
        let appends = (0..size).map(|n| {
            // Some begin a stream, some go on with one.
            let name = if n % 3 == 0 {
                "a".into()
            } else {
                format!("{round}-{n}")
            };
            let expected = match n % 3 {
                0 => ExpectedVersion::Any,
                _ => ExpectedVersion::NoStream,
            };
            store.append(one(name, expected))
        });
        for answer in futures::future::join_all(appends).await {
            answer.unwrap();
        }
    }
    let total = 1 + sizes.iter().sum::<usize>();
    assert_eq!(assert_whole(&database).await.len(), total);
}

/// By what is remembered it is a conflict, and the others of its group can be stored.
async fn a_repetition_amid_others_is_recognised(database: Arc<Database>) {
    let store = database.open().await;
    let repeated = one("a", ExpectedVersion::NoStream);
    let first = store.append(repeated.clone()).await.unwrap();
    let appends = vec![
        one("a", ExpectedVersion::Exact(1)),
        one("a", ExpectedVersion::Exact(2)),
        repeated,
        one("b", ExpectedVersion::NoStream),
    ];

    let answers = append_as_group(&database, &store, appends).await;

    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers[2].already_stored);
    assert_eq!(answers[2].last, first.last);
    assert_eq!(answers[3].last, Position(4));
    assert_eq!(assert_whole(&database).await.len(), 4);
}

/// The store is as long as it was, and nothing of what is appended is in its way: only the last hash tells.
async fn a_chain_that_was_put_back_and_grew_again_is_gone_on_with(database: Arc<Database>) {
    let (here, there) = (database.open().await, database.open().await);
    for name in ["a", "b", "c"] {
        here.append(one(name, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }
    let mut outside = database.connect().await;
    let put_back = "DELETE FROM events WHERE position > 1; UPDATE event_lanes SET head = 1";
    outside.execute(put_back).await;
    outside.close().await;
    for name in ["d", "e"] {
        there
            .append(one(name, ExpectedVersion::NoStream))
            .await
            .unwrap();
    }

    here.append(one("f", ExpectedVersion::NoStream))
        .await
        .unwrap();

    assert_eq!(assert_whole(&database).await.len(), 4);
}
