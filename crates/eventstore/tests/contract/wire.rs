//! Connections that break: the answer of a commit gets lost, and everything else that can.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{AppendError, EventStore, ExpectedVersion, Options, Position};

use crate::database::{Database, PATIENCE, postgres_only};
use crate::load::Load;
use crate::proof::{assert_whole, is_long, times};
use crate::proxy::{Fault, Proxy};
use crate::samples::{next, one};

postgres_only!(
    commits_whose_answers_are_lost_are_found_by_their_repetition,
    commits_that_never_arrive_are_done_by_their_repetition,
    connections_that_break_at_any_byte_lose_nothing,
    sessions_that_are_ended_at_any_moment_lose_nothing,
    connections_that_fall_silent_are_given_up,
    a_read_that_is_never_answered_is_begun_anew,
    a_reader_that_leaves_a_silent_connection_gives_its_place_back,
    a_session_that_the_server_ends_for_idling_is_not_noticed,
);

async fn open(database: &Database) -> Arc<dyn EventStore> {
    let options = Options {
        poll_interval: Duration::from_millis(100),
        ..Options::default()
    };
    database.open_with(options).await
}

async fn commits_whose_answers_are_lost_are_found_by_their_repetition(database: Arc<Database>) {
    commits_break(&database, Fault::AfterCommit, true).await;
}

async fn commits_that_never_arrive_are_done_by_their_repetition(database: Arc<Database>) {
    commits_break(&database, Fault::BeforeCommit, false).await;
}

/// Breaks all commits of every second append, of one message and of several; `stored` is what has become
/// of it.
async fn commits_break(database: &Database, fault: Fault, stored: bool) {
    let proxy = Proxy::before(database).await;
    let store = open(&proxy.database(database)).await;
    for n in 0..times(20, 500) {
        let seed = one("seed", ExpectedVersion::Any);
        store.append(seed).await.unwrap();
        let append = one(n, ExpectedVersion::NoStream);
        proxy.set(fault);
        let error = store.append(append.clone()).await.unwrap_err();
        let AppendError::Unavailable { message } = &error else {
            panic!("{error}")
        };
        assert!(message.contains("outcome unknown"), "{message}");
        proxy.set(Fault::None);

        let appended = store.append(append).await.unwrap();

        assert_eq!(appended.already_stored, stored);
        assert_eq!(
            (appended.first, appended.last.0),
            (appended.last, 2 * n as u64 + 2)
        );
        assert_eq!(appended.versions, [1]);
    }
    assert_eq!(assert_whole(database).await.len(), 2 * times(20, 500));
}

async fn connections_that_break_at_any_byte_lose_nothing(database: Arc<Database>) {
    let proxy = Proxy::before(&database).await;
    // The tables are made beforehand: to open a store may fail on a broken network.
    let store = open(&proxy.database(&database)).await;
    let load = Load::start(&[store], 6);
    proxy.set(Fault::AnyByte);
    // Those that are there already carry as much as they like.
    end_sessions(&database).await;
    let goal = times(60, 3000);
    while proxy.cuts() < goal {
        load.acknowledged(1).await;
    }
    proxy.set(Fault::None);
    // Those that are still to be cut would be cut while the outcome is looked at.
    end_sessions(&database).await;
    load.acknowledged(6).await;
    load.stop_and_check(&database).await;
}

async fn sessions_that_are_ended_at_any_moment_lose_nothing(database: Arc<Database>) {
    let stores = [open(&database).await, open(&database).await];
    let load = Load::start(&stores, 6);
    for n in 0..times(50, 1000) {
        load.acknowledged(n % 4).await;
        end_sessions(&database).await;
    }
    load.acknowledged(6).await;
    load.stop_and_check(&database).await;
}

async fn end_sessions(database: &Database) {
    let mut outside = database.connect().await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    outside.execute(others).await;
    outside.close().await;
}

// Takes as long as the store waits for an answer, which is most of a minute.
async fn connections_that_fall_silent_are_given_up(database: Arc<Database>) {
    if !is_long() {
        return;
    }
    let proxy = Proxy::before(&database).await;
    let store = open(&proxy.database(&database)).await;
    let load = Load::start(&[store], 6);
    for _ in 0..3 {
        load.acknowledged(20).await;
        let silent = proxy.cuts() + proxy.connections();
        proxy.set(Fault::Silence);
        silenced(&proxy, silent).await;
        // Only the connections of that moment are silent. The one that writes was among them: what comes
        // of a group that it does not answer, the store finds out over another one.
        load.acknowledged(20).await;
        proxy.set(Fault::None);
    }
    load.stop_and_check(&database).await;
}

// Takes as long as the store waits for an answer.
async fn a_read_that_is_never_answered_is_begun_anew(database: Arc<Database>) {
    if !is_long() {
        return;
    }
    let proxy = Proxy::before(&database).await;
    let store = open(&proxy.database(&database)).await;
    store.append(one("a", ExpectedVersion::Any)).await.unwrap();
    proxy.set(Fault::SilentRead);
    let mut subscription = store.subscribe(Position::START);
    let event = next(&mut subscription, 1);
    let heal = async {
        silenced(&proxy, 1).await;
        proxy.set(Fault::None);
    };
    let (events, ()) = tokio::join!(event, heal);
    assert_eq!(events.len(), 1);
}

async fn a_reader_that_leaves_a_silent_connection_gives_its_place_back(database: Arc<Database>) {
    let proxy = Proxy::before(&database).await;
    let options = Options {
        read_connections: 1,
        ..Options::default()
    };
    let store = proxy.database(&database).open_with(options).await;
    proxy.set(Fault::SilentRead);
    tokio::select! {
        read = store.read_all(Position::START, 10) => panic!("{read:?}"),
        () = silenced(&proxy, 1) => {}
    }
    proxy.set(Fault::None);

    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = store.read_all(Position::START, 10).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
    }
}

/// Waits until so many connections of the proxy are cut or silent.
async fn silenced(proxy: &Proxy, connections: usize) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while proxy.cuts() < connections {
        assert!(tokio::time::Instant::now() < deadline, "they are not cut");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_session_that_the_server_ends_for_idling_is_not_noticed(database: Arc<Database>) {
    let mut outside = database.connect().await;
    if outside
        .number("SELECT current_setting('server_version_num')::bigint")
        .await
        < 140_000
    {
        return;
    }
    let prefer = "DO $$ BEGIN EXECUTE \
        format('ALTER DATABASE %I SET idle_session_timeout = ''300ms''', current_database()); END $$";
    // The session that writes begins with the first append, after this.
    let store = open(&database).await;
    outside.execute(prefer).await;
    let since = outside
        .number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .await;
    // That session ended with this statement last. Those that were there before may have done so, too,
    // and idle for ever.
    let writers = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND (query = 'COMMIT' OR query LIKE 'WITH taken%') \
           AND backend_start > to_timestamp(0) + {since} * interval '1 microsecond'"
    );
    for n in 0..5 {
        store
            .append(one(n, ExpectedVersion::NoStream))
            .await
            .unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while outside.number(&writers).await > 0 {
            assert!(tokio::time::Instant::now() < deadline, "it is not ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Sessions of the test idle, too.
    outside
        .execute(&prefer.replace("SET", "RESET").replace(" = ''300ms''", ""))
        .await;
    assert_eq!(assert_whole(&database).await.len(), 5);
}
