//! The events as a process beside central has them.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::{
    EventStore, RecordedEvent,
    consumer::{Handler, HandlerError},
};

use super::Database;

/// The store of a central.
pub(crate) async fn store_of(database: &Database) -> Arc<dyn EventStore> {
    let options = eventstore::Options::default();
    eventstore::open(&database.url, options).await.unwrap()
}

/// Gives every event up.
pub(crate) struct Refuses;

#[async_trait]
impl Handler for Refuses {
    async fn handle(&self, _: &[RecordedEvent]) -> Result<(), HandlerError> {
        Err(HandlerError::permanent("it makes no sense"))
    }
}
