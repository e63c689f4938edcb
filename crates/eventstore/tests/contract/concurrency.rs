//! Many writers at once, and readers in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Append, AppendError, EventStore, ExpectedVersion, Options, Position};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::database::{Database, contract};
use crate::samples::{all, assert_in_order, event, ids, next, one, stream, write};

contract!(
    sixteen_writers_and_a_subscriber_from_the_middle,
    two_replicas_append_to_one_database,
    one_of_many_rivals_wins_each_version,
    several_stores_open_an_empty_database_at_once,
);

const WRITERS: usize = 16;
const APPENDS: usize = 40;

/// Starts 16 writers, each with a stream of its own and one that all share. They give the ids of
/// what they appended.
fn writers(stores: &[Arc<dyn EventStore>]) -> JoinSet<Vec<Uuid>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&stores[writer % stores.len()]);
        writers.spawn(async move {
            let mut appended = Vec::new();
            for n in 0..APPENDS {
                let own = ExpectedVersion::Exact(n as u64);
                let append = Append::new(vec![
                    write(writer, own, vec![event(n)]),
                    write("shared", ExpectedVersion::Any, vec![event(writer); 1]),
                ]);
                store.append(append.clone()).await.unwrap();
                appended.extend(ids(&append));
            }
            appended
        });
    }
    writers
}

async fn collect(writers: JoinSet<Vec<Uuid>>) -> BTreeSet<Uuid> {
    writers.join_all().await.into_iter().flatten().collect()
}

async fn sixteen_writers_and_a_subscriber_from_the_middle(database: Arc<Database>) {
    let store = database.open().await;
    let mut from_start = store.subscribe(Position::START);
    let writers = writers(&[Arc::clone(&store)]);
    // Some way into the run.
    let mut early = next(&mut from_start, 100).await;
    let middle = store.head().await.unwrap();
    let mut from_middle = store.subscribe(middle);

    let total = WRITERS * APPENDS * 2;
    early.extend(next(&mut from_start, total - 100).await);
    let late = next(&mut from_middle, total - middle.0 as usize).await;

    let written = collect(writers).await;
    assert_in_order(&early, 1);
    assert_in_order(&late, middle.0 + 1);
    assert_eq!(
        early.iter().map(|event| event.id).collect::<BTreeSet<_>>(),
        written
    );
    assert_eq!(early[middle.0 as usize..], late);
    assert_eq!(all(&*store).await, early);
}

async fn two_replicas_append_to_one_database(database: Arc<Database>) {
    let options = || Options {
        poll_interval: Duration::from_millis(20),
        ..Options::default()
    };
    let stores = [
        database.open_with(options()).await,
        database.open_with(options()).await,
    ];
    let mut subscriptions = stores
        .each_ref()
        .map(|store| store.subscribe(Position::START));
    let writers = writers(&stores);

    let total = WRITERS * APPENDS * 2;
    let (first, second) = {
        let [first, second] = &mut subscriptions;
        tokio::join!(next(first, total), next(second, total))
    };

    let written = collect(writers).await;
    assert_in_order(&first, 1);
    assert_eq!(first, second);
    assert_eq!(
        first.iter().map(|event| event.id).collect::<BTreeSet<_>>(),
        written
    );
}

async fn one_of_many_rivals_wins_each_version(database: Arc<Database>) {
    let stores = [database.open().await, database.open().await];
    for version in 0..10 {
        let mut rivals = JoinSet::new();
        for rival in 0..8 {
            let store = Arc::clone(&stores[rival % 2]);
            rivals.spawn(async move {
                store
                    .append(one("contested", ExpectedVersion::Exact(version)))
                    .await
            });
        }
        let answers = rivals.join_all().await;
        let lost = answers.iter().filter(|answer| {
            matches!(answer, Err(AppendError::Conflict { actual, .. }) if actual.0 == version + 1)
        });
        assert_eq!(lost.count(), 7);
        assert_eq!(answers.iter().flatten().count(), 1);
    }
    let contested = stores[0]
        .read_stream(&stream("contested"), 0, 100)
        .await
        .unwrap();
    assert_eq!(contested.len(), 10);
    assert_in_order(&contested, 1);
}

async fn several_stores_open_an_empty_database_at_once(database: Arc<Database>) {
    let mut opening = JoinSet::new();
    for n in 0..4 {
        let database = Arc::clone(&database);
        opening.spawn(async move {
            let store = database.open().await;
            store
                .append(one(n, ExpectedVersion::NoStream))
                .await
                .unwrap();
            store.close().await;
        });
    }
    opening.join_all().await;

    assert_in_order(&all(&*database.open().await).await, 1);
}
