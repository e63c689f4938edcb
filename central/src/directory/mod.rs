//! The read models: every tenant with its keys, roles and generators, in memory, on every replica.
//!
//! One task follows the event store and applies each event in order. A reader takes a snapshot of a
//! tenant ([`Realm`]) that never changes under it. Who has to read what was just written waits for
//! its position, for a bounded time.
//!
//! An event that is not understood, as of a newer release while replicas are exchanged, freezes its
//! tenant and nobody else. What is held of a frozen tenant goes on to be served where it does no harm
//! (its published keys); whatever decides by it asks for a realm that follows, and is refused.

mod realm;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use eventstore::{EventStore, Position, RecordedEvent};
use futures::StreamExt as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::realm::{Content, KeyView, Realm};
use crate::{error::ServiceError, metrics::Metrics};

/// Longest wait for a position.
const PATIENCE: Duration = Duration::from_secs(3);

/// All tenants as they are at one position.
pub(crate) struct Directory {
    store: Arc<dyn EventStore>,
    metrics: Arc<Metrics>,
    realms: RwLock<HashMap<String, Entry>>,
    position: watch::Sender<Position>,
}

struct Entry {
    realm: Arc<Realm>,
    /// Tells those who follow the tenant that some content of it changed.
    changed: watch::Sender<()>,
}

/// Why the read models could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectionError {
    #[error("the read models cannot follow the event store: {0}")]
    Store(eventstore::ReadError),
    // Whose the event is cannot be read either, so that it cannot be passed over.
    #[error(
        "the read models cannot follow the event store: {0}; `signet events verify --database URL` \
         tells what else was changed; start again when it is mended"
    )]
    Damaged(eventstore::ReadError),
    #[error("the event store ended its subscription")]
    Ended,
}

impl From<eventstore::ReadError> for ProjectionError {
    fn from(error: eventstore::ReadError) -> Self {
        match error {
            eventstore::ReadError::Corrupt { .. } => Self::Damaged(error),
            error => Self::Store(error),
        }
    }
}

impl Directory {
    /// An empty directory; [`Directory::run`] fills it.
    pub(crate) fn new(store: Arc<dyn EventStore>, metrics: Arc<Metrics>) -> Self {
        let position = watch::Sender::new(Position::START);
        Self {
            store,
            metrics,
            realms: RwLock::default(),
            position,
        }
    }

