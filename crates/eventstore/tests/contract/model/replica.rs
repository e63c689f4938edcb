//! A replica that can crash: a store on a runtime of its own, which can be taken away from under it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventstore::{Append, EventStore, Options, Position, RecordedEvent};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::reference::Answer;

/// What a follower saw, and whether its replica is still there.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) from: usize,
    pub(super) replica: usize,
    pub(super) lives: bool,
    pub(super) seen: Arc<Mutex<Vec<RecordedEvent>>>,
}

pub(super) struct Replica {
    store: Arc<dyn EventStore>,
    runtime: Option<Runtime>,
}

impl Replica {
    pub(super) async fn open(url: &str) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            poll_interval: Duration::from_millis(20),
            // Some bursts are more than a group.
            batch_max: 3,
            read_connections: 2,
            ..Options::default()
        };
        let url = url.to_owned();
        let opening = runtime.spawn(async move { eventstore::open(&url, options).await.unwrap() });
        Self {
            store: opening.await.unwrap(),
            runtime: Some(runtime),
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Makes calls in this order, all waiting at the same time; the answers come with the numbers of
    /// their calls, and none for those that leave.
    pub(super) fn append(
        &self,
        calls: Vec<(usize, Append, bool)>,
        answers: mpsc::UnboundedSender<(usize, Answer)>,
    ) {
        let store = Arc::clone(&self.store);
        self.runtime().spawn(async move {
            let mut waiting = FuturesUnordered::new();
            for (n, append, leaves) in calls {
                let mut call = store.append(append);
                match futures::poll!(&mut call) {
                    // Before the lane has seen it, or while.
                    _ if leaves => drop(call),
                    std::task::Poll::Ready(answer) => drop(answers.send((n, Some(answer)))),
                    std::task::Poll::Pending => waiting.push(async move { (n, call.await) }),
                }
            }
            while let Some((n, answer)) = waiting.next().await {
                drop(answers.send((n, Some(answer))));
            }
        });
    }

    pub(super) fn follow(&self, replica: usize, from: usize) -> Follower {
        let follower = Follower {
            from,
            replica,
            lives: true,
            seen: Arc::default(),
        };
        let (store, seen) = (Arc::clone(&self.store), Arc::clone(&follower.seen));
        self.runtime().spawn(async move {
            let mut subscription = store.subscribe(Position(from as u64));
            while let Some(item) = subscription.next().await {
                // A failure would be missing at the end.
                let Ok(event) = item else { return };
                seen.lock().unwrap().push(event);
            }
        });
        follower
    }

    /// Takes the runtime away: every task ends where it is.
    pub(super) fn crash(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub(super) async fn close(self) {
        let store = Arc::clone(&self.store);
        let closing = self.runtime().spawn(async move { store.close().await });
        closing.await.unwrap();
        self.crash();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
