//! Where aggregates are loaded from and written to: one repository each, behind one gate.

use std::{sync::Arc, time::Duration};

use eventstore::{
    EventStore,
    command::{Aggregate, Backoff, Gate, Repository, Retries},
    snapshot::{SnapshotKeys, SnapshotOptions, Snapshots},
};

use super::limits::limits;
use crate::{
    aggregates::{Generator, Role, Tenant},
    metrics::Metrics,
};

/// The repositories of all aggregates.
pub(crate) struct Repositories {
    pub(super) tenants: Repository<Tenant>,
    pub(super) roles: Repository<Role>,
    pub(super) generators: Repository<Generator>,
    pub(super) snapshots: Snapshots,
}

impl Repositories {
    /// Those over a store, with snapshots encrypted by `snapshot_keys`, and with so many ranges a second
    /// for each tenant.
    pub(crate) fn new(
        store: &Arc<dyn EventStore>,
        metrics: &Arc<Metrics>,
        snapshot_keys: SnapshotKeys,
        allocations_per_second: u32,
    ) -> Self {
        let options = SnapshotOptions {
            keys: Some(Arc::new(snapshot_keys)),
            observer: Arc::clone(metrics) as _,
            ..SnapshotOptions::default()
        };
        let parts = Parts {
            store,
            metrics,
            snapshots: Snapshots::new(store.database(), options),
            gate: Arc::new(Gate::new(&limits(allocations_per_second))),
        };
        Self {
            tenants: parts.repository(),
            roles: parts.repository(),
            generators: parts.repository(),
            snapshots: parts.snapshots,
        }
    }
}

/// What the repositories share.
struct Parts<'a> {
    store: &'a Arc<dyn EventStore>,
    metrics: &'a Arc<Metrics>,
    snapshots: Snapshots,
    gate: Arc<Gate>,
}

impl Parts<'_> {
    fn repository<A: Aggregate>(&self) -> Repository<A> {
        Repository::new(Arc::clone(self.store))
            .with_snapshots(self.snapshots.clone())
            .with_gate(Arc::clone(&self.gate))
            .with_retries(retries())
            .with_observer(Arc::clone(self.metrics) as _)
    }
}

/// Pauses after faults are short, a ninth of a second together: the sidecar behind a call lives on its
/// buffer and asks again, and an operator has its own, longer pauses.
fn retries() -> Retries {
    let most = Duration::from_millis(256);
    Retries {
        faults: Backoff {
            attempts: 4,
            base: Duration::from_millis(16),
            most,
        },
        conflicts: Backoff {
            attempts: 13,
            base: Duration::from_millis(2),
            most,
        },
        ..Retries::default()
    }
}
