//! The server goes away and comes back while appends and subscriptions go on.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{AppendError, EventStore, ExpectedVersion, Options};

use crate::database::{Database, PATIENCE};
use crate::load::Load;
use crate::proof::{assert_whole, is_long, times};
use crate::samples::one;
use crate::server::Server;

const WRITERS: usize = 6;

/// Appends that have to go through between two faults.
const BETWEEN: usize = 20;

async fn open(database: &Database) -> Vec<Arc<dyn EventStore>> {
    let options = Options {
        poll_interval: Duration::from_millis(100),
        ..Options::default()
    };
    let first = database.open_with(options.clone()).await;
    vec![first, database.open_with(options).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_and_started_loses_nothing() {
    // A commit that waits for nothing is lost by a power cut; the store has to know better than
    // the database what it prefers.
    let settings = ["synchronous_commit=off", "wal_writer_delay=10000ms"];
    let Some(server) = Server::start(&settings) else {
        return;
    };
    let database = server.database();
    let load = Load::start(&open(&database).await, WRITERS);
    for round in 0..times(6, 60) {
        load.acknowledged(BETWEEN).await;
        tokio::task::block_in_place(|| match round % 3 {
            0 => server.stop("fast"),
            1 => server.stop("immediate"),
            _ => server.kill(),
        });
        load.until(|told| &told.failures, 1).await;
        tokio::task::block_in_place(|| server.start_again());
    }
    load.acknowledged(BETWEEN).await;
    load.stop_and_check(&database).await;
}

// Where a standby confirms commits, what it did not confirm is lost with the server. A session that is
// ended while it waits for the standby leaves its commit behind, for all to see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_standby_confirmed_is_not_told_as_stored() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let database = server.database();
    let store = database.open().await;
    let append = one("a", ExpectedVersion::NoStream);
    let call = || {
        let (store, append) = (Arc::clone(&store), append.clone());
        tokio::spawn(async move { store.append(append).await })
    };
    let mut outside = database.connect().await;
    let standby = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    outside.execute(standby).await;
    outside.execute("SELECT pg_reload_conf()").await;
    for stored in [0, 1] {
        assert_eq!(outside.number("SELECT count(*) FROM events").await, stored);
        let told = call();
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE wait_event = 'SyncRep'";
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while outside.number(end).await == 0 {
            assert!(
                !told.is_finished(),
                "told without the standby: {:?}",
                told.await
            );
            assert!(
                tokio::time::Instant::now() < deadline,
                "no commit waits for the standby"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let told = told.await.unwrap();
        assert!(
            matches!(told, Err(AppendError::Unavailable { .. })),
            "{told:?}"
        );
    }
    outside
        .execute("ALTER SYSTEM RESET synchronous_standby_names")
        .await;
    outside.execute("SELECT pg_reload_conf()").await;
    assert!(call().await.unwrap().unwrap().already_stored);
    assert_eq!(assert_whole(&database).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_and_goes_on_loses_nothing() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let database = server.database();
    let load = Load::start(&open(&database).await, WRITERS);
    for _ in 0..times(5, 30) {
        load.acknowledged(BETWEEN).await;
        server.freeze();
        // The fault itself: nothing happens for a while.
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.thaw();
    }
    if is_long() {
        // Longer than the store waits for anything.
        load.acknowledged(BETWEEN).await;
        server.freeze();
        load.until(|told| &told.failures, WRITERS).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        server.thaw();
    }
    load.acknowledged(BETWEEN).await;
    load.stop_and_check(&database).await;
}
