//! Groups that PostgreSQL gets as one message: that they are, what comes between, and lost messages.

use std::sync::Arc;
use std::time::Duration;

use eventstore::ExpectedVersion;

use crate::database::{Database, Outside, PATIENCE, postgres_only};
use crate::guess::assert_conflict;
use crate::proof::{assert_whole, times};
use crate::proxy::{Fault, Proxy};
use crate::samples::one;

postgres_only!(
    appends_to_known_and_new_streams_are_one_message,
    an_append_that_waited_for_the_lane_sees_what_came_before_it,
    an_answer_that_is_lost_is_found_out_about,
    an_answer_that_is_lost_is_found_out_about_by_several_messages,
    a_message_that_is_lost_is_sent_again,
);

/// Counts the events that are stored by a transaction of one message.
async fn count_messages(outside: &mut Outside) {
    let sql = "CREATE TABLE told (one_message boolean); \
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
          INSERT INTO told VALUES (current_query() LIKE '%UPDATE event_lanes%'); \
          RETURN new; END $$; \
        CREATE TRIGGER tell BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION tell()";
    outside.execute(sql).await;
}

async fn of_one_message(outside: &mut Outside) -> i64 {
    let sql = "SELECT count(*) FROM told WHERE one_message";
    outside.number(sql).await
}

async fn appends_to_known_and_new_streams_are_one_message(database: Arc<Database>) {
    let store = database.open().await;
    let mut outside = database.connect().await;
    count_messages(&mut outside).await;

    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    assert_eq!(of_one_message(&mut outside).await, 0);
    for expected in [ExpectedVersion::Any, ExpectedVersion::Exact(2)] {
        store.append(one("a", expected)).await.unwrap();
    }
    let new = one("b", ExpectedVersion::NoStream);
    store.append(new).await.unwrap();
    assert_eq!(of_one_message(&mut outside).await, 3);
    let repeated = one("b", ExpectedVersion::Any);
    let appended = store.append(repeated.clone()).await.unwrap();
    assert_eq!(of_one_message(&mut outside).await, 4);

    // A repetition is looked up, and so is what comes behind it for a while.
    let again = store.append(repeated).await.unwrap();
    assert!(again.already_stored);
    assert_eq!(again.last, appended.last);
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    assert_eq!(of_one_message(&mut outside).await, 4);
    for _ in 0..20 {
        store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    }
    assert!(of_one_message(&mut outside).await > 4);
    assert_eq!(assert_whole(&database).await.len(), 26);
}

async fn an_append_that_waited_for_the_lane_sees_what_came_before_it(database: Arc<Database>) {
    let (here, there) = (database.open().await, database.open().await);
    here.append(one("a", ExpectedVersion::Any)).await.unwrap();
    let mut outside = database.connect().await;
    let hold = database.hold_lane().await;
    let mut answers = Vec::new();
    for (waiting, store) in [there, here].into_iter().enumerate() {
        let append = one("a", ExpectedVersion::Exact(1));
        answers.push(tokio::spawn(async move { store.append(append).await }));
        until_waiting(&mut outside, waiting as i64 + 1).await;
    }
    hold.release().await;

    let mut answers = answers.into_iter();
    let mut answer = async || answers.next().unwrap().await.unwrap();
    assert_eq!(answer().await.unwrap().versions, [2]);
    assert_conflict(answer().await, 2);
    assert_eq!(assert_whole(&database).await.len(), 2);
}

/// Waits until so many sessions wait for a lock.
async fn until_waiting(outside: &mut Outside, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while outside.number(waiting).await < count {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn an_answer_that_is_lost_is_found_out_about(database: Arc<Database>) {
    broken_once(&database, Fault::AfterNextCommit, &["seed", "stream"]).await;
}

async fn an_answer_that_is_lost_is_found_out_about_by_several_messages(database: Arc<Database>) {
    broken_once(&database, Fault::AfterNextCommit, &["stream"]).await;
}

async fn a_message_that_is_lost_is_sent_again(database: Arc<Database>) {
    broken_once(&database, Fault::BeforeNextCommit, &["seed", "stream"]).await;
}

/// Breaks the connection once at the last of some appends, which must not be noticed.
async fn broken_once(database: &Database, fault: Fault, appends: &[&str]) {
    let proxy = Proxy::before(database).await;
    let database_behind = proxy.database(database);
    let rounds = times(10, 200);
    for round in 0..rounds {
        // One that has nothing in mind.
        let store = database_behind.open().await;
        for (index, name) in appends.iter().enumerate() {
            if index + 1 == appends.len() {
                proxy.set(fault);
            }
            let append = one(format!("{name}-{round}"), ExpectedVersion::NoStream);
            let appended = store.append(append).await.unwrap();
            assert!(!appended.already_stored);
            assert_eq!(appended.versions, [1]);
        }
        assert_eq!(proxy.cuts(), round + 1);
        store.close().await;
    }
    let lines = assert_whole(database).await;
    assert_eq!(lines.len(), rounds * appends.len());
}
