//! Caches of what the API server holds, and word of what changed in them.
//!
//! Every replica keeps them: the webhook reads them everywhere, the reconcilers where they lead.
//! One undecodable object does not stop the rest ([`Guarded`]).

mod fingerprint;
mod staleness;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

pub use fingerprint::{Change, Fingerprints, Watched};
pub use staleness::Staleness;

use crate::metrics::Metrics;

/// An object as the API server gave it, decodable or not.
pub type Guarded<K> = DeserializeGuard<K>;

/// A load balancer may drop a silent connection after 240 seconds and tell nobody; the API server
/// ends the watch before that.
const WATCH_TIMEOUT_SECONDS: u32 = 230;
const CHANGES_KEPT: usize = 1024;

/// How a watch asks.
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS)
}

/// One kind, watched.
#[derive(Debug)]
pub struct Watch<K: Watched + Clone + Debug + Send + Sync + 'static> {
    store: Store<Guarded<K>>,
    changes: broadcast::Sender<Change<K>>,
    /// Whether the first list is complete. The store's own signal wakes but one of several waiters.
    filled: watch::Receiver<bool>,
}

impl<K: Watched + Clone + Debug + Send + Sync + 'static> Clone for Watch<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            changes: self.changes.clone(),
            filled: self.filled.clone(),
        }
    }
}

/// The writing end of a [`Watch`]: fills the cache until cancelled.
#[derive(Debug)]
pub struct Watcher<K: Watched + Clone + Debug + Send + Sync + 'static> {
    writer: reflector::store::Writer<Guarded<K>>,
    changes: broadcast::Sender<Change<K>>,
    filled: watch::Sender<bool>,
    staleness: Arc<Staleness>,
    metrics: Metrics,
}

impl<K> Watch<K>
where
    K: Watched + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// A cache and the watcher that fills it.
    pub fn new(staleness: Arc<Staleness>, metrics: Metrics) -> (Self, Watcher<K>) {
        let (store, writer) = reflector::store();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let (filling, filled) = watch::channel(false);
        let watcher = Watcher {
            writer,
            changes: changes.clone(),
            filled: filling,
            staleness,
            metrics,
        };
        let watch = Self {
            store,
            changes,
            filled,
        };
        (watch, watcher)
    }

    /// A cache that holds just these, and hears of nothing else.
    #[cfg(test)]
    pub(crate) fn filled(objects: Vec<K>) -> Self {
        let (store, mut writer) = reflector::store();
        for event in std::iter::once(watcher::Event::Init)
            .chain(
                objects
                    .into_iter()
                    .map(|o| watcher::Event::InitApply(DeserializeGuard(Ok(o)))),
            )
            .chain(std::iter::once(watcher::Event::InitDone))
        {
            writer.apply_watcher_event(&event);
        }
        Self {
            store,
            changes: broadcast::channel(1).0,
            filled: watch::channel(true).1,
        }
    }

    /// The cache itself.
    pub fn store(&self) -> Store<Guarded<K>> {
        self.store.clone()
    }

    /// Whether the first list is complete.
    pub async fn ready(&self) {
        // An error means that the watcher is gone, which ends the process by itself.
        if self
            .filled
            .clone()
            .wait_for(|filled| *filled)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// The object of this name, when the cache has it and it could be decoded.
    pub fn get(&self, name: &str, namespace: Option<&str>) -> Option<K> {
        let reference = ObjectRef::<Guarded<K>>::new(name);
        let reference = match namespace {
            Some(namespace) => reference.within(namespace),
            None => reference,
        };
        let object = self.store.get(&reference)?;
        object.0.as_ref().ok().cloned()
    }

    /// All objects that could be decoded.
    pub fn all(&self) -> Vec<K> {
        let decoded = self.store.state().into_iter();
        decoded
            .filter_map(|object| object.0.as_ref().ok().cloned())
            .collect()
    }

    /// References to all objects, decodable or not.
    pub fn references(&self) -> Vec<ObjectRef<Guarded<K>>> {
        let objects = self.store.state();
        objects
            .iter()
            .map(|object| ObjectRef::from_obj(object.as_ref()))
            .collect()
    }

    /// Changes from now on. `None` stands for changes that were missed by being slow: look at
    /// everything.
    pub fn changes(&self) -> impl Stream<Item = Option<Change<K>>> + Send + use<K> {
        BroadcastStream::new(self.changes.subscribe()).map(Result::ok)
    }
}

impl<K> Watcher<K>
where
    K: Watched + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Watches through `api` until cancelled. Failures are logged, counted and tried again.
    pub async fn run(self, api: Api<Guarded<K>>, shutdown: CancellationToken) {
        let kind = K::kind(&()).into_owned();
        let mut fingerprints = Fingerprints::default();
        let events = watcher(api, watch_config())
            .default_backoff()
            .reflect(self.writer)
            .take_until(shutdown.cancelled_owned());
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.staleness.succeeded(&kind);
                    if matches!(event, watcher::Event::InitDone) {
                        self.filled.send_replace(true);
                    }
                    for change in fingerprints.observe(&event) {
                        // Nobody listens on a replica that does not lead.
                        let _ = self.changes.send(change);
                    }
                }
                Err(error) => {
                    self.staleness.failed(&kind, Instant::now());
                    self.metrics
                        .watch_failures
                        .with_label_values(&[&kind])
                        .inc();
                    tracing::warn!(%kind, %error, "watch failed; it is tried again");
                }
            }
        }
    }
}

/// References to the objects whose own change calls for work, then every one that changes.
pub fn own_changes<K>(watch: &Watch<K>) -> impl Stream<Item = ObjectRef<Guarded<K>>> + Send + use<K>
where
    K: Watched + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let changes = watch.changes();
    let watch = watch.clone();
    let first = stream::iter(watch.references());
    first.chain(changes.flat_map(move |change| {
        stream::iter(match change {
            Some(change) if change.own => vec![change.object],
            Some(_) => Vec::new(),
            None => watch.references(),
        })
    }))
}

/// References to the objects of `watch` that a change among `others` calls for, by `concerned`.
pub fn related_changes<K, O, F>(
    watch: &Watch<K>,
    others: &Watch<O>,
    concerned: F,
) -> impl Stream<Item = ObjectRef<Guarded<K>>> + Send + use<K, O, F>
where
    F: Fn(&K, &ObjectRef<Guarded<O>>) -> bool + Send + 'static,
    K: Watched + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    O: Watched + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let watch = watch.clone();
    others.changes().flat_map(move |change| {
        stream::iter(match change {
            Some(change) if change.related => watch
                .all()
                .iter()
                .filter(|object| concerned(object, &change.object))
                .map(reference)
                .collect(),
            Some(_) => Vec::new(),
            None => watch.references(),
        })
    })
}

fn reference<K: Watched>(object: &K) -> ObjectRef<Guarded<K>> {
    let meta = object.meta();
    let reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
    match &meta.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    }
}

/// The longest pause between two tries of a failing watch, with room to spare.
pub(crate) const FAILURES_APART: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
