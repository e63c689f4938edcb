//! The private part of a retired signing key goes for ever, in the transaction that says so.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::{
    RecordedEvent, Transaction,
    consumer::{ConsumerOptions, Delivery, EventFilter, HandlerError, TransactionalHandler},
};
use iam::tenant::Event;

use crate::{directory::Directory, keys::KeyStore};

/// Removes the private parts of keys that are retired: each by its event, all of a tenant when it is
/// closed.
#[derive(Clone)]
pub(crate) struct RetiredKeys {
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) directory: Arc<Directory>,
}

impl RetiredKeys {
    /// As it is known to operators, and which events it is about.
    pub(super) fn options() -> ConsumerOptions {
        let event_types = ["TenantKeyRetired", "TenantClosed"];
        ConsumerOptions {
            filter: EventFilter {
                event_types: event_types.map(str::to_owned).to_vec(),
                ..EventFilter::default()
            },
            ..ConsumerOptions::new("retired-keys")
        }
    }

    pub(super) fn delivery(self) -> Delivery {
        Delivery::exactly_once(self)
    }

    /// Ids of keys that were retired by an event, and perhaps others that were so already. A retired id
    /// never comes back, so that nothing in use is hit, however late the event is handled.
    async fn retired_by(&self, event: &RecordedEvent) -> Result<Vec<String>, HandlerError> {
        let (name, version) = (event.event_type.as_str(), event.schema_version);
        match Event::read(name, version, event.data.clone()) {
            Ok(Event::KeyRetired { kid, .. }) => Ok(vec![kid]),
            // The event does not name them.
            Ok(Event::Closed) => {
                let reached = self.directory.reached_soon(event.position).await;
                reached.map_err(|error| HandlerError::retryable(error.to_string()))?;
                let Some(realm) = self.directory.realm(&event.stream.tenant) else {
                    return Ok(Vec::new());
                };
                // It is not known then which ones are retired; a replica of a later release may know.
                if let Some(frozen) = realm.frozen()
                    && frozen.position <= event.position
                {
                    return Err(HandlerError::retryable(frozen.to_string()));
                }
                Ok(realm.tenant().state.retired.iter().cloned().collect())
            }
            Ok(_) => Ok(Vec::new()),
            // A replica of a later release may read it.
            Err(error) => Err(HandlerError::retryable(error.to_string())),
        }
    }
}

#[async_trait]
impl TransactionalHandler for RetiredKeys {
    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &mut Transaction,
    ) -> Result<(), HandlerError> {
        for event in events {
            let tenant = event.stream.tenant.as_str();
            for kid in self.retired_by(event).await? {
                if self.keys.remove(transaction, tenant, &kid).await? {
                    tracing::info!(tenant, kid, "forgot the private part of a retired key");
                }
            }
        }
        Ok(())
    }
}
