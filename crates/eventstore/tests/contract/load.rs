//! Appending and following while something is done to the database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use eventstore::{Append, AppendError, EventStore, ExpectedVersion, Position, RecordedEvent};
use futures::StreamExt;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::database::{Database, PATIENCE};
use crate::proof::{assert_reads, assert_whole};
use crate::samples::{assert_in_order, event, ids, write};

/// What the writers were told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: AtomicUsize,
    /// Acknowledged by a repetition, as stored by an attempt that was told to have failed.
    pub(crate) stored_before: AtomicUsize,
    /// Failures of any kind.
    pub(crate) failures: AtomicUsize,
    /// Failures that do not say whether the append is stored.
    pub(crate) unknown: AtomicUsize,
}

/// Writers that append until they are stopped, repeating each append until it is acknowledged; and
/// a subscriber on every store.
pub(crate) struct Load {
    pub(crate) told: Arc<Told>,
    stores: Vec<Arc<dyn EventStore>>,
    stop: Arc<AtomicBool>,
    writers: JoinSet<Vec<Uuid>>,
    followers: Vec<JoinHandle<Vec<RecordedEvent>>>,
}

impl Load {
    /// Starts `writers`, spread over the stores. The store has to be empty.
    pub(crate) fn start(stores: &[Arc<dyn EventStore>], writers: usize) -> Self {
        let mut load = Self {
            told: Arc::default(),
            stores: stores.to_vec(),
            stop: Arc::default(),
            writers: JoinSet::new(),
            followers: Vec::new(),
        };
        for writer in 0..writers {
            let store = Arc::clone(&stores[writer % stores.len()]);
            let (told, stop) = (Arc::clone(&load.told), Arc::clone(&load.stop));
            load.writers.spawn(async move {
                let mut appended = Vec::new();
                let mut version = 0;
                while !stop.load(Ordering::Relaxed) {
                    let own = ExpectedVersion::Exact(version);
                    let append = Append::new(vec![
                        write(writer, own, vec![event(1), event(2)]),
                        write("shared", ExpectedVersion::Any, vec![event(writer)]),
                    ]);
                    version += 2;
                    insist(&*store, &append, &told).await;
                    appended.extend(ids(&append));
                    // Not a race: what is appended during a fault has to be checked afterwards.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                appended
            });
        }
        for store in stores {
            let mut subscription = store.subscribe(Position::START);
            load.followers.push(tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(item) = subscription.next().await {
                    seen.push(item.unwrap());
                    // The last event of all is one that nobody else writes.
                    if seen
                        .last()
                        .is_some_and(|event| event.stream.stream_id == "end")
                    {
                        break;
                    }
                }
                seen
            }));
        }
        load
    }

    /// Waits until the writers were told `more` of something than by now.
    pub(crate) async fn until(&self, what: impl Fn(&Told) -> &AtomicUsize, more: usize) {
        let goal = what(&self.told).load(Ordering::Relaxed) + more;
        let wait = async {
            while what(&self.told).load(Ordering::Relaxed) < goal {
                assert!(!self.writers.is_empty());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let patience = tokio::time::timeout(2 * PATIENCE, wait).await;
        patience.unwrap_or_else(|_| panic!("it does not go on: {:?}", self.told));
    }

    pub(crate) async fn acknowledged(&self, more: usize) {
        self.until(|told| &told.acknowledged, more).await;
    }

    /// Stops, and checks that exactly what was acknowledged is stored, that all of it is whole, and
    /// that every subscriber saw it.
    pub(crate) async fn stop_and_check(self, database: &Database) {
        self.stop.store(true, Ordering::Relaxed);
        let writers = tokio::time::timeout(2 * PATIENCE, self.writers.join_all()).await;
        let writers = writers.expect("the writers do not end");
        let end = Append::new(vec![write(
            "end",
            ExpectedVersion::NoStream,
            vec![event(0)],
        )]);
        insist(&*self.stores[0], &end, &self.told).await;
        let mut acknowledged: BTreeSet<Uuid> = writers.into_iter().flatten().collect();
        acknowledged.extend(ids(&end));

        let lines = assert_whole(database).await;
        let stored: BTreeSet<Uuid> = lines.iter().map(|line| line.id).collect();
        assert_eq!(stored, acknowledged);
        for store in &self.stores {
            assert_reads(&**store, &lines).await;
        }
        for follower in self.followers {
            let seen = tokio::time::timeout(2 * PATIENCE, follower).await;
            let seen = seen.expect("a subscriber hangs").unwrap();
            assert_in_order(&seen, 1);
            assert!(
                seen.iter()
                    .map(|event| event.id)
                    .eq(lines.iter().map(|line| line.id))
            );
        }
        eprintln!("{:?}, {} events", self.told, lines.len());
    }
}

/// Repeats an append until it is stored, as a caller should; anything but a passing failure is one
/// of the test.
pub(crate) async fn insist(store: &dyn EventStore, append: &Append, told: &Told) {
    let count = |counter: &AtomicUsize| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let mut failed = false;
    loop {
        match store.append(append.clone()).await {
            Ok(appended) => {
                assert!(failed || !appended.already_stored, "{appended:?}");
                if appended.already_stored {
                    count(&told.stored_before);
                }
                count(&told.acknowledged);
                return;
            }
            Err(AppendError::Unavailable { message }) => {
                count(&told.failures);
                if message.contains("outcome unknown") {
                    count(&told.unknown);
                }
            }
            Err(AppendError::Overloaded) => count(&told.failures),
            Err(other) => panic!("{other}"),
        }
        failed = true;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
