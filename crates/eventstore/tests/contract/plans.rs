//! How PostgreSQL goes about what the store asks: by an index, also in a table that is empty and was
//! never analysed, where its planner would rather read all of it. The server counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore::{Append, ExpectedVersion, Position};

use crate::database::{Database, Outside, PATIENCE, postgres_only};
use crate::samples::{event, next, one, stream, write};

postgres_only!(nothing_reads_the_whole_table);

async fn nothing_reads_the_whole_table(database: Arc<Database>) {
    database.open().await.close().await;
    let mut outside = database.connect().await;
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass";
    // To build an index, the table is read once; a session tells what it counted when it ends.
    let indexes = outside.number(indexes).await;
    wait_until(&mut outside, "seq_scan", indexes).await;
    let before = count(&mut outside, "seq_scan").await;

    let store = database.open().await;
    let events = (0..200).map(event).collect();
    let batch = Append::new(vec![write("batch", ExpectedVersion::NoStream, events)]);
    store.append(batch.clone()).await.unwrap();
    assert!(store.append(batch).await.unwrap().already_stored);
    for n in 0..40 {
        let appended = store
            .append(one(n % 4, ExpectedVersion::Any))
            .await
            .unwrap();
        assert_eq!(appended.last, Position(n + 201));
    }
    let tail = store.read_stream(&stream("batch"), 100, 20).await.unwrap();
    assert_eq!(tail.len(), 20);
    next(&mut store.subscribe(Position::START), 240).await;
    store.close().await;

    wait_until(&mut outside, "idx_scan", 40).await;
    assert_eq!(count(&mut outside, "seq_scan").await, before);
    // Some rows for each lookup and each event read; all of them for each append would be 9000.
    let read = count(&mut outside, "idx_tup_fetch").await;
    assert!(read < 2000, "{read} rows were read for 240 events");
}

async fn count(outside: &mut Outside, what: &str) -> i64 {
    let sql = format!("SELECT {what} FROM pg_stat_user_tables WHERE relname = 'events'");
    outside.number(&sql).await
}

async fn wait_until(outside: &mut Outside, what: &str, least: i64) {
    let patience = Instant::now() + PATIENCE;
    while count(outside, what).await < least {
        assert!(Instant::now() < patience, "the server counts no {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
