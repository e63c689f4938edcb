//! The rotation of signing keys, run by every replica.
//!
//! `iam` says what is due; replicas that do the same at once meet in the append, where the first one
//! wins. A key signs only after it was published for the propagation time: sidecars acknowledge it
//! well before, and consumers that poll the JWKS are told to do so more often than that.

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use super::KeyStore;
use crate::{
    commands::{Commands, Origin},
    directory::Directory,
    error::ServiceError,
    service::Clock,
};

/// Steps one tenant may take in a row.
const STEPS: u32 = 8;

/// Keeps every tenant's keys as its declaration asks.
pub(crate) struct Rotation {
    pub(crate) directory: Arc<Directory>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) propagation: Duration,
}

impl Rotation {
    /// Looks at every tenant at intervals until it is told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let origin = Origin {
            actor: "central/key-rotation".into(),
            correlation_id: None,
            trace_id: None,
            source_ip: None,
        };
        loop {
            // Replicas started together should not all ask at once.
            let pause = self.interval.mul_f64(rand::rng().random_range(0.5..1.5));
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return;
            }
            self.round(&origin).await;
        }
    }

    /// What one tenant cannot have takes nothing from the others.
    async fn round(&self, origin: &Origin) {
        for realm in self.directory.all() {
            // It was told once, and is no news in every round.
            if realm.frozen().is_some() {
                continue;
            }
            let due = |realm: &crate::directory::Realm| {
                let state = &realm.tenant().state;
                state
                    .next_key_step((self.clock)(), self.propagation)
                    .is_some()
            };
            if !due(&realm) {
                continue;
            }
            let rotated = self.rotate(realm.name(), origin).await;
            if let Err(error) = rotated {
                let tenant = realm.name();
                tracing::warn!(tenant, %error, "keys could not be rotated; trying again");
                if matches!(error, ServiceError::StoreUnavailable) {
                    break;
                }
            }
        }
        self.forget_retired();
    }

    async fn rotate(&self, tenant: &str, origin: &Origin) -> Result<(), ServiceError> {
        for _ in 0..STEPS {
            if !self.commands.rotate_keys(tenant, origin).await? {
                break;
            }
        }
        Ok(())
    }

    /// Private parts of retired keys are removed from their table by the subscription to those events,
    /// in one of the replicas; each lets go of what it has opened. A retired key id never comes back, so
    /// that nothing in use can be hit.
    fn forget_retired(&self) {
        self.keys.forget_opened(|tenant, kid| {
            let realm = self.directory.realm(tenant);
            realm.is_some_and(|realm| realm.tenant().state.retired.contains(kid))
        });
    }
}
