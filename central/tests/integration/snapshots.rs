//! Aggregates are loaded from snapshots, and never from a bad one.

use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::support::{
    Central, Database, Secrets,
    central::CHECKOUT,
    clients::{assert_disjoint, range},
    on_each_store, on_postgres,
};

on_each_store!(a_corrupted_snapshot_is_skipped_and_nothing_is_lost);
on_postgres!(a_fresh_replica_loads_a_generator_from_a_snapshot);

const TAKEN: &str = r#"signet_central_snapshots_taken_total{stream_type="generator"}"#;
const USED: &str = r#"signet_central_snapshots_used_total{stream_type="generator"}"#;
const BROKEN: &str =
    r#"signet_central_snapshots_skipped_total{reason="checksum",stream_type="generator"}"#;

/// Ranges of 1,000 ids, one after the other.
async fn take(central: &Central, ranges: usize) -> Vec<(u64, u64)> {
    let mut taken = Vec::new();
    for _ in 0..ranges {
        let answer = central.allocate(CHECKOUT, "acme", 1).await.unwrap();
        taken.push(range(answer.into_inner()));
    }
    taken
}

async fn a_fresh_replica_loads_a_generator_from_a_snapshot(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    let mut ranges = take(&first, 104).await;
    // One behind every tenth of 105 events: the declaration and what was given.
    assert_eq!(first.metric(TAKEN).await, 10.0);
    assert_eq!(first.metric(USED).await, 0.0);

    // Beside the first, which goes on: each follows the other.
    let second = Central::start(&secrets, &database, &[]).await;
    ranges.extend(take(&second, 3).await);
    ranges.extend(take(&first, 1).await);
    ranges.extend(take(&second, 1).await);

    assert_eq!(second.metric(USED).await, 1.0);
    assert_eq!(ranges.len(), 109);
    assert_eq!(ranges.last(), Some(&(108_001, 109_001)));
    assert_disjoint(ranges);
}

async fn a_corrupted_snapshot_is_skipped_and_nothing_is_lost(database: Database) {
    let secrets = Secrets::new();
    let first = Central::start(&secrets, &database, &[]).await;
    first.furnish().await;
    let mut ranges = take(&first, 24).await;
    first.running.stop().await.unwrap();

    // Of those behind 10 and 20 events, the newer one.
    spoil(&database, 20).await;
    let second = Central::start(&secrets, &database, &[]).await;
    ranges.extend(take(&second, 1).await);
    assert_eq!(second.metric(BROKEN).await, 1.0);
    assert_eq!(second.metric(USED).await, 1.0);
    second.running.stop().await.unwrap();

    spoil(&database, 1).await;
    let third = Central::start(&secrets, &database, &[]).await;
    ranges.extend(take(&third, 1).await);
    assert!(third.metric(BROKEN).await >= 2.0);
    assert_eq!(third.metric(USED).await, 0.0);

    assert_eq!(ranges.last(), Some(&(25_001, 26_001)));
    assert_disjoint(ranges);
}

/// Damages the snapshots from a version on.
async fn spoil(database: &Database, from: i64) {
    const STATEMENT: &str = "UPDATE event_snapshots SET data = checksum \
                             WHERE stream_type = 'generator' AND stream_version >= $1";
    let spoilt = if database.url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
        let done = sqlx::query(STATEMENT).bind(from).execute(&mut connection);
        done.await.unwrap().rows_affected()
    } else {
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        let done = sqlx::query(STATEMENT).bind(from).execute(&mut connection);
        done.await.unwrap().rows_affected()
    };
    assert!(spoilt > 0, "there was no snapshot to damage");
}
