//! What went wrong elsewhere: defects that other event stores had in the field, one test each. That a
//! commit whose answer was lost is neither forgotten nor done twice, `wire` shows.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Append, AppendError, ExpectedVersion, Options, Position};
use futures::StreamExt;

use crate::database::{Database, PATIENCE, contract};
use crate::proof::{assert_whole, times};
use crate::samples::{all, assert_in_order, event, next, one, write};
use crate::server::Server;

contract!(
    an_empty_append_does_not_wedge_its_stream,
    clocks_that_disagree_or_step_back_never_turn_the_order,
    a_conflict_does_not_take_a_position,
);

async fn an_empty_append_does_not_wedge_its_stream(database: Arc<Database>) {
    let store = database.open().await;
    let mut subscription = store.subscribe(Position::START);
    for n in 0..3 {
        let nothing = write("a", ExpectedVersion::Exact(n), Vec::new());
        let something = write("b", ExpectedVersion::Any, vec![event(1)]);
        for empty in [vec![], vec![nothing.clone()], vec![something, nothing]] {
            let refused = store.append(Append::new(empty)).await.unwrap_err();
            assert!(matches!(refused, AppendError::Invalid { .. }), "{refused}");
        }
        let appended = store
            .append(one("a", ExpectedVersion::Exact(n)))
            .await
            .unwrap();
        assert_eq!((appended.last.0, appended.versions), (n + 1, vec![n + 1]));
        assert_in_order(&next(&mut subscription, 1).await, n + 1);
    }
    assert_eq!(assert_whole(&database).await.len(), 3);
}

async fn clocks_that_disagree_or_step_back_never_turn_the_order(database: Arc<Database>) {
    use time::OffsetDateTime as Time;
    const NOW: i64 = 1_790_000_000;
    fn at(seconds: i64) -> Time {
        Time::from_unix_timestamp(seconds).unwrap()
    }
    let clocks: [fn() -> Time; 6] = [
        || at(NOW),
        || at(NOW - 3600),
        || at(0),
        || at(-1),
        || at(-62_135_596_800), // in the year 1
        || at(NOW + 1),
    ];
    let mut expected = Vec::new();
    let mut stores = Vec::new();
    for (n, clock) in clocks.into_iter().enumerate() {
        let options = Options {
            clock,
            ..Options::default()
        };
        stores.push(database.open_with(options).await);
        // All replicas so far, the youngest first and last.
        for store in stores.iter().rev().chain(stores.last()) {
            store.append(one(n, ExpectedVersion::Any)).await.unwrap();
        }
        expected.extend(vec![at(NOW + i64::from(n == 5)); n + 2]);
    }
    let times: Vec<_> = all(&*stores[0])
        .await
        .iter()
        .map(|event| event.recorded_at)
        .collect();
    assert_eq!(times, expected);
    assert_whole(&database).await;
}

async fn a_conflict_does_not_take_a_position(database: Arc<Database>) {
    let store = database.open().await;
    let appends = (0..40).map(|n| one("contested", ExpectedVersion::Exact(n / 4)));
    let answers = futures::future::join_all(appends.map(|append| store.append(append))).await;
    assert_eq!(answers.iter().flatten().count(), 10);
    assert_eq!(assert_whole(&database).await.len(), 10);
}

// A reader that follows the greatest position it saw loses what is committed below it later. So a
// position must not be seen while one below it is still open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_skipped_by_a_moving_high_water_mark() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    database
        .run(no_position_is_seen_before_those_below_it)
        .await;
}

async fn no_position_is_seen_before_those_below_it(database: Arc<Database>) {
    let stores = [database.open().await, database.open().await];
    let mut outside = database.connect().await;
    // The commit of a slow stream waits for as long as we like.
    outside
        .execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED \
               FOR EACH ROW WHEN (new.stream_id = 'slow') EXECUTE FUNCTION wait()",
        )
        .await;
    for n in 0..times(5, 100) {
        let before = Position(2 * n as u64);
        let mut subscription = stores[1].subscribe(before);
        outside.execute("SELECT pg_advisory_lock(1)").await;
        let waiting = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut calls = Vec::new();
        for (store, stream) in stores.iter().zip(["slow", "fast"]) {
            let store = Arc::clone(store);
            let append = one(stream, ExpectedVersion::Any);
            calls.push(tokio::spawn(async move { store.append(append).await }));
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while outside.number(waiting).await < calls.len() as i64 {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "{stream} does not wait"
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        // The fast one has not overtaken the slow one, neither for reading nor for its caller.
        assert_eq!(stores[1].read_all(before, 10).await.unwrap(), []);
        assert!(futures::poll!(subscription.next()).is_pending());
        assert!(!calls[1].is_finished());

        outside.execute("SELECT pg_advisory_unlock(1)").await;
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let seen = next(&mut subscription, 2).await;
        assert_in_order(&seen, before.0 + 1);
        assert_eq!(
            (&*seen[0].stream.stream_id, &*seen[1].stream.stream_id),
            ("slow", "fast")
        );
    }
    assert_whole(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_that_was_told_survives_a_power_cut_whatever_the_database_prefers() {
    // Without the store's own setting the log is in memory for ten seconds.
    let Some(server) = Server::start(&["synchronous_commit=off", "wal_writer_delay=10000ms"])
    else {
        return;
    };
    let database = server.database();
    for n in 0..times(3, 50) {
        let store = database.open().await;
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
        tokio::task::block_in_place(|| {
            server.kill();
            server.start_again();
        });
        assert_eq!(assert_whole(&database).await.len(), n + 1);
    }
}
