//! The server goes away and comes back while appends and subscriptions go on.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{EventStore, Options};

use crate::database::Database;
use crate::load::Load;
use crate::proof::{is_long, times};
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