    /// Follows the store until it is told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) -> Result<(), ProjectionError> {
        let mut events = self.store.subscribe(self.position());
        while let Some(next) = stop.run_until_cancelled(events.next()).await {
            self.apply(&next.ok_or(ProjectionError::Ended)??);
        }
        Ok(())
    }

    /// A snapshot of one tenant, which is as it was if the tenant is frozen.
    pub(crate) fn realm(&self, tenant: &str) -> Option<Arc<Realm>> {
        self.realms()
            .get(tenant)
            .map(|entry| Arc::clone(&entry.realm))
    }

    /// As [`Directory::realm`], for those who decide by it: refused if the tenant is frozen.
    pub(crate) fn following(&self, tenant: &str) -> Result<Option<Arc<Realm>>, ServiceError> {
        let realm = self.realm(tenant);
        realm.as_deref().map_or(Ok(()), Realm::follows)?;
        Ok(realm)
    }

    /// A snapshot of every tenant, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Realm>> {
        let mut all: Vec<_> = self
            .realms()
            .values()
            .map(|entry| Arc::clone(&entry.realm))
            .collect();
        all.sort_by(|left, right| left.name().cmp(right.name()));
        all
    }

    /// Wakes whenever some content of the tenant changed.
    pub(crate) fn watch(&self, tenant: &str) -> Option<watch::Receiver<()>> {
        self.realms()
            .get(tenant)
            .map(|entry| entry.changed.subscribe())
    }

    /// The last position that was applied.
    pub(crate) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Returns when a position was applied, however long it takes.
    pub(crate) async fn reached(&self, position: Position) {
        // The sender is ours, so that the wait cannot fail.
        let _ = self
            .position
            .subscribe()
            .wait_for(|reached| *reached >= position)
            .await;
    }

    /// Waits, bounded, until a position was applied: read your writes.
    pub(crate) async fn reached_soon(&self, position: Position) -> Result<(), ServiceError> {
        let waited = timeout(PATIENCE, self.reached(position)).await;
        waited.map_err(|_| ServiceError::Behind(position.0))
    }

    /// Waits, bounded, until everything was applied that the store held at the time of the call.
    ///
    /// What is read afterwards is as if it were read from the store itself: a refusal that rests on
    /// it is true, whichever replica wrote last.
    pub(crate) async fn up_to_date(&self) -> Result<(), ServiceError> {
        let head = self.store.head().await?;
        self.reached_soon(head).await
    }

    /// The tenant, for a workload of a namespace that it has.
    ///
    /// Whether there is no such tenant or it is another's, the refusal is the same; and it is given
    /// only after a look at what the store holds now. That a tenant is frozen is told to those alone
    /// whose namespace it had by then.
    pub(crate) async fn realm_for(
        &self,
        tenant: &str,
        namespace: &str,
    ) -> Result<Arc<Realm>, ServiceError> {
        let admitted = || {
            self.realm(tenant)
                .filter(|realm| realm.has_namespace(namespace))
        };
        let realm = match admitted() {
            Some(realm) => realm,
            None => {
                self.up_to_date().await?;
                admitted().ok_or_else(|| ServiceError::NotAdmitted {
                    tenant: tenant.chars().take(64).collect(),
                    namespace: namespace.to_owned(),
                })?
            }
        };
        realm.follows()?;
        Ok(realm)
    }

    /// As [`Directory::realm_for`], when the tenant is not closed.
    pub(crate) async fn open_realm_for(
        &self,
        tenant: &str,
        namespace: &str,
    ) -> Result<Arc<Realm>, ServiceError> {
        let realm = self.realm_for(tenant, namespace).await?;
        if realm.is_open() {
            Ok(realm)
        } else {
            Err(ServiceError::TenantClosed(tenant.to_owned()))
        }
    }

    fn apply(&self, event: &RecordedEvent) {
        let mut realms = self.realms.write().unwrap_or_else(PoisonError::into_inner);
        let tenant = &event.stream.tenant;
        if !realms.contains_key(tenant) {
            let realm = Arc::new(Realm::new(tenant, event.position));
            realms.insert(
                tenant.clone(),
                Entry {
                    realm,
                    changed: watch::Sender::new(()),
                },
            );
        }
        if let Some(entry) = realms.get_mut(tenant)
            && entry.realm.frozen().is_none()
        {
            let was_open = entry.realm.is_open();
            let realm = Arc::make_mut(&mut entry.realm);
            let changed = realm.apply(event).unwrap_or_else(|error| {
                tracing::error!(
                    tenant,
                    position = error.position.0,
                    %error,
                    "a tenant is frozen: from here on this replica takes in none of its events; run the \
                     release that wrote this one, or verify the store with `signet events verify`, and \
                     restart after mending"
                );
                self.metrics.tenants_frozen.inc();
                realm.freeze(error);
                // Who follows the tenant has to learn that there is nothing more to come.
                true
            });
            let is_open = entry.realm.is_open();
            self.metrics
                .tenants
                .add(i64::from(is_open) - i64::from(was_open));
            if changed {
                entry.changed.send_replace(());
            }
        }
        drop(realms);
        self.metrics
            .position
            .set(i64::try_from(event.position.0).unwrap_or(i64::MAX));
        self.position.send_replace(event.position);
    }

    // An event is applied to a copy or refused as a whole, so that a panic leaves no half of it.
    fn realms(&self) -> RwLockReadGuard<'_, HashMap<String, Entry>> {
        self.realms.read().unwrap_or_else(PoisonError::into_inner)
    }
}
